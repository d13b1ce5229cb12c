"""How much of the model stays as it is: three presets, the ladder, and what the choice costs."""

from __future__ import annotations

import streamlit as st

from pages.shared import backend, draft
from pages.shared.components.ladder import ladder
from pages.shared.draft import Draft
from pages.shared.model.numbers import decimal, digits, duration, logarithmic, plus, short, size
from pages.shared.text import t, told
from transfer_core import catalog, estimate, presets

_OWN = "own"


def section(now: Draft, depth: str) -> None:
    st.subheader(t("model.freezing_title"), anchor="freezing")
    st.markdown(t("model.freezing_text"))
    _presets(now)
    left, right = st.columns([5, 2], gap="large")
    with left:
        if now.info.whole:
            st.caption(t("model.one_group"))
        head = t("ladder.head", count=now.classes) if now.classes else t("ladder.head_unknown")
        ladder(now.info.groups, now.positions, draft.change_positions, head=head, single=depth != "simple")
        _anchor(now)
    with right:
        price(now)


def _presets(now: Draft) -> None:
    """The presets as a row of choices; none is chosen while the freezing is a person's own."""
    same = (now.recipe.freeze, now.recipe.positions) == (now.usual.freeze, now.usual.positions)
    names = presets.PRESETS.names()
    st.radio(
        t("model.preset"), names, index=None, horizontal=True, width="stretch",
        format_func=lambda name: _preset_title(name, now.advised),
        captions=[t(f"catalog.presets.{name}.text") for name in names],
        **draft.bind_to("preset-choice", now.preset if same else None, lambda name: name and draft.choose_preset(name)),
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


def price(now: Draft) -> None:
    """What the recipe costs on this machine, before anybody waits for it."""
    speed = estimate.speeds(backend.home()).get(now.info.name)
    cost = estimate.estimate(now.recipe, now.info, now.images, speed, classes=now.classes or 10)
    with st.container(border=True, key="price"):
        st.markdown(f"**{t('model.price')}**")
        with st.grid(columns="auto", min_column_width=140, gap="small", key="price-tags"):
            st.metric(t("model.trainable"), short(cost.trainable_parameters), help=t("model.trainable_help"))
            known = bool(cost.seconds and now.images)
            st.metric(t("model.minutes"), duration(cost.seconds) if known else "–", help=t("model.minutes_help"))
            st.metric(t("model.memory"), size(cost.memory_bytes), help=t("model.memory_help"))
            if now.recipe.weights == "pretrained" and catalog.weights_at(now.info.name, backend.home()) == "download":
                st.metric(t("model.download"), size(cost.download_bytes), help=t("model.download_help"))
        share = cost.trainable_parameters / max(1, cost.total_parameters)
        st.progress(min(1.0, share), t("model.trainable_share", share=digits(100 * share), total=short(cost.total_parameters)))
        if not now.images:
            st.caption(t("model.minutes_need_photos"))
        elif speed is None:
            st.caption(t("model.minutes_need_speed"))
