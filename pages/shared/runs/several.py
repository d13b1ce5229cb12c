"""Several trainings chosen in the list: beside each other, or their average, or why there can be none."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from pages.shared import backend, navigation
from pages.shared.compare.chosen import KEY, MOST
from pages.shared.text import plain, t, told
from pages.shared.undisturbed import undisturbed
from transfer_core.errors import StudioError
from transfer_core.jobs import averages
from transfer_core.store import Job

_BEGUN = "average begun"


def offer(chosen: Sequence[Job]) -> None:
    if begun := st.session_state.pop(_BEGUN, None):
        navigation.go("train", run=begun, dataset=chosen[0].payload["recipe"]["dataset"])
    runs = [run.id for run in chosen]
    if st.button(t("compare.offer"), type="primary", icon=":material/compare_arrows:", key="compare-runs",
                 disabled=len(runs) > MOST, help=t("compare.too_many", most=MOST) if len(runs) > MOST else None):
        navigation.go("compare", **{KEY: ",".join(runs)})
    with st.container(border=True, key="several"):
        st.markdown(f"**{t('mixture.several.title')}**")
        st.write(t("mixture.several.text"))
        if refused := _refused(chosen):
            st.info(refused, icon=":material/info:")
            return
        st.button(t("mixture.several.start", count=len(runs)), icon=":material/blender:", key="average-runs",
                  on_click=_start, args=(runs,))


def _refused(chosen: Sequence[Job]) -> str:
    """Why they cannot be averaged, told by what a person sees of them; empty where they can."""
    if any(run.live or not run.result for run in chosen):
        return t("mixture.several.no_model")
    try:
        averages.soup(backend.store(), [run.id for run in chosen])
    except StudioError as error:
        if error.code == "soup_differs":
            return t(f"mixture.several.differs_{error.values['setting']}")
        if error.code in ("soup_starts", "soup_hidden", "soup_untrained", "soup_unmeasured"):
            return t(f"mixture.several.{error.code}")
        return plain(told(error))
    return ""


def can_be_averaged(runs: list[str]) -> bool:
    try:
        averages.soup(backend.store(), runs)
    except StudioError:
        return False
    return True


@undisturbed()
def _start(runs: list[str]) -> None:
    if begun := begin(runs):
        st.session_state[_BEGUN] = begun


def begin(runs: list[str]) -> str | None:
    """Queue the average of these runs, once; returns its run. None when one of them was deleted in another tab: the page says
    so when it is drawn again."""
    try:
        payload = averages.soup(backend.store(), runs)
    except StudioError:
        return None
    same = [job for job in backend.store().jobs("train", "queued", "running") if job.payload.get("soup") == payload["soup"]]
    begun = same[0] if same else backend.store().submit("train", payload, backend.device())  # two quick clicks call this twice
    return begun.id
