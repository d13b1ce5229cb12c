"""Search over every pretrained timm classifier."""

from __future__ import annotations

from html import escape

import streamlit as st

from pages.shared import backend, draft
from pages.shared.draft import Draft
from pages.shared.model.facts import datasets
from pages.shared.model.numbers import digits, short
from pages.shared.text import plain, t
from transfer_core import catalog
from transfer_core.catalog import ModelInfo

PAGE = 10
ANY = ""
_SIZES = (ANY, 3e6, 10e6, 30e6, 100e6)
_ORDERS = {"match": None, "small": lambda info: info.parameters, "light": lambda info: info.macs,
           "large": lambda info: -info.parameters}


def panel(now: Draft) -> None:
    """The search, folded until somebody asks for it: its work is done only while it is open."""
    found = st.expander(t("model.search.open", count=_count()), icon=":material/search:", key="search-panel", on_change="rerun")
    if found.open:
        with found:
            _search(now)


@st.cache_data(show_spinner=False)
def _count() -> int:
    return sum(info.pretrained for info in catalog.models())


def _search(now: Draft) -> None:
    with st.grid(columns="auto", min_column_width=200, gap="small", vertical_alignment="bottom", key="search-filters"):
        text = st.text_input(t("model.search.text"), key="search-text", on_change=_first_page,
                             placeholder=t("model.search.placeholder"))
        family = st.selectbox(t("model.search.family"), [ANY, *_families()], key="search-family", on_change=_first_page,
                              format_func=lambda name: name or _any())
        size = st.selectbox(t("model.search.size"), _SIZES, key="search-size", on_change=_first_page,
                            format_func=lambda most: t("model.search.at_most", size=short(most)) if most else _any())
        order = st.selectbox(t("model.search.order"), list(_ORDERS), key="search-order", on_change=_first_page,
                             format_func=lambda name: t(f"model.search.order_{name}"))
    with st.container(horizontal=True, key="search-switches"):
        commercial = st.checkbox(t("model.search.commercial"), key="search-commercial", on_change=_first_page)
        here = st.checkbox(t("model.search.here"), key="search-here", on_change=_first_page)
    found = catalog.search(text, family=family or None, max_parameters=int(size) if size else None, commercial=commercial,
                           here=backend.home() if here else None)
    if _ORDERS[order]:
        found = sorted(found, key=_ORDERS[order])
    if not found:
        st.info(t("model.search.nothing", text=plain(text)), icon=":material/search_off:")
        return
    shown = st.session_state.setdefault("search-shown", PAGE)
    st.caption(t("model.search.found", count=len(found), shown=min(shown, len(found))))
    with st.container(key="search-results", gap="xxsmall"):
        for info in found[:shown]:
            _row(info, info.name == now.info.name)
    if shown < len(found):
        st.button(t("model.search.more"), icon=":material/expand_more:", key="search-more", type="tertiary", on_click=_more)


def _any() -> str:
    return t("model.search.any")


@st.cache_data(show_spinner=False)
def _families() -> list[str]:
    return sorted(catalog.families())


def _row(info: ModelInfo, chosen: bool) -> None:
    with st.container(horizontal=True, vertical_alignment="center", key=f"result-{'chosen-' if chosen else ''}{info.name}"):
        at = catalog.weights_at(info.name, backend.home())
        st.html(
            f'<div class="model-row"><b>{escape(info.name).replace("_", "_<wbr>")}</b>'
            f'<span title="{escape(t("model.size_help"), True)}">{short(info.parameters)} · {digits(info.gmacs)} GMACs</span>'
            f'<span title="{escape(t("model.photo_size_help"), True)}">{escape(t("model.pixels", size=info.image_size))}</span>'
            f'<span title="{escape(t("model.learned_from"), True)}">{escape(datasets(info))}</span>'
            f'<span title="{escape(t("model.licence"), True)}">{escape(info.licence)}</span>'
            f'<span class="where {at}">{escape(t(f"model.weights_{at}"))}</span></div>')
        st.button(t("model.chosen") if chosen else t("model.take_short"), key=f"take-{info.name}", disabled=chosen,
                  on_click=draft.choose_model, args=(info.name,), help=t("model.take_help", model=info.name))


def _more() -> None:
    st.session_state["search-shown"] += 2 * PAGE


def _first_page() -> None:
    st.session_state["search-shown"] = PAGE
