"""The first choice: a few suggested models as cards, every other one by search."""

from __future__ import annotations

import streamlit as st

from pages.shared import backend, draft
from pages.shared.draft import Draft
from pages.shared.frame import show
from pages.shared.model import facts, searching, speeds
from pages.shared.text import t
from transfer_core import catalog
from transfer_core.catalog import Suggestion
from transfer_core.people import is_trial


def section(now: Draft) -> None:
    st.subheader(t("model.choose"), anchor="choose")
    if now.unknown_model:
        show(now.unknown_model)
    measured = speeds.measured()
    suggestions = catalog.suggested()
    with st.grid(columns="auto", min_column_width=205, gap="small", key="model-cards"):
        for suggestion in suggestions:
            _card(suggestion, now.info.name, measured)
    if now.info.name not in {suggestion.model.name for suggestion in suggestions}:
        with st.container(key="model-other"):
            facts.draw(now.info, t("model.from_search"), "", measured, chosen=True)
    _weights_warning(now)
    with st.container(horizontal=True, vertical_alignment="center", key="model-tools"):
        speeds.offer([suggestion.model.name for suggestion in suggestions])
    if not is_trial():  # which trains the suggested ones only
        searching.panel(now)


def _card(suggestion: Suggestion, chosen: str, measured: dict[str, float]) -> None:
    info, is_chosen = suggestion.model, suggestion.model.name == chosen
    with st.container(border=True, key=f"model-card-{'chosen-' if is_chosen else ''}{suggestion.role}"):
        role = t(f"catalog.roles.{suggestion.role}.title")
        facts.draw(info, role, t(f"catalog.roles.{suggestion.role}.text"), measured, suggestion)
        st.button(
            t("model.chosen") if is_chosen else t("model.take"), key=f"take-{suggestion.role}", width="stretch",
            disabled=is_chosen, icon=":material/check_circle:" if is_chosen else None,
            on_click=draft.choose_model, args=(info.name,),
            help=None if is_chosen else t("model.take_help", model=info.name))


def _weights_warning(now: Draft) -> None:
    """What has to be fetched, and what to do where no network is. Said before Start, not after."""
    if now.recipe.weights == "pretrained" and catalog.weights_at(now.info.name, backend.home()) == "download":
        offline = ", ".join(f"`{name}`" for name in catalog.PACKAGED)
        st.info(t("model.needs_download", model=now.info.name, offline=offline), icon=":material/cloud_download:")
        with st.popover(t("model.no_network"), icon=":material/wifi_off:", type="tertiary", key="mirror"):
            st.markdown(t("model.mirror", offline=offline))
