"""What a page needs before it can show anything, and what it says until then."""

from __future__ import annotations

import streamlit as st

from pages.shared import averages, backend, navigation, place
from pages.shared.text import t
from transfer_core.errors import NotFound
from transfer_core.store import Job


def trained_run() -> Job | None:
    """The run in the URL when it has a model; else None, after saying what is missing and offering the way there."""
    run = backend.run()
    if run is not None and run.result and not run.live:
        st.caption(_name(run))
        return run
    with st.container(border=True, key="needs-run"):
        if run is not None and run.live:
            st.subheader(t("needs.live_title"))
            st.write(t("needs.live_text"))
            if st.button(t("needs.live_action"), type="primary", icon=":material/model_training:", key="to-live"):
                navigation.go("train")
            return None
        missing = "no_model" if run is not None else "unknown_run" if place.get("run") else "no_run"
        st.subheader(t("needs.title"))
        st.write(t(f"needs.{missing}"))
        _choices()
    return None


def _choices() -> None:
    finished = [run for run in backend.store().runs(8, measured=True) if not run.live][:5]
    if not finished:
        if st.button(t("train.empty_action"), type="primary", icon=":material/add_photo_alternate:", key="needs-data"):
            navigation.go("data")
        return
    st.caption(t("needs.choose"))
    for run in finished:
        test = run.result.get("test") or {}
        label = _name(run) + (f" · {100 * test['accuracy']:.0f} %" if test else "")
        if st.button(label, key=f"choose-{run.id}", icon=":material/arrow_forward:", type="tertiary"):
            place.put(run=run.id, dataset=run.payload["recipe"]["dataset"])
            st.rerun()


def _name(run: Job) -> str:
    recipe = run.payload["recipe"]
    try:
        dataset = backend.store().dataset(recipe["dataset"]).name
    except NotFound:
        dataset = run.payload.get("name") or recipe["dataset"]  # of a zip without its photos
    return averages.named(run, dataset)


def next_step(page: str, label: str, primary: bool = True) -> None:
    """The way on, at the foot of a page; primary unless the page's own work is still to do."""
    if st.button(label, type="primary" if primary else "secondary", icon=":material/arrow_forward:", key=f"next-{page}"):
        navigation.go(page)
