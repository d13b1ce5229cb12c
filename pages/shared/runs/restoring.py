"""Open a zip that was taken home, from this studio or another."""

from __future__ import annotations

import streamlit as st

from pages.shared import backend, navigation, working
from pages.shared.components.one_file import one_file
from pages.shared.text import t
from transfer_core.errors import NotFound
from transfer_core.people import is_trial
from transfer_core.store import Job

KIND = "import_project"
_ASKED = "project asked"


def offer() -> None:
    if is_trial():
        return
    with st.expander(t("runs.restore.title"), icon=":material/unarchive:", key="restore", expanded=_job() is not None):
        st.write(t("runs.restore.text"))
        if arrived := one_file("project-file", "runs.restore.", ".zip"):
            st.session_state[_ASKED] = backend.store().submit(KIND, {"upload": arrived["upload"], "name": arrived["name"]}).id
            st.rerun()
        if job := _job():
            st.fragment(_watch, run_every=1.0 if job.live else None, key="restoring")(job.id, job.live)


def _job() -> Job | None:
    """What this visitor brought last."""
    try:
        return backend.store().job(st.session_state[_ASKED]) if _ASKED in st.session_state else None
    except NotFound:
        return None


def _watch(job_id: str, was_live: bool) -> None:
    job = backend.store().job(job_id)
    if job.live:
        working.bar(job)
    elif was_live and job.result:
        st.session_state.pop(_ASKED)
        navigation.go("evaluate", run=job.result["run"], dataset=job.result["dataset"])
    elif was_live:
        st.rerun()
    elif job.result:  # it ended while the visitor was elsewhere
        navigation.link("evaluate", t("runs.restore.open"), ":material/arrow_forward:", run=job.result["run"],
                        dataset=job.result["dataset"])
    elif not working.failure(job):
        st.caption(t("runs.restore.stopped"))
