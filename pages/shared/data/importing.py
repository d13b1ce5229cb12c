"""An import under way: its stages and numbers. A refresh, or closing the tab, does not stop it."""

from __future__ import annotations

import streamlit as st

from pages.shared import backend, place
from pages.shared.data import imports
from pages.shared.text import plain, t
from pages.shared.undisturbed import undisturbed
from transfer_core.store import Dataset, Job


def show(job: Job) -> Dataset | None:
    """Draw how far it is; returns the dataset as soon as there is one."""
    if job.state == "finished" and (dataset := imports.dataset_of(job)):
        place.put(job=None, dataset=dataset.id)
        return dataset
    st.title(t("data.import.title", name=plain(job.payload.get("name", ""))))
    if job.live:
        st.markdown(t("data.import.text"))
        st.fragment(_watch, run_every=0.5, key="import-watch")(job.id)
        return None
    if job.state == "finished":
        st.warning(t("data.no_such_dataset"), icon=":material/search_off:")
    else:
        imports.failure(job)
    with st.container(horizontal=True):
        if job.state != "finished":
            st.button(t("data.import.again"), type="primary", icon=":material/refresh:", key="import-again",
                      on_click=_again, args=(job,))
        st.button(t("data.understood.other"), key="start-again", icon=":material/undo:", on_click=lambda: place.put(job=None))
    return None


def _watch(job_id: str) -> None:
    job = backend.store().job(job_id)
    if not job.live:
        st.rerun()
    imports.bar(job)
    st.button(t("data.import.stop"), key="import-stop", type="tertiary", icon=":material/stop_circle:",
              on_click=lambda: backend.store().ask_stop(job_id, "discard"))


@undisturbed()
def _again(job: Job) -> None:
    if place.get("job") == job.id:
        place.put(job=backend.store().submit("import", job.payload).id)
