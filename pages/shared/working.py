"""Jobs a page waits for: how far one is, and why it failed."""

from __future__ import annotations

import streamlit as st

from pages.shared import backend
from pages.shared.text import plain, t, told
from pages.shared.train.follow import follow
from transfer_core.cluster.state import trouble
from transfer_core.errors import NotFound
from transfer_core.events import Failed
from transfer_core.store import Job


def bar(job: Job) -> None:
    """What a job does at this moment, and how much of it is done."""
    stage, ahead = follow(job.id).stage, backend.store().ahead(job)
    wrong = trouble(backend.store().home, job.device) if job.state == "queued" else None
    text = (plain(told(wrong)) if wrong else t("train.queued", count=ahead) if ahead else
            t(f"stages.{stage.stage}") if stage else t("train.starting"))
    st.progress(min(1.0, stage.done / stage.total) if stage and stage.total else 0.0, text)


def watch(job_id: str, stop: str | None = None, waiting: str = "") -> None:
    """The fragment that is drawn again and again while a job is under way; when it ends, the whole page follows.

    `stop`: the key of a button that throws the job away; `waiting`: what is said meanwhile.
    """
    try:
        job = backend.store().job(job_id)
    except NotFound:
        st.rerun()
    if not job.live:
        st.rerun()
    bar(job)
    if waiting:
        st.caption(waiting)
    if stop:
        st.button(t("train.stop"), icon=":material/stop:", key=stop, disabled=bool(job.stop),
                  on_click=backend.store().ask_stop, args=(job.id, "discard"))


def failure(job: Job) -> bool:
    """Says what ended a job and what to do; False where it did not fail."""
    ends = [event for _, event in backend.store().events(job.id, kinds=("failed",)) if isinstance(event, Failed)]
    if job.state != "failed" or not ends:
        return False
    hint = plain(told(ends[-1].hint)) if ends[-1].hint else ""
    st.error(f"{plain(told(ends[-1].message))}\n\n{hint}", icon=":material/error:")
    return True
