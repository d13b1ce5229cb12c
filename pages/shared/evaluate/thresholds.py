"""One class against all others: what a threshold finds, and how much of what it finds is right."""

from __future__ import annotations

import numpy as np
import streamlit as st

from pages.shared.components.drawing import drawing
from pages.shared.evaluate.results import Results
from pages.shared.text import plain, t
from transfer_core.charts import PALETTE
from transfer_core.drawing.axes import Axes, legend
from transfer_core.metrics import Tradeoff, tradeoff

_TICKS = {level: f"{100 * level:.0f} %" for level in (0.0, 0.25, 0.5, 0.75, 1.0)}


def show(results: Results) -> None:
    """Nothing where only the named classes are known, or all photos are of one class."""
    rows = {row["label"]: row for row in results.report["per_class"] if row.get("auc") is not None}
    if rows:
        with st.expander(t("thresholds.title"), icon=":material/tune:", key="thresholds"):
            _choose(results, rows)


@st.fragment
def _choose(results: Results, rows: dict[str, dict]) -> None:
    st.markdown(t("thresholds.text"))
    hardest = min(rows, key=lambda label: rows[label]["average_precision"])
    label = st.selectbox(t("evaluate.class"), list(rows), list(rows).index(hardest), key="threshold-class")
    place = results.classes.index(label)
    truth = np.array([row["label"] == label for row in results.predictions])
    given = np.array([row["probabilities"][place] for row in results.predictions])
    found = tradeoff(truth, given)
    threshold = st.slider(t("thresholds.slider", label=plain(label)), 0, 100, 50, format="%d %%", key="threshold")
    said = given >= threshold / 100
    right, count = int((said & truth).sum()), int(said.sum())
    st.markdown(t("thresholds.point", label=plain(label), threshold=threshold, right=right, of=int(truth.sum()), said=count))
    numbers = {name: "{:.3f} ({:.3f} – {:.3f})".format(*(rows[label][f"{score}{end}"] for end in ("", "_low", "_high")))
               for name, score in (("auc", "auc"), ("precision", "average_precision"))}
    with st.container(key="threshold-curves"):
        drawing(precision_recall(found, right, count, truth), key="precision-recall")
        drawing(roc(found, right, count, truth), key="roc")
    st.caption(t("thresholds.areas", **numbers, positives=int(truth.sum()), n=len(truth)))


def precision_recall(found: Tradeoff, right: int, said: int, truth: np.ndarray) -> str:
    axes, share = Axes("precision-recall", (0.0, 1.0), (0.0, 1.0)), float(truth.mean())
    drawn = [axes.curve([(0, share), (1, share)], "currentColor", "2 5", 1.5),
             axes.curve(list(zip(found.recall, found.precision, strict=True)), PALETTE[0])]
    if said:
        drawn.append(axes.dot(right / truth.sum(), right / said, PALETTE[0]))
    return axes.svg(t("thresholds.alt_precision"), drawn, _TICKS, _TICKS, t("thresholds.axis_precision")) + legend(
        [(t("thresholds.precision"), PALETTE[0], ""), (t("thresholds.luck"), "currentColor", "dashed")])


def roc(found: Tradeoff, right: int, said: int, truth: np.ndarray) -> str:
    axes = Axes("roc", (0.0, 1.0), (0.0, 1.0))
    drawn = [axes.curve([(0, 0), (1, 1)], "currentColor", "2 5", 1.5),
             axes.curve(list(zip(found.false_alarms, found.recall, strict=True)), PALETTE[1]),
             axes.dot((said - right) / (~truth).sum(), right / truth.sum(), PALETTE[1])]
    return axes.svg(t("thresholds.alt_roc"), drawn, _TICKS, _TICKS, t("thresholds.axis_roc")) + legend(
        [(t("thresholds.roc"), PALETTE[1], ""), (t("thresholds.luck"), "currentColor", "dashed")])
