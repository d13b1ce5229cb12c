"""Jobs about datasets as pages see them: how far one is, what went wrong, and the dataset an import made."""

from __future__ import annotations

import streamlit as st

from pages.shared import backend
from pages.shared.text import plain, t, told
from pages.shared.train.follow import follow
from transfer_core.errors import NotFound
from transfer_core.events import Failed
from transfer_core.store import Dataset, Job


def job(job_id: str | None, kind: str = "import") -> Job | None:
    """The job of this id and kind, or None."""
    try:
        found = backend.store().job(job_id) if job_id else None
    except NotFound:
        return None
    return found if found and found.kind == kind else None


def dataset_of(job: Job) -> Dataset | None:
    """The dataset an import made, unless it is not done or its dataset was deleted."""
    made = backend.store().events(job.id, kinds=("imported",))
    if not made:
        return None
    try:
        return backend.store().dataset(made[-1][1].dataset)
    except NotFound:
        return None


def bar(job: Job) -> None:
    """Stage, how many of how many, and a bar; the words stand above it, where a screen reader meets them first."""
    stage = follow(job.id).stage
    if job.state == "queued" or stage is None:
        st.progress(0.0, t("data.import.waiting"))
    elif stage.total:
        done = t("data.import.of", stage=t(f"stages.{stage.stage}"), done=f"{stage.done:,}", total=f"{stage.total:,}")
        st.progress(min(1.0, stage.done / stage.total), done)
    else:
        st.progress(0.0, f"{t(f'stages.{stage.stage}')} · {stage.done:,}" if stage.done else t(f"stages.{stage.stage}"))


def failure(job: Job) -> None:
    """What went wrong and what to do next, once."""
    ended = follow(job.id).ended
    if isinstance(ended, Failed):
        text = plain(told(ended.message))
        hint = plain(told(ended.hint)) if ended.hint else ""
        st.error(f"{text}\n\n{hint}" if hint else text, icon=":material/error:")
    else:
        st.error(t("data.import.stopped"), icon=":material/error:")
