"""What the forgetting meter measures, and what it said of the training shown."""

from __future__ import annotations

import streamlit as st

from pages.shared.components.drawing import drawing
from pages.shared.evaluate import kept
from pages.shared.learn import parts
from pages.shared.learn.shown import Shown
from pages.shared.text import t
from transfer_core.metrics import wilson
from transfer_core.progress import validated

_KEPT, _N = 150, 200


def show(now: Shown | None) -> None:
    parts.formula(
        "forgetting", r"K = \frac1n \sum_{i=1}^{n} \Bigl[\, \arg\max h^{0}\bigl(g(x_i;\, \theta)\bigr)"
                      r" = \arg\max h^{0}\bigl(g(x_i;\, \theta^{0})\bigr) \Bigr]",
        {"K": "k", "h^{0}": "h", "n": "n", r"[\,\cdot\,]": "bracket"}, "forgetting", "lwf")
    st.caption(t("learn.forgetting.limits"))
    with parts.example("forgetting", own=now is not None):
        if now is None:
            low, high = wilson(_KEPT, _N)
            st.markdown(t("learn.forgetting.example", low=f"{100 * low:.0f}", high=f"{100 * high:.0f}"))
            return
        best = now.progress.best
        if best is None or best.kept is None or best.kept.share is None or not validated(now.progress):
            st.markdown(t("learn.forgetting.unmeasured"))
            return
        st.markdown(kept.sentence(best))
        if len(now.progress.epochs) > 1 and best.kept.drift:
            drawing(kept.curves(now.progress), key="learn-kept-curves")
