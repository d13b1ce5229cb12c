"""Several trainings side by side: settings, curves, scores, and whether a difference is shown at all."""

from __future__ import annotations

import streamlit as st

from pages.shared import navigation
from pages.shared.compare import chosen, curves, settings, verdicts
from pages.shared.text import t


def show() -> None:
    runs = chosen.runs()
    if len(runs) < chosen.FEWEST:
        with st.container(border=True, key="compare-none"):
            st.write(t("compare.none"))
            if st.button(t("compare.to_runs"), type="primary", key="compare-to-runs"):
                navigation.go("runs")
        return
    verdicts.table(runs)
    verdicts.links(runs)
    verdicts.told(runs)
    settings.show(runs)
    curves.show(runs)
