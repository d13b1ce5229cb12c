"""How far luck reaches: the interval of a score against the number of test photos, with the training's own score in it."""

from __future__ import annotations

import numpy as np
import streamlit as st

from pages.shared.components.drawing import drawing
from pages.shared.learn import parts
from pages.shared.learn.shown import Shown
from pages.shared.model.numbers import plus
from pages.shared.text import t
from transfer_core.charts import PALETTE
from transfer_core.drawing.axes import Axes, legend
from transfer_core.metrics import wilson

_FEWEST, _MOST = 5, 5000
_PHOTOS = [5, 10, 20, 30, 50, 100, 200, 300, 500, 1000, 2000, 5000]


def show(now: Shown | None) -> None:
    parts.formula("score", r"\begin{aligned} p_{\pm} &= \frac{m \pm z\,s}{1 + z^2 / n} \\ m &= \hat p + \frac{z^2}{2n} \\ "
                           r"s &= \sqrt{\frac{\hat p\,(1 - \hat p)}{n} + \frac{z^2}{4n^2}} \end{aligned}",
                  {r"p_{\pm}": "bounds", "m": "middle", "s": "spread", r"\hat p": "p", "n": "n", "z": "z"}, "wilson")
    own = now.score if now else None
    _interval(_counts(own) if own else None, now.job.id if now else "")
    if now and not own:
        st.caption(t("learn.score.unmeasured"))


def _counts(score: dict) -> tuple[int, int]:
    return round(score["accuracy"] * score["n"]), score["n"]


@st.fragment
def _interval(own: tuple[int, int] | None, run: str) -> None:
    with parts.example("score", own is not None):
        start = own[1] if own else 50
        share = round(100 * own[0] / own[1]) if own else 90
        n = st.select_slider(t("learn.score.photos"), plus(_PHOTOS, start), start, key=f"learn-n-{run}")
        percent = st.slider(t("learn.score.accuracy"), 0, 100, share, key=f"learn-accuracy-{run}", format="%d %%")
        # Whole percents cannot say every count: as long as nothing was moved, it is the training's own.
        correct = own[0] if own and (n, percent) == (own[1], share) else round(percent * n / 100)
        low, high = wilson(correct, n)
        drawing(figure(percent / 100, correct, n, own), key="learn-score-figure")
        st.markdown(t("learn.score.result", correct=correct, n=n, low=f"{100 * low:.0f}", high=f"{100 * high:.0f}"))


def figure(share: float, correct: int, n: int, own: tuple[int, int] | None) -> str:
    """The band at this share from few photos to many; what was chosen, and the training's own score, as marks with bars."""
    axes = Axes("score", (_FEWEST, _MOST), (0.0, 1.0), logarithmic=True)
    counts = np.geomspace(_FEWEST, _MOST, 60)
    bounds = [wilson(share * count, count) for count in counts]
    low, high = wilson(correct, n)
    drawn = [axes.area([(count, top) for count, (_, top) in zip(counts, bounds, strict=True)],
                       [(count, bottom) for count, (bottom, _) in zip(counts, bounds, strict=True)], PALETTE[1]),
             axes.curve([(_FEWEST, share), (_MOST, share)], PALETTE[1], "2 5", 1.5),
             axes.upright(n, low, high, PALETTE[1]), axes.dot(n, correct / n, PALETTE[1])]
    entries = [(t("learn.score.band", value=f"{100 * share:.0f}"), PALETTE[1], "band"),
               (t("learn.score.chosen"), PALETTE[1], "dot")]
    if own:
        right, photos = own
        bottom, top = wilson(right, photos)
        place = min(max(photos, _FEWEST), _MOST)
        drawn += [axes.upright(place, bottom, top, PALETTE[0]), axes.dot(place, right / photos, PALETTE[0], diamond=True)]
        entries.append((t("learn.score.yours", correct=right, n=photos, low=f"{100 * bottom:.0f}", high=f"{100 * top:.0f}"),
                        PALETTE[0], "diamond"))
    alt = t("learn.score.alt", value=f"{100 * share:.0f}", n=n, low=f"{100 * low:.0f}", high=f"{100 * high:.0f}")
    return axes.svg(alt, drawn, {5: "5", 20: "20", 100: "100", 500: "500", 2000: "2000"},
                    {level: f"{100 * level:.0f} %" for level in (0.0, 0.25, 0.5, 0.75, 1.0)},
                    t("learn.score.axis")) + legend(entries)
