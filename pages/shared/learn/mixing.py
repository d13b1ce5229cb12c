"""Mixtures of before and after: what they are, and those measured of the training shown."""

from __future__ import annotations

from typing import Any

import streamlit as st

from pages.shared import backend, navigation
from pages.shared.components.drawing import drawing
from pages.shared.learn import parts
from pages.shared.learn.shown import Shown
from pages.shared.text import t
from transfer_core.charts import PALETTE
from transfer_core.drawing.axes import Axes, legend


def show(now: Shown | None) -> None:
    parts.formula("mixing", r"\theta_{\alpha} = (1 - \alpha)\, \theta^{0} + \alpha\, \theta^{1}, \qquad 0 \le \alpha \le 1",
                  {r"\theta^{0}": "start", r"\theta^{1}": "end", r"\alpha": "alpha"}, "wise")
    st.caption(t("learn.mixing.warning"))
    found = measured(now) if now else None
    if found is None:
        st.markdown(t("learn.mixing.where"))
        if now:
            navigation.link("evaluate", t("nav.evaluate"), ":material/fact_check:", run=now.job.id)
        return
    with parts.example("mixing", own=True):
        drawing(figure(found), key="learn-mixing-figure")
        st.caption(t("learn.mixing.measured", n=found["n"]))


def measured(now: Shown) -> dict[str, Any] | None:
    """The newest finished measurement of this training's mixtures, if its model was not trained on since."""
    return next((job.result for job in backend.store().jobs("blend", "finished")
                 if job.payload.get("run") == now.job.id and (job.result or {}).get("alpha")
                 and (now.job.ended or 0) <= job.created), None)


def figure(found: dict[str, Any]) -> str:
    axes = Axes("mixing", (-0.03, 1.03), (0.0, 1.0))
    learned = list(zip(found["alpha"], found["accuracy"], strict=True))
    drawn = [axes.upright(alpha, low, high, PALETTE[0]) for alpha, low, high in
             zip(found["alpha"], found["low"], found["high"], strict=True)]
    drawn += [axes.curve(learned, PALETTE[0]), *(axes.dot(*point, PALETTE[0]) for point in learned)]
    entries = [(t("kept.learned"), PALETTE[0], "dot")]
    if found["kept"]:
        left = list(zip(found["alpha"], found["kept"], strict=True))
        drawn += [axes.curve(left, PALETTE[1], "7 5"), *(axes.dot(*point, PALETTE[1], diamond=True) for point in left)]
        entries.append((t("kept.kept_agreement"), PALETTE[1], "diamond"))
    alt = t("learn.mixing.alt", first=f"{100 * learned[0][1]:.0f}", last=f"{100 * learned[-1][1]:.0f}")
    levels = {level: f"{100 * level:.0f} %" for level in (0.0, 0.25, 0.5, 0.75, 1.0)}
    return axes.svg(alt, drawn, {alpha: f"{alpha:g}" for alpha in (0, 0.2, 0.4, 0.6, 0.8, 1)}, levels,
                    t("learn.mixing.axis")) + legend(entries)
