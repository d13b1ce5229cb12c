"""Kept against learned: one point for each λ. Drawn by the browser from a description (Vega-Lite), so it can be pointed at."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from pages.shared.model.numbers import decimal
from pages.shared.text import t
from transfer_core.charts import PALETTE
from transfer_core.metrics import wilson
from transfer_core.sweeping import Tried

_WIDE, _HIGH = 0.18, 0.09
"""Room a point's name takes, as a share of the plot, in a window of 390 pixels."""


def plot(known: Sequence[Tried], chosen: Tried) -> None:
    """Points of which nothing is known about what they kept stand at the left."""
    st.vega_lite_chart(spec(known, chosen), width="stretch", key="sweep-plot")


def spec(known: Sequence[Tried], chosen: Tried) -> dict:
    rows, named = [], _named(known, chosen)
    for each in known:
        low, high = wilson(round(each.accuracy * each.n), each.n)
        rows.append({"name": f"λ = {decimal(each.value)}", "learned": each.accuracy, "low": low, "high": high,
                     "kept": each.kept or 0.0, "seeds": each.seeds, "chosen": each.value == chosen.value,
                     "label": f"λ = {decimal(each.value)}" if each in named else ""})
    number = {"type": "quantitative", "axis": {"format": ".0%"}}
    x = {**number, "field": "kept", "title": t("sweep.kept"), "scale": {"domain": [0, 1]}}
    y = {**number, "title": t("sweep.learned"), "scale": {"zero": False, "nice": True}}
    ink = {"condition": {"test": "datum.chosen", "value": PALETTE[0]}, "value": PALETTE[1]}
    shares = [{"field": name, "format": ".1%", "title": t(f"sweep.{name}")} for name in ("learned", "low", "high", "kept")]
    told = [{"field": "name", "title": "λ"}, *shares, {"field": "seeds", "title": t("sweep.seeds")}]
    return {
        "data": {"values": rows}, "height": 320, "description": t("sweep.alt", value=decimal(chosen.value)),
        "layer": [
            {"mark": {"type": "rule", "strokeWidth": 2, "opacity": 0.5},
             "encoding": {"x": x, "y": {**y, "field": "low"}, "y2": {"field": "high"}, "color": ink}},
            {"mark": {"type": "point", "filled": True, "opacity": 1},
             "encoding": {"x": x, "y": {**y, "field": "learned"}, "color": ink, "tooltip": told,
                          "shape": {"condition": {"test": "datum.chosen", "value": "diamond"}, "value": "circle"},
                          "size": {"condition": {"test": "datum.chosen", "value": 260}, "value": 110}}},
            {"mark": {"type": "text", "align": "left", "dx": 10, "dy": -8, "fontSize": 13},
             "encoding": {"x": x, "y": {**y, "field": "learned"}, "text": {"field": "label"}, "color": ink}},
        ],
    }


def _named(known: Sequence[Tried], chosen: Tried) -> list[Tried]:
    """The points whose name has room: the recommended one, then those that stand clear of the names there are. The others say
    theirs when they are pointed at, and the table names all."""
    bounds = [wilson(round(each.accuracy * each.n), each.n) for each in known]
    height = max(high for _, high in bounds) - min(low for low, _ in bounds)
    named: list[Tried] = []
    for each in sorted(known, key=lambda each: each.value != chosen.value):
        if all(abs((each.kept or 0) - (other.kept or 0)) > _WIDE or abs(each.accuracy - other.accuracy) > _HIGH * height
               for other in named):
            named.append(each)
    return named
