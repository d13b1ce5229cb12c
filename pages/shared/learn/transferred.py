"""What was taken over: features, weights or only the structure; and what of the model stood still in the training shown."""

from __future__ import annotations

from html import escape

import streamlit as st

from pages.shared.components.drawing import drawing
from pages.shared.learn import parts
from pages.shared.learn.shown import Shown
from pages.shared.model.numbers import short
from pages.shared.text import t
from pages.shared.train.card import shape_of

_EXAMPLE = {"groups": [{"name": "", "position": "freeze", "parameters": 500_000}] * 8, "parameters": 4_005_000}
_LOOKS = {"freeze": "var(--freeze)", "anchor": "var(--anchor)", "train": "var(--train)", "head": "#1a8a72"}
_WIDTH, _HEIGHT = 420, 44


def show(now: Shown | None) -> None:
    parts.formula("transferred", r"p(y \mid x) = \mathrm{softmax}\bigl(W\, g(x;\, \theta) + b\bigr)", {
        "x": "x", r"g(x;\, \theta)": "g", r"\theta": "theta", "W,\\, b": "w", r"p(y \mid x)": "p"}, "survey", "features")
    st.markdown(t("learn.transferred.kinds"))
    info = now.info if now and now.info.get("groups") else None
    with parts.example("transferred", own=now is not None):
        st.markdown(t(f"learn.transferred.run_{kind(now)}" if now else "learn.transferred.example"))
        if now and (shape := shape_of(now.recipe)):
            st.caption(f":material/architecture: {shape}")
            if now.recipe.tuning != "all" and info:
                st.caption(t("structure.learn", trainable=short(info["trainable_parameters"]), total=short(info["parameters"])))
        if now is None or info:
            ladder(info or _EXAMPLE)


def kind(now: Shown) -> str:
    """`features`, `weights` or `structure`."""
    if now.recipe.weights == "scratch":
        return "structure"
    return "weights" if now.learns_inside else "features"


def ladder(info: dict) -> None:
    """The weights as one strip, part by part, and what each colour stands for in numbers."""
    groups, total = info["groups"], max(1, info["parameters"])
    share = {position: sum(group["parameters"] for group in groups if group["position"] == position) / total
             for position in ("freeze", "anchor", "train")}
    share["head"] = max(0.0, 1 - sum(share.values()))
    percent = {name: _percent(value) for name, value in share.items()}
    drawing(_strip(groups, share, total, t("learn.transferred.alt", **percent)), key="learn-ladder")
    rows = []
    for position in ("freeze", "anchor", "train"):
        if count := sum(group["position"] == position for group in groups):
            text = t("learn.transferred.share", count=count, groups=len(groups), share=percent[position])
            rows.append((t(f"ladder.{position}"), text, _LOOKS[position]))
    rows.append((t("learn.transferred.head_name"), t("learn.transferred.head", share=percent["head"]), _LOOKS["head"]))
    st.html('<dl class="learn-shares">' + "".join(
        f'<div><dt><i style="background:{ink}"></i>{escape(name)}</dt><dd>{escape(text)}</dd></div>' for name, text, ink in rows)
        + "</dl>")


def _percent(share: float) -> str:
    """Whole percents; never 0 or 100 for what is neither."""
    if 0.995 <= share < 1:
        return "> 99"
    return f"{100 * share:.0f}" if share >= 0.095 or share == 0 else f"{100 * share:.1g}"


def _strip(groups: list[dict], share: dict[str, float], total: int, alt: str) -> str:
    """Each part as wide as its share of the weights, but never too narrow to be seen. Position is told by height, too."""
    pieces = [(group["position"], group["parameters"] / total) for group in groups] + [("head", share["head"])]
    least = 4.0
    room = _WIDTH - least * len(pieces)
    drawn, left = [], 0.0
    for position, part in pieces:
        width = least + part * room
        top = {"freeze": 14, "anchor": 7}.get(position, 0)
        drawn.append(f'<rect x="{left:.1f}" y="{top}" width="{max(1.0, width - 1.5):.1f}" height="{_HEIGHT - top}" rx="2" '
                     f'style="fill:{_LOOKS[position]}"/>')
        left += width
    return (f'<svg class="axes learn-strip" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{escape(alt)}">'
            f'{"".join(drawn)}</svg>')
