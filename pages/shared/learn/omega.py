"""Ω on one single weight, drawn; and how far the weights of the training shown have gone."""

from __future__ import annotations

import numpy as np
import streamlit as st

from pages.shared.components.drawing import drawing
from pages.shared.learn import parts
from pages.shared.learn.shown import Shown
from pages.shared.model.numbers import decimal
from pages.shared.text import t
from transfer_core.charts import PALETTE
from transfer_core.drawing.axes import Axes, legend
from transfer_core.theory import lowest

BEST, START = 3.0, 1.0
KINDS = {"l2": (0.0, False), "l2_sp": (START, False), "l1": (0.0, True), "l1_sp": (START, True)}
"""Ω → where it pulls to, and whether it is an absolute value."""
_STRENGTHS = [0.0, 0.1, 0.2, 0.3, 0.5, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0, 30.0, 100.0]


def show(now: Shown | None) -> None:
    parts.formula("omega", r"L(\theta) = L_{\mathrm{target}}(\theta) + \lambda\, \Omega(\theta)", {
        r"\Omega(\theta)": "omega", r"\theta": "theta", r"\lambda": "value"}, "ridge", "lasso", "l2_sp")
    _one_weight()
    if now:
        _gone(now)


@st.fragment
def _one_weight() -> None:
    with parts.example("omega", own=False):
        st.markdown(t("learn.omega.toy"))
        kind = st.segmented_control(t("learn.omega.kind"), list(KINDS), default="l2_sp", required=True, key="learn-omega-kind",
                                    format_func=lambda each: t(f"learn.omega.pull_{each}"))
        value = st.select_slider(t("learn.omega.slider"), _STRENGTHS, 1.0, key="learn-omega-strength",
                                 format_func=lambda each: f"λ = {decimal(each)}")
        towards, absolute = KINDS[kind]
        place = lowest(BEST, towards, value, absolute=absolute)
        drawing(figure(kind, value), key="learn-omega-figure")
        with st.container(key="learn-formula-omega-lowest"):
            st.latex(closed_form(kind, value))
        st.markdown(t("learn.omega.found", value=decimal(round(place, 2)), best=decimal(BEST), towards=decimal(towards)))
        if absolute:
            st.caption(t("learn.omega.exact", corner=decimal(abs(BEST - towards)), towards=decimal(towards)))


def figure(kind: str, value: float) -> str:
    towards, absolute = KINDS[kind]
    axes = Axes("omega", (-1.0, 5.0), (0.0, 6.0))
    along = np.linspace(-1, 5, 121)
    loss = (along - BEST) ** 2 / 2
    penalty = value * (np.abs(along - towards) if absolute else (along - towards) ** 2 / 2)
    place = lowest(BEST, towards, value, absolute=absolute)
    height = (place - BEST) ** 2 / 2 + value * (abs(place - towards) if absolute else (place - towards) ** 2 / 2)
    drawn = [axes.upright(BEST, 0, 6, PALETTE[1], "2 5"), axes.upright(towards, 0, 6, PALETTE[2], "2 5"),
             axes.curve(list(zip(along, loss, strict=True)), PALETTE[1]),
             axes.curve(list(zip(along, penalty, strict=True)), PALETTE[2], "7 5"),
             axes.curve(list(zip(along, loss + penalty, strict=True)), PALETTE[0], width=3.5),
             axes.dot(place, height, PALETTE[0])]
    names = {float(number): str(number) for number in range(-1, 6)} | {BEST: f"θ* = {BEST:g}"}
    names |= {towards: f"θ⁰ = {towards:g}"} if towards else {}
    alt = t("learn.omega.alt", towards=decimal(towards), strength=decimal(value), value=decimal(round(place, 2)))
    return axes.svg(alt, drawn, names, {0.0: "0", 2.0: "2", 4.0: "4", 6.0: "6"}, "θ") + legend([
        (t("learn.omega.loss"), PALETTE[1], ""), (t("learn.omega.penalty"), PALETTE[2], "dashed"),
        (t("learn.omega.sum"), PALETTE[0], "dot")])


def closed_form(kind: str, value: float) -> str:
    """With the numbers put in; a = 1, the curvature of the loss."""
    towards, absolute = KINDS[kind]
    place = decimal(round(lowest(BEST, towards, value, absolute=absolute), 2))
    if absolute:
        away = r"\theta^{*} - \theta^{0}" if towards else r"\theta^{*}"
        begin = r"\theta^{0} + " if towards else ""
        return (rf"\hat\theta = {begin}\mathrm{{sign}}(d)\, \max\bigl(\lvert d \rvert - \lambda,\; 0\bigr) = {place}, "
                rf"\qquad d = {away}")
    pull = r" + \lambda\, \theta^{0}" if towards else ""
    numbers = f"{BEST:g} + {decimal(value)} \\cdot {towards:g}" if towards else f"{BEST:g}"
    return rf"\hat\theta = \frac{{\theta^{{*}}{pull}}}{{1 + \lambda}} = \frac{{{numbers}}}{{1 + {decimal(value)}}} = {place}"


def _gone(now: Shown) -> None:
    recipe, best = now.recipe, now.progress.best
    omega = recipe.regularizer if recipe.lambda_omega else None
    values = {"omega": t(f"objective.omega_{omega}"), "value": decimal(recipe.lambda_omega)} if omega else {}
    with parts.example("omega-run", own=True):
        drift = best.kept.drift if best and best.kept else None
        if drift is None:
            st.markdown(t("learn.omega.unmeasured"))
        elif not drift:
            st.markdown(t("learn.omega.run_still" if omega else "learn.omega.run_still_no_omega", **values))
        else:
            st.markdown(t("learn.omega.run" if omega else "learn.omega.run_no_omega", **values))
            most = max(drift.values()) or 1.0
            parts.bars([(name, share / most, f"{100 * share:.2g} %", PALETTE[0]) for name, share in drift.items()],
                       key="learn-drift")
            if recipe.source_loss:
                st.caption(t("learn.omega.also", source=t(f"objective.source_{recipe.source_loss}")))
            st.caption(t("learn.omega.head"))
