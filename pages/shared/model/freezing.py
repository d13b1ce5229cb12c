"""How much of the model stays as it is: three presets, the ladder, and beside it what the choice costs."""

from __future__ import annotations

import streamlit as st

from pages.shared import draft, navigation
from pages.shared.bound import bind_to
from pages.shared.components.ladder import ladder
from pages.shared.draft import Draft
from pages.shared.model import price
from pages.shared.model.numbers import decimal, logarithmic, plus
from pages.shared.text import t, told
from transfer_core import presets

_OWN = "own"


def section(now: Draft, depth: str) -> None:
    st.subheader(t("model.freezing_title"), anchor="freezing")
    st.markdown(t("model.freezing_text"))
    st.caption(navigation.theory("freezing"))
    _presets(now)
    left, right = st.columns([5, 2], gap="large")
    with left:
        if now.info.whole:
            st.caption(t("model.one_group"))
        head = t("ladder.head", count=now.classes) if now.classes else t("ladder.head_unknown")
        ladder(now.info.groups, now.positions, draft.change_positions, head=head, single=depth != "simple")
        _anchor(now)
    with right:
        price.section(now, depth != "simple")


def _presets(now: Draft) -> None:
    """The presets as a row of choices; none is chosen while the freezing is a person's own."""
    same = (now.recipe.freeze, now.recipe.positions) == (now.usual.freeze, now.usual.positions)
    names = presets.PRESETS.names()
    st.radio(
        t("model.preset"), names, horizontal=True, width="stretch",
        format_func=lambda name: _preset_title(name, now.advised),
        captions=[t(f"catalog.presets.{name}.text") for name in names],
        **bind_to("preset-choice", now.preset if same else None, lambda name: name and draft.choose_preset(name),
                  options=names),
    )
    st.caption(f":material/lightbulb: {told(now.why)}" if same else f":material/edit: {t('model.preset_own')}")


def _preset_title(name: str, advised: str) -> str:
    title = t(f"catalog.presets.{name}.title")
    return f"{title} :orange-badge[:material/star: {t('model.recommended')}]" if name == advised else title


def _anchor(now: Draft) -> None:
    """How hard the anchor pulls; only while something is anchored."""
    if "anchor" not in now.positions:
        return
    with st.container(border=True, key="anchor"):
        st.select_slider(
            f":material/anchor: {t('settings.lambda_anchor')}", plus(logarithmic(0.01, 10_000), now.recipe.lambda_anchor),
            format_func=lambda value: f"λ = {decimal(value)}", help=t("settings.lambda_anchor_help"),
            **draft.bind("lambda_anchor", now))
        ends(t("ladder.anchor_low"), t("ladder.anchor_high"))


def ends(low: str, high: str) -> None:
    """What the two ends of the slider above mean: a bare λ says nothing."""
    with st.container(horizontal=True, horizontal_alignment="distribute", wrap=False):
        st.caption(f"← {low}", width="content")
        st.caption(f"{high} →", width="content", text_alignment="right")
