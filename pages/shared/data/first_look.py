"""The first look at a dataset: a score, and a model to try, before anything was chosen."""

from __future__ import annotations

from typing import Any

import streamlit as st

from pages.shared import backend, navigation
from pages.shared.data import imports
from pages.shared.text import plain, t, told
from pages.shared.undisturbed import undisturbed
from transfer_core.events import Failed
from transfer_core.jobs.tasks import can_be_looked_at, first_look, take_first_look
from transfer_core.store import Dataset, Job


def show(dataset: Dataset) -> None:
    job = first_look(backend.store(), dataset.id)
    if job is None and not can_be_looked_at(dataset.latest.summary):
        return
    with st.container(border=True, key="first-look"):
        st.markdown(f"**:material/visibility: {t('data.look.title')}**")
        live = bool(job and job.live)
        st.fragment(_draw, run_every=2.0 if live else None, key="first-look-state")(dataset, job.id if job else None)


def _draw(dataset: Dataset, job_id: str | None) -> None:
    # It ends by drawing what was found, not by running the page anew: a click made at that moment would be lost.
    job = backend.store().job(job_id) if job_id else None
    if job and job.live:
        st.caption(t("data.look.busy"))
        imports.bar(job)
        return
    if job and job.result:
        _found(dataset, job)
    elif job and job.state == "failed":
        _failed(job)
    if not (job and job.result and job.payload["version"] == dataset.latest.version) and can_be_looked_at(dataset.latest.summary):
        st.button(t("data.look.again" if job else "data.look.take"), key="take-look", icon=":material/visibility:",
                  on_click=_take, args=(dataset,))


@undisturbed()
def _take(dataset: Dataset) -> None:
    take_first_look(backend.store(), dataset.id, dataset.latest.version, dataset.latest.summary, dataset.name)


def _failed(job: Job) -> None:
    ends = [event for _, event in backend.store().events(job.id, kinds=("failed",)) if isinstance(event, Failed)]
    st.warning(t("data.look.failed") + (f" {plain(told(ends[-1].message))}" if ends else ""), icon=":material/info:")


def _found(dataset: Dataset, job: Job) -> None:
    found = job.result or {}
    score, percent = found["score"], _percent(found["score"])
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown(t("data.look.score", **percent))
        navigation.link("predict", t("data.look.try"), ":material/photo_camera:", look=job.id, run=None, dataset=dataset.id)
    lines = [t(f"data.look.{score['on']}", n=score["n"], **percent), t("data.look.how")]
    if found["images"]["train"] < found["of"]["train"]:
        lines.append(t("data.look.part", count=f"{found['images']['train']:,}", total=f"{found['of']['train']:,}"))
    if job.payload["version"] != dataset.latest.version:
        lines.append(t("data.look.other_version", seen=job.payload["version"], version=dataset.latest.version))
    st.caption(" ".join(lines))
    if scenes := found.get("scenes", {}).get("images"):
        st.warning(t("data.look.scenes", count=scenes), icon=":material/content_copy:")
    if source := found["source"]:
        _source(source)


def _source(source: dict[str, Any]) -> None:
    if not source["looks_like"]:
        return
    with st.expander(t("data.look.like_title"), icon=":material/psychology_alt:", key="looks-like"):
        text = t("data.look.like_text")
        if source["score"]:
            text += " " + t("data.look.like_score", n=source["score"]["n"], **_percent(source["score"]))
        st.caption(text)
        rows = [{"class": row["class"], "sees": _seen(row["like"])} for row in source["looks_like"]]
        column = st.column_config.TextColumn
        st.dataframe(rows, hide_index=True, key="looks-like-table", column_config={
            "class": column(t("data.look.like_class")), "sees": column(t("data.look.like_sees"), width="large")})


def _seen(like: list[dict[str, Any]]) -> str:
    return ", ".join(f"{each['source'].split(',')[0]} {100 * each['share']:.0f} %" for each in like)


def _percent(score: dict[str, Any]) -> dict[str, str]:
    return {name: f"{100 * score[name]:.0f}" for name in ("accuracy", "low", "high", "baseline")}
