"""How fast each model is on this machine: read from what a `measure` job found, and the offer to measure."""

from __future__ import annotations

import streamlit as st

from pages.shared import backend
from pages.shared.text import t, told
from pages.shared.undisturbed import undisturbed
from transfer_core.errors import StudioError
from transfer_core.events import Failed
from transfer_core.recipe import DEFAULT_MODEL
from transfer_core.speeds import speeds
from transfer_core.store import Job

KIND = "measure"


def measured() -> dict[str, float]:
    """Model → photos a second through the whole model, forward only."""
    return {name: speed.images_per_second for name, speed in speeds(backend.home()).items()}


def offer(models: list[str]) -> None:
    """A quiet button while some suggested model is not measured yet; the progress while it is being measured.

    The default model is measured without being asked, once in a data home: a price without minutes is half a price, and
    other models' speed is worked out from it.
    """
    known, jobs = measured(), backend.store().jobs(KIND)
    if not known and all(job.state == "finished" for job in jobs):  # if there were any, they gave way to a training
        try:
            jobs = [_ask([DEFAULT_MODEL])]
        except StudioError as error:  # nobody asked for it: no reason to show an error instead of the page
            st.caption(f":material/speed: {told(error)}")
            return
    if live := [job for job in jobs if job.live]:
        _watch(live[0].id)
    elif missing := [name for name in models if name not in known]:
        st.button(t("model.measure"), icon=":material/speed:", key="measure", type="tertiary", help=t("model.measure_help"),
                  on_click=_submit, args=(missing,))
        _failure(next((job for job in jobs if job.state == "failed"), None))


@undisturbed()
def _submit(models: list[str]) -> None:
    _ask(models)


def _ask(models: list[str]) -> Job:
    return backend.store().submit(KIND, {"models": models}, backend.device())


@st.fragment(run_every=1.0)
def _watch(job_id: str) -> None:
    try:
        job = backend.store().job(job_id)
    except StudioError:
        st.rerun()
    if not job.live:
        st.rerun()
    st.caption(f":material/speed: {t('model.measure_waits') if backend.store().ahead(job) else t('model.measuring')}")


def _failure(last: Job | None) -> None:
    if last:
        ends = [event for _, event in backend.store().events(last.id) if isinstance(event, Failed)]
        if ends:
            st.caption(f":material/error: {told(ends[-1].message)}")
