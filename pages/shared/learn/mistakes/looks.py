"""Choosing by the test: what luck alone shows when the best of several is taken, and how often the test was looked at."""

from __future__ import annotations

import streamlit as st

from pages.shared import backend
from pages.shared.learn import parts
from pages.shared.learn.shown import Shown
from pages.shared.text import t
from transfer_core.charts import PALETTE
from transfer_core.theory import luckiest

_N, _SHARE = 50, 0.8
_TRIES = [1, 2, 3, 5, 10, 20, 50]


def formula() -> None:
    parts.formula("looks", r"E\bigl[\max(\hat p_1, \ldots, \hat p_k)\bigr] \;\ge\; p", {
        r"\hat p_1, \ldots, \hat p_k": "s", r"E[\max(\cdot)]": "e"}, "holdout")


def check(now: Shown | None) -> None:
    score = now.score if now else None
    if score:
        asked = sum(1 for run in backend.store().jobs("train") if run.payload["recipe"]["dataset"] == now.recipe.dataset
                    and ((run.result or {}).get("test") or {}).get("n"))
        st.markdown(t("learn.looks.run", count=asked))
        if (looks := len(now.progress.tested)) > 1:
            st.warning(t("learn.looks.looked", count=looks), icon=":material/visibility:")
    luck(score["n"] if score else _N, score["accuracy"] if score else _SHARE, score is not None)


@st.fragment
def luck(n: int, share: float, own: bool) -> None:
    """Of a perfect score nothing can be shown: then the example's share is taken."""
    with parts.example("looks", own and 0 < share < 1):
        share = share if 0 < share < 1 else _SHARE
        tries = st.select_slider(t("learn.looks.slider"), _TRIES, 10, key="learn-tries")
        best = luckiest(tries, n, share)
        parts.bars([(t("learn.looks.each"), share, f"{100 * share:.0f} %", PALETTE[1]),
                    (t("learn.looks.best", count=tries), best, f"{100 * best:.0f} %", PALETTE[0])], key="learn-luck-bars")
        st.caption(t("learn.looks.result", percent=f"{100 * share:.0f}", best=f"{100 * best:.0f}", count=tries, n=n,
                     gain=f"{100 * (best - share):.1f}"))
