"""Kept against learned: one point for each λ. Drawn by the browser from a description (Vega-Lite), so it can be pointed at."""

from __future__ import annotations

import math
from collections.abc import Sequence

import streamlit as st

from pages.shared.model.numbers import decimal
from pages.shared.text import t
from transfer_core.charts import PALETTE
from transfer_core.sweeping import Tried

_WIDE, _HIGH = 0.18, 0.09
"""Room a point's name takes, as a share of the plot, in a window of 390 pixels."""


def plot(known: Sequence[Tried], chosen: Tried) -> None:
    """Points of which nothing is known about what they kept stand at the left."""
    st.vega_lite_chart(spec(known, chosen), width="stretch", key="sweep-plot")


def spec(known: Sequence[Tried], chosen: Tried) -> dict:
    named, left = _named(known, chosen), _left(known)
    middle = (1 + left) / 2
    rows = []
    for each in known:
        low, high = each.learned_interval
        kept = each.kept or 0.0
        kept_low, kept_high = each.kept_interval or (kept, kept)
        label = f"λ = {decimal(each.value)}"
        rows.append({"name": label, "learned": each.accuracy, "low": low, "high": high, "kept": kept, "kept_low": kept_low,
                     "kept_high": kept_high, "seeds": each.seeds, "chosen": each.value == chosen.value,
                     "right": label if each in named and kept <= middle else "",
                     "left": label if each in named and kept > middle else ""})
    number = {"type": "quantitative", "axis": {"format": ".0%", "tickCount": 6}}
    x = {**number, "field": "kept", "title": t("sweep.kept"), "scale": {"domain": [left, 1]}}
    y = {**number, "title": t("sweep.learned"), "scale": {"zero": False, "nice": True}}
    ink = {"condition": {"test": "datum.chosen", "value": PALETTE[0]}, "value": PALETTE[1]}
    shares = [{"field": name, "format": ".1%", "title": t(f"sweep.{name}")}
              for name in ("learned", "low", "high", "kept", "kept_low", "kept_high")]
    told = [{"field": "name", "title": "λ"}, *shares, {"field": "seeds", "title": t("sweep.seeds")}]
    rule, name = {"type": "rule", "strokeWidth": 2, "opacity": 0.5}, {"type": "text", "dy": -8, "fontSize": 13}
    learned, across = {**y, "field": "learned"}, {"x": {**x, "field": "kept_low"}, "x2": {"field": "kept_high"}}
    return {
        "data": {"values": rows}, "height": 320, "description": t("sweep.alt", value=decimal(chosen.value)),
        "layer": [
            {"mark": rule, "encoding": {"x": x, "y": {**y, "field": "low"}, "y2": {"field": "high"}, "color": ink}},
            {"mark": rule, "encoding": {**across, "y": learned, "color": ink}},
            {"mark": {"type": "point", "filled": True, "opacity": 1},
             "encoding": {"x": x, "y": learned, "color": ink, "tooltip": told,
                          "shape": {"condition": {"test": "datum.chosen", "value": "diamond"}, "value": "circle"},
                          "size": {"condition": {"test": "datum.chosen", "value": 260}, "value": 110}}},
            *({"mark": {**name, "align": align, "dx": away},
               "encoding": {"x": x, "y": learned, "text": {"field": side}, "color": ink}}
              for side, align, away in (("right", "left", 10), ("left", "right", -10))),
        ],
    }


def _left(known: Sequence[Tried]) -> float:
    """Where the axis of what is kept begins: a step below the least, so that points that lie together are told apart."""
    least = min(each.kept_interval[0] if each.kept_interval else each.kept or 0.0 for each in known)
    return max(0.0, math.floor(least * 20 - 1) / 20)


def _named(known: Sequence[Tried], chosen: Tried) -> list[Tried]:
    """The points whose name has room: the recommended one, then those that stand clear of the names there are. The others say
    theirs when they are pointed at, and the table names all."""
    bounds, width = [each.learned_interval for each in known], 1 - _left(known)
    height = max(high for _, high in bounds) - min(low for low, _ in bounds)
    named: list[Tried] = []
    for each in sorted(known, key=lambda each: each.value != chosen.value):
        if all(abs((each.kept or 0) - (other.kept or 0)) > _WIDE * width or abs(each.accuracy - other.accuracy) > _HIGH * height
               for other in named):
            named.append(each)
    return named
