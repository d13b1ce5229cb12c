"""Jobs a page waits for: how far one is, and why it failed."""

from __future__ import annotations

import streamlit as st

from pages.shared import backend
from pages.shared.text import plain, t, told
from pages.shared.train.follow import follow
from transfer_core.events import Failed
from transfer_core.store import Job


def bar(job: Job) -> None:
    """What a job does at this moment, and how much of it is done."""
    stage, ahead = follow(job.id).stage, backend.store().ahead(job)
    text = t("train.queued", count=ahead) if ahead else t(f"stages.{stage.stage}") if stage else t("train.starting")
    st.progress(min(1.0, stage.done / stage.total) if stage and stage.total else 0.0, text)


def failure(job: Job) -> bool:
    """Says what ended a job and what to do; False where it did not fail."""
    ends = [event for _, event in backend.store().events(job.id, kinds=("failed",)) if isinstance(event, Failed)]
    if job.state != "failed" or not ends:
        return False
    hint = plain(told(ends[-1].hint)) if ends[-1].hint else ""
    st.error(f"{plain(told(ends[-1].message))}\n\n{hint}", icon=":material/error:")
    return True
