"""Search over every pretrained timm classifier. What was asked lies in the URL, in the keys of `KEYS`."""

from __future__ import annotations

from html import escape
from typing import Any

import streamlit as st

from pages.shared import backend, draft, place
from pages.shared.bound import bind_to
from pages.shared.draft import Draft
from pages.shared.model.facts import datasets
from pages.shared.model.numbers import digits, short
from pages.shared.text import plain, t
from pages.shared.undisturbed import undisturbed
from transfer_core import catalog
from transfer_core.catalog import ModelInfo

PAGE = 10
ANY = ""
KEYS = ("find", "family", "most", "order", "commercial", "here", "shown")
_SIZES = {ANY: None, "3M": 3e6, "10M": 10e6, "30M": 30e6, "100M": 100e6}
_ORDERS = {"match": None, "small": lambda info: info.parameters, "light": lambda info: info.macs,
           "large": lambda info: -info.parameters}


def panel(now: Draft) -> None:
    """The search, folded until somebody asks for it: its work is done only while it is open."""
    if any(place.get(key) for key in KEYS):
        st.session_state.setdefault("search-panel", True)
    found = st.expander(t("model.search.open", count=_count()), icon=":material/search:", key="search-panel", on_change=_folded)
    if found.open:
        with found:
            _search(now)


@undisturbed()
def _folded() -> None:
    """A search folded away is over: a refresh does not unfold it."""
    if not st.session_state["search-panel"]:
        place.put(**dict.fromkeys(KEYS))


@st.cache_data(show_spinner=False)
def _count() -> int:
    return sum(info.pretrained for info in catalog.models())


def _search(now: Draft) -> None:
    with st.grid(columns="auto", min_column_width=200, gap="small", vertical_alignment="bottom", key="search-filters"):
        text = st.text_input(t("model.search.text"), placeholder=t("model.search.placeholder"), **_bind("text", "find"))
        family = st.selectbox(t("model.search.family"), [ANY, *_families()], format_func=lambda name: name or _any(),
                              **_bind("family", "family", [ANY, *_families()]))
        size = st.selectbox(t("model.search.size"), list(_SIZES), **_bind("size", "most", list(_SIZES)),
                            format_func=lambda most: t("model.search.at_most", size=short(_SIZES[most])) if most else _any())
        order = st.selectbox(t("model.search.order"), list(_ORDERS), **_bind("order", "order", list(_ORDERS), "match"),
                             format_func=lambda name: t(f"model.search.order_{name}"))
    with st.container(horizontal=True, key="search-switches"):
        commercial = st.checkbox(t("model.search.commercial"), **_bind("commercial", "commercial"))
        here = st.checkbox(t("model.search.here"), **_bind("here", "here"))
    found = catalog.search(text, family=family or None, max_parameters=int(_SIZES[size]) if size else None,
                           commercial=commercial, here=backend.home() if here else None)
    if by := _ORDERS[order]:
        found = sorted(found, key=lambda info: (info.toy, by(info)))
    if not found:
        st.info(t("model.search.nothing", text=plain(text)), icon=":material/search_off:")
        return
    shown = _shown()
    st.caption(t("model.search.found", count=len(found), shown=min(shown, len(found))))
    with st.container(key="search-results", gap="xxsmall"):
        for info in found[:shown]:
            _row(info, info.name == now.info.name)
    if shown < len(found):
        st.button(t("model.search.more"), icon=":material/expand_more:", key="search-more", type="tertiary", on_click=_more)


def _bind(widget: str, key: str, options: list[str] | None = None, usual: str = ANY) -> dict[str, Any]:
    """A widget whose value lies in the URL under `key` while it is not the usual one. A new question starts at page one."""
    asked = place.get(key) or usual
    value: Any = asked if options is None or asked in options else usual
    if key in ("commercial", "here"):
        value = asked == "true"
    return bind_to(f"search-{widget}", value, lambda given: place.put(shown=None, **{key: _said(given, usual)}),
                   options=options)


def _said(given: str | bool, usual: str) -> str | None:
    if isinstance(given, bool):
        return "true" if given else None
    return given.strip() if given.strip() and given != usual else None


def _shown() -> int:
    asked = place.get("shown") or ""
    return min(int(asked), 2000) if asked.isdecimal() and len(asked) < 6 else PAGE


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


@undisturbed()
def _more() -> None:
    place.put(shown=str(_shown() + 2 * PAGE))
