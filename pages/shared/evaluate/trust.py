"""Can its percentages be trusted? Confidence against right answers, and what was done about it."""

from __future__ import annotations

import numpy as np
import streamlit as st

from pages.shared import backend
from pages.shared.components.drawing import drawing
from pages.shared.evaluate.results import Results
from pages.shared.place import language
from pages.shared.text import t, told
from transfer_core import measured, sentences
from transfer_core.drawing import figures
from transfer_core.metrics import reliability


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
        st.markdown(told(sentences.calibration(report, float(confidence.mean() - right.mean()))))
    if settled:
        st.caption(f":material/tune: {told(sentences.temperature(settled))}")
    bins = reliability(confidence, right, figures.bins_for(len(right)))
    drawing(figures.reliability(bins, language()), key="trust-picture")
    st.caption(t("trust.help", n=report["n"], photos=min(each.n for each in bins)))
