"""The model's shape: how much of it is used, what its head looks like, and what of the trained parts may change."""

from __future__ import annotations

import streamlit as st

from pages.shared import draft
from pages.shared.bound import bind_to
from pages.shared.draft import Draft
from pages.shared.model.numbers import plus, short
from pages.shared.text import t
from transfer_core import estimate

SETTINGS = ("kept_groups", "head", "head_width", "head_dropout", "tuning", "lora_rank")
_HEADS = ("linear", "hidden", "flatten")
_TUNINGS = ("all", "lora", "norm", "bias")


def section(now: Draft, depth: str) -> None:
    """For experts; for everybody else when something of it was changed."""
    if depth != "expert" and not set(SETTINGS) & set(now.differences):
        return
    st.subheader(t("structure.title"), anchor="structure")
    st.markdown(t("structure.text"))
    _length(now)
    left, right = st.columns(2, gap="large")
    with left, st.container(border=True, key="head-form"):
        _head(now)
    with right, st.container(border=True, key="tuning-form"):
        _tuning(now)


def _length(now: Draft) -> None:
    whole = now.info.shortened(None).ends
    if not whole:
        st.caption(f":material/straighten: {t('structure.not_shorter')}")
        return
    st.select_slider(t("settings.kept_groups"), [*whole, 0], help=t("settings.kept_groups_help"),
                     format_func=lambda kept: t("structure.all_groups") if not kept else t("structure.first_groups", count=kept),
                     **bind_to(draft.key("kept_groups"), now.recipe.kept_groups or 0,
                               lambda kept: draft.change(kept_groups=kept or None)))
    if now.info.kept_groups:
        st.caption(t("structure.shorter", share=f"{100 * now.info.share:.0f}"))


def _head(now: Draft) -> None:
    st.markdown(f"**{t('settings.head')}**")
    st.radio(t("settings.head"), _HEADS, label_visibility="collapsed", format_func=lambda name: t(f"settings.head_{name}"),
             captions=[t(f"structure.head_{name}_text") for name in _HEADS],
             **bind_to(draft.key("head"), now.recipe.head, lambda name: draft.change(head=name), options=_HEADS))
    if now.recipe.head == "hidden":
        st.select_slider(t("settings.head_width"), plus([16, 32, 64, 128, 256, 512, 1024, 2048], now.recipe.head_width),
                         help=t("settings.head_width_help"), **draft.bind("head_width", now))
        st.select_slider(t("settings.head_dropout"), plus([0.0, 0.1, 0.2, 0.3, 0.5, 0.7], now.recipe.head_dropout),
                         format_func=lambda share: f"{100 * share:g} %", help=t("settings.head_dropout_help"),
                         **draft.bind("head_dropout", now))
    if now.recipe.head != "linear" or now.info.kept_groups:
        st.caption(f":material/info: {t('structure.not_timm')}")


def _tuning(now: Draft) -> None:
    reasons = refused(now)
    chosen = now.recipe.tuning
    st.markdown(f"**{t('settings.tuning')}**")
    st.radio(t("settings.tuning"), _TUNINGS, label_visibility="collapsed", format_func=lambda name: _title(name, reasons),
             captions=[reasons.get(name) or t(f"structure.tuning_{name}_text") for name in _TUNINGS],
             **bind_to(draft.key("tuning"), chosen, lambda name: name in reasons or draft.change(tuning=name), options=_TUNINGS))
    if chosen == "lora":
        st.select_slider(t("settings.lora_rank"), plus([1, 2, 4, 8, 16, 32, 64], now.recipe.lora_rank),
                         help=t("settings.lora_rank_help"), **draft.bind("lora_rank", now))
    cost = estimate.estimate(now.recipe, now.info, now.images, classes=now.classes or 2)
    st.caption(t("structure.learn", trainable=short(cost.trainable_parameters), total=short(cost.total_parameters)))


def refused(now: Draft) -> dict[str, str]:
    """Ways to change that cannot be had with this freezing or model, and why."""
    learning = [group for group, position in zip(now.info.groups, now.positions, strict=True) if position != "freeze"]
    if not learning:
        return dict.fromkeys(_TUNINGS[1:], t("structure.all_frozen"))
    reasons = {name: t("structure.none_of_these") for name in _TUNINGS[1:] if not any(group.tuned[name] for group in learning)}
    if "anchor" in now.positions:
        reasons["lora"] = t("structure.anchored")
    return reasons


def _title(name: str, reasons: dict[str, str]) -> str:
    title = t(f"settings.tuning_{name}")
    return f":gray[:material/block: {title}]" if name in reasons else title
