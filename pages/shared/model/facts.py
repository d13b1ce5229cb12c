"""What is known of a model, drawn the same way on a card and for a model from the search."""

from __future__ import annotations

import re
from html import escape

import streamlit as st

from pages.shared import backend
from pages.shared.model.numbers import digits, short
from pages.shared.text import t
from transfer_core import catalog
from transfer_core.catalog import ModelInfo, Suggestion


def draw(info: ModelInfo, title: str, text: str, measured: dict[str, float], suggestion: Suggestion | None = None, *,
           chosen: bool = False) -> None:
    """The facts of a model as a list a screen reader can read; names come from files, so they are escaped."""
    rows = of(info, measured)
    if suggestion and suggestion.top1:
        note = t("model.accuracy_help", size=suggestion.top1_size, source=suggestion.source)
        rows.insert(0, (t("model.accuracy"), f"{suggestion.top1:g} %", note))
    items = "".join(f'<div title="{escape(note, True)}"><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>'
                    for name, value, note in rows)
    mark = f'<span class="mark">✓ {escape(t("model.chosen"))}</span>' if chosen else ""
    st.html(f'<div class="model-facts"><p class="role">{escape(title)} {mark}</p><p class="name">{_name(info)}</p>'
            f'<p class="about">{escape(text)}</p>{_where(info)}<dl>{items}</dl></div>')


def of(info: ModelInfo, measured: dict[str, float]) -> list[tuple[str, str, str]]:
    """Name, value and explanation of what can be said of any model."""
    speed = measured.get(info.name)
    weight = t("model.size_value", parameters=short(info.parameters), gmacs=digits(info.gmacs))
    rows = [
        (t("model.size"), weight, t("model.size_help")),
        (t("model.photo_size"), t("model.pixels", size=info.image_size), t("model.photo_size_help")),
        (t("model.licence"), info.licence, t({True: "model.commercial_yes", False: "model.commercial_no"}
                                             .get(info.commercial, "model.commercial_unknown"))),
        (t("model.learned_from"), datasets(info), t("model.learned_from_help", count=info.source_classes)),
    ]
    if speed:
        rows.append((t("model.speed"), t("model.speed_value", count=digits(speed)), t("model.speed_help")))
    return rows


def datasets(info: ModelInfo) -> str:
    """`in12k → in1k` in the names people know: `ImageNet-12k → ImageNet-1k`."""
    if info.trained_on == "unknown":
        return t("model.unknown")
    return re.sub(r"\bin(\d+k)", r"ImageNet-\1", info.trained_on)


def _name(info: ModelInfo) -> str:
    """The name may break after each underscore, so that it fits a narrow card."""
    return escape(info.name).replace("_", "_<wbr>").replace(".", ".<wbr>")


def _where(info: ModelInfo) -> str:
    at = catalog.weights_at(info.name, backend.home())
    return f'<p class="where {at}">{escape(t(f"model.weights_{at}"))}</p>'
