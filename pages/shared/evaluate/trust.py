"""Can its percentages be trusted? Confidence against right answers, and what was done about it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import streamlit as st

from pages.shared import backend
from pages.shared.components.drawing import drawing
from pages.shared.components.drawing.axes import Axes, legend
from pages.shared.evaluate.results import Results
from pages.shared.text import t
from transfer_core import measured
from transfer_core.charts import PALETTE
from transfer_core.metrics import Reliability, reliability

_LEFT_ALONE = 1.0
_FEWEST = 10
"""Photos in a bin, so that each has an interval that says something."""


def show(results: Results) -> None:
    """Nothing where only the named classes are known."""
    report = results.report
    if report.get("ece") is None:
        return
    st.subheader(t("trust.title"), anchor="trust")
    confidence = np.array([max(row["probabilities"]) for row in results.predictions])
    right = np.array([row["label"] == row["predicted"] for row in results.predictions])
    settled = measured.temperature(backend.home().run(results.run))
    if results.split == "test" or not settled:
        st.markdown(verdict(report, float(confidence.mean() - right.mean())))
    if settled:
        st.caption(f":material/tune: {told(settled)}")
    bins = reliability(confidence, right, max(1, min(10, len(right) // _FEWEST)))
    drawing(picture(bins), key="trust-picture")
    st.caption(t("trust.help", n=report["n"], photos=min(each.n for each in bins)))


def verdict(report: dict[str, Any], surer: float) -> str:
    """`surer`: by how much its mean confidence is above its share of right answers."""
    numbers = {"ece": f"{100 * report['ece']:.1f}", "floor": f"{100 * report['ece_floor']:.1f}", "n": report["n"]}
    if report["ece"] <= report["ece_floor"]:
        return t("trust.fine", **numbers)
    return t("trust.too_sure" if surer > 0 else "trust.too_modest", **numbers)


def told(settled: dict[str, Any]) -> str:
    """What was done to the model's percentages before they were measured."""
    value = settled["value"]
    if "n" not in settled:
        return t("trust.settled_elsewhere", value=f"{value:.2f}")
    if not settled.get("fitted", True):
        return t("trust.unfitted", n=settled["n"])
    if value == _LEFT_ALONE:
        return t("trust.left", n=settled["n"])
    return t("trust.milder" if value > 1 else "trust.bolder", value=f"{value:.2f}", n=settled["n"])


def picture(bins: Sequence[Reliability]) -> str:
    axes = Axes("trust", (0.0, 1.0), (0.0, 1.0))
    places = [(each.confidence, each.accuracy) for each in bins]
    drawn = [axes.curve([(0, 0), (1, 1)], "currentColor", "2 5", 1.5),
             *(axes.upright(each.confidence, each.low, each.high, PALETTE[1]) for each in bins),
             *(axes.dot(x, y, PALETTE[1]) for x, y in places)]
    ticks = {level: f"{100 * level:.0f} %" for level in (0.0, 0.25, 0.5, 0.75, 1.0)}
    rows = "; ".join(f"{100 * x:.0f} % → {100 * y:.0f} %" for x, y in places)
    return axes.svg(t("trust.alt", rows=rows), drawn, ticks, ticks, t("trust.axis")) + legend(
        [(t("trust.bins"), PALETTE[1], "dot"), (t("trust.perfect"), "currentColor", "dashed")])
