"""What a visitor left here last time: runs and datasets to go on with."""

from __future__ import annotations

import time

import streamlit as st

from pages.shared import averages, backend, navigation
from pages.shared.text import plain, t
from transfer_core.store import Dataset, Job

_MOST = 4
_LOOK = {"queued": ("gray", ":material/hourglass_empty:"), "running": ("orange", ":material/model_training:"),
         "finished": ("green", ":material/check_circle:"), "stopped": ("blue", ":material/stop_circle:"),
         "failed": ("red", ":material/error:")}


def show() -> None:
    datasets = backend.store().datasets()
    names = {dataset.id: dataset.name for dataset in datasets}
    runs = backend.store().runs(limit=_MOST)
    if runs:
        st.subheader(t("home.recent_runs"))
        with st.container(key="recent-runs"):
            for run in runs:
                _run(run, names)
        navigation.link("runs", t("home.all_runs"), ":material/history:")
    if datasets:
        st.subheader(t("home.recent_datasets"))
        with st.container(key="recent-datasets"):
            for dataset in datasets[:_MOST]:
                _dataset(dataset)


def _run(run: Job, names: dict[str, str]) -> None:
    recipe = run.payload["recipe"]
    color, icon = _LOOK[run.state]
    with st.container(border=True, key=f"recent-{run.id}"):
        with st.container(horizontal=True, vertical_alignment="center", gap="small"):
            name = names.get(recipe["dataset"]) or run.payload.get("name") or recipe["dataset"]
            navigation.link("evaluate" if run.result else "train", f"**{plain(name)}**", run=run.id,
                            dataset=recipe["dataset"])
            st.badge(t(f"home.state_{run.state}"), icon=icon, color=color)
        st.markdown(score(run) or t("home.no_score"))
        about = (plain(recipe["model"]), averages.short(run), ago(run.ended or run.started or run.created))
        st.caption(" · ".join(part for part in about if part))


def score(run: Job) -> str:
    """Right answers on photos the model never saw, with their interval and number; empty before there are any."""
    test = (run.result or {}).get("test") or {}
    if "accuracy" not in test:
        return ""
    return t("home.score", percent=f"{100 * test['accuracy']:.0f}", low=f"{100 * test['low']:.0f}",
             high=f"{100 * test['high']:.0f}", n=test["n"])


def _dataset(dataset: Dataset) -> None:
    summary = dataset.latest.summary
    with st.container(border=True, key=f"recent-{dataset.id}"):
        navigation.link("data", f"**{plain(dataset.name)}**", dataset=dataset.id, run=None)
        st.markdown(t("home.dataset_size", images=f"{sum(summary['classes'].values()):,}", classes=len(summary["classes"])))
        st.caption(ago(dataset.latest.created))


def ago(moment: float) -> str:
    """How long ago, in the largest unit that says it."""
    seconds = max(0.0, time.time() - moment)
    for unit, size in (("days", 86400), ("hours", 3600), ("minutes", 60)):
        if seconds >= size:
            return t(f"home.ago_{unit}", count=int(seconds // size))
    return t("home.ago_now")
