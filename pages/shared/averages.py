"""Runs that were not trained but averaged: what pages say of them, wherever a run is named."""

from __future__ import annotations

import streamlit as st

from pages.shared import backend, navigation
from pages.shared.model.numbers import local
from pages.shared.text import plain, t, told
from transfer_core import sentences
from transfer_core.errors import NotFound
from transfer_core.events import Averaged
from transfer_core.store import Job


def short(run: Job) -> str:
    """`mixture, 60 % trained`; empty for a training of this studio."""
    if mixture := run.payload.get("mixture"):
        return t("mixture.made.short_mixture", share=_percent(mixture["alpha"]))
    if soup := run.payload.get("soup"):
        return t("mixture.made.short_soup", count=len(averaged["runs"] if (averaged := _averaged(run)) else soup["runs"]))
    return t("runs.restore.made") if run.payload.get("project") else ""


def named(run: Job, dataset: str) -> str:
    """A run in one line: its photos, its model, and what it is if it is no training."""
    parts = (plain(dataset), plain(run.payload["recipe"]["model"]), short(run))
    return " · ".join(part for part in parts if part)


def made(run: Job) -> None:
    """What it was made of. Nothing for a training."""
    if not run.is_average:
        return
    st.markdown(f":material/blender: {sentence(run)}")
    if mixture := run.payload.get("mixture"):
        _source(mixture["run"])
    elif averaged := _averaged(run):
        _tried(Averaged(**{key: value for key, value in averaged.items() if key != "left"}))


def sentence(run: Job) -> str:
    """What it is, also before it is made."""
    return told(sentences.averaged(run.payload, run.result))


def _averaged(run: Job) -> dict | None:
    return (run.result or {}).get("averaged")


def _source(run: str) -> None:
    try:
        job = backend.store().job(run)
    except NotFound:
        st.caption(f"{t('mixture.made.source')}: {t('mixture.made.gone')}")
        return
    navigation.link("evaluate" if job.result else "train", t("mixture.made.source"), ":material/arrow_back:", run=job.id,
                    dataset=job.payload["recipe"]["dataset"])


def _tried(soup: Averaged) -> None:
    with st.expander(t("mixture.made.order"), icon=":material/format_list_numbered:", key="soup-order"):
        rows = [{"training": _started(run), "alone": 100 * alone, "together": 100 * together, "taken": run in soup.runs}
                for run, alone, together in zip(soup.order, soup.alone, soup.validation, strict=True)]
        column = st.column_config
        share = {"format": "%.0f %%", "min_value": 0, "max_value": 100}
        st.dataframe(rows, hide_index=True, key="soup-table", column_config={
            "training": column.TextColumn(t("mixture.made.training")),
            "alone": column.ProgressColumn(t("mixture.made.alone"), **share),
            "together": column.ProgressColumn(t("mixture.made.together"), **share),
            "taken": column.CheckboxColumn(t("mixture.made.taken"))})
        st.caption(t("mixture.made.optimistic", n=soup.n))


def _started(run: str) -> str:
    """A training as the list of runs tells them apart."""
    try:
        job = backend.store().job(run)
    except NotFound:
        return f"{run} ({t('mixture.made.gone')})"
    when = f"{local(job.started or job.created):%Y-%m-%d %H:%M:%S}"
    return f"{when} · {short(job)}" if job.is_average else when


def _percent(share: float) -> str:
    return f"{100 * share:.3g}"
