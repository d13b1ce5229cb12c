"""The first choice: a few suggested models as cards, every other one by search."""

from __future__ import annotations

import re
from html import escape

import streamlit as st

from pages.shared import backend, draft
from pages.shared.draft import Draft
from pages.shared.frame import show
from pages.shared.model import searching, speeds
from pages.shared.model.numbers import digits, short
from pages.shared.text import t
from transfer_core import catalog
from transfer_core.catalog import ModelInfo, Suggestion


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
            _facts(now.info, t("model.from_search"), "", measured, chosen=True)
    _weights_warning(now)
    with st.container(horizontal=True, vertical_alignment="center", key="model-tools"):
        speeds.offer([suggestion.model.name for suggestion in suggestions])
    searching.panel(now)


def _card(suggestion: Suggestion, chosen: str, measured: dict[str, float]) -> None:
    info, is_chosen = suggestion.model, suggestion.model.name == chosen
    with st.container(border=True, key=f"model-card-{'chosen-' if is_chosen else ''}{suggestion.role}"):
        role = t(f"catalog.roles.{suggestion.role}.title")
        _facts(info, role, t(f"catalog.roles.{suggestion.role}.text"), measured, suggestion)
        st.button(
            t("model.chosen") if is_chosen else t("model.take"), key=f"take-{suggestion.role}", width="stretch",
            disabled=is_chosen, icon=":material/check_circle:" if is_chosen else None,
            on_click=draft.choose_model, args=(info.name,),
            help=None if is_chosen else t("model.take_help", model=info.name))


def _facts(info: ModelInfo, title: str, text: str, measured: dict[str, float], suggestion: Suggestion | None = None, *,
           chosen: bool = False) -> None:
    """The facts of a model as a list a screen reader can read; names come from files, so they are escaped."""
    rows = facts(info, measured)
    if suggestion and suggestion.top1:
        accuracy = t("model.top1", percent=f"{suggestion.top1:g}", size=suggestion.top1_size)
        rows.insert(0, (t("model.accuracy"), accuracy, t("model.accuracy_help", source=suggestion.source)))
    items = "".join(f'<div title="{escape(note, True)}"><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>'
                    for name, value, note in rows)
    mark = f'<span class="mark">✓ {escape(t("model.chosen"))}</span>' if chosen else ""
    st.html(f'<div class="model-facts"><p class="role">{escape(title)} {mark}</p><p class="name">{_name(info)}</p>'
            f'<p class="about">{escape(text)}</p>{_where(info)}<dl>{items}</dl></div>')


def facts(info: ModelInfo, measured: dict[str, float]) -> list[tuple[str, str, str]]:
    """Name, value and explanation of what can be said of any model."""
    speed = measured.get(info.name)
    weight = t("model.size_value", parameters=short(info.parameters), gmacs=digits(info.gmacs))
    rows = [
        (t("model.size"), weight, t("model.size_help")),
        (t("model.photo_size"), t("model.pixels", size=info.image_size), t("model.photo_size_help")),
        (t("model.licence"), info.licence, t({True: "model.commercial_yes", False: "model.commercial_no"}
                                             .get(info.commercial, "model.commercial_unknown"))),
        (t("model.learned_from"), _datasets(info), t("model.learned_from_help", count=info.source_classes)),
    ]
    if speed:
        rows.append((t("model.speed"), t("model.speed_value", count=digits(speed)), t("model.speed_help")))
    return rows


def _datasets(info: ModelInfo) -> str:
    """`in12k → in1k` in the names people know: `ImageNet-12k → ImageNet-1k`."""
    return re.sub(r"\bin(\d+k)", r"ImageNet-\1", info.trained_on)


def _name(info: ModelInfo) -> str:
    """The name may break after each underscore, so that it fits a narrow card."""
    return escape(info.name).replace("_", "_<wbr>").replace(".", ".<wbr>")


def _where(info: ModelInfo) -> str:
    at = catalog.weights_at(info.name, backend.home())
    return f'<p class="where {at}">{escape(t(f"model.weights_{at}"))}</p>'


def _weights_warning(now: Draft) -> None:
    """What has to be fetched, and what to do where no network is. Said before Start, not after."""
    if now.recipe.weights == "pretrained" and catalog.weights_at(now.info.name, backend.home()) == "download":
        offline = ", ".join(f"`{name}`" for name in catalog.PACKAGED)
        st.info(t("model.needs_download", model=now.info.name, offline=offline), icon=":material/cloud_download:")
        with st.popover(t("model.no_network"), icon=":material/wifi_off:", type="tertiary", key="mirror"):
            st.markdown(t("model.mirror", offline=offline))
