"""The moments between “Try the example” and its curves. A refresh finds them again through the URL."""

from __future__ import annotations

import streamlit as st

from pages.shared import backend, place
from pages.shared.data import imports
from pages.shared.home import example
from pages.shared.text import t
from pages.shared.undisturbed import undisturbed
from transfer_core.store import Job


def show(job: Job, request: str) -> None:
    st.title(t("home.waiting_title"))
    st.write(t("home.waiting_text"))
    st.fragment(_watch, run_every=0.5 if job.live else None, key="example-watch")(job.id, job.live)
    if job.live:
        with st.container(key="example-preview"):
            st.html(example.preview(example.EXAMPLE))
    if job.state == "finished":
        example.go_on(job, request)


def _watch(job_id: str, was_live: bool) -> None:
    job = backend.store().job(job_id)
    if job.live != was_live:
        st.rerun()
    if job.live:
        imports.bar(job)
        st.button(t("home.waiting_leave"), key="example-leave", type="tertiary", on_click=leave)
    elif job.state != "finished":
        imports.failure(job)
        st.button(t("home.try_again"), type="primary", icon=":material/refresh:", key="example-again", on_click=_again)


@undisturbed()
def leave() -> None:
    """Back to the home page; the import goes on, and is found again by the next click."""
    place.put(job=None, then=None)


@undisturbed()
def _again() -> None:
    leave()
    example.begin()
