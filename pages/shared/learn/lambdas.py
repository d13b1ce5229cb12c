"""λ between the old and the new: what both losses count, and what trainings with different λ measured."""

from __future__ import annotations

from dataclasses import dataclass

import streamlit as st

from pages.shared import backend, navigation
from pages.shared.learn import parts
from pages.shared.learn.shown import Shown
from pages.shared.model.numbers import decimal, logarithmic, plus
from pages.shared.text import t
from transfer_core.charts import PALETTE
from transfer_core.events import Kept
from transfer_core.metrics import wilson
from transfer_core.recipe import Recipe
from transfer_core.store import Job
from transfer_core.theory import shares

_SWEEPS = 5
"""The newest ones are looked at."""


@dataclass(frozen=True)
class Point:
    value: float
    learned: float
    n: int
    kept: float | None


def show(now: Shown | None) -> None:
    parts.formula(
        "lambda", r"\begin{aligned} "
                  r"L(\theta) &= \frac{L_{\mathrm{source}}(\theta) + \lambda\, L_{\mathrm{target}}(\theta)}{1 + \lambda} \\ "
                  r"&= \frac{1}{1 + \lambda}\, L_{\mathrm{source}} + \frac{\lambda}{1 + \lambda}\, L_{\mathrm{target}} "
                  r"\end{aligned}",
        {"L": "l", r"L_{\mathrm{source}}": "source", r"L_{\mathrm{target}}": "target", r"\lambda": "value"}, "lwf", "multitask")
    own = now is not None and now.recipe.source_loss is not None
    _weights(own, now.recipe.lambda_target if own else 1.0, now.job.id if now else "")
    recipe, points = measured(now)
    if recipe is None:
        st.caption(t("learn.lambda.how", offer=t("sweep.offer")))
        navigation.link("model", t("sweep.to_model"), ":material/layers:")
    else:
        _table(recipe, points)


@st.fragment
def _weights(own: bool, start: float, run: str) -> None:
    with parts.example("lambda", own):
        value = st.select_slider("λ", plus(logarithmic(0.01, 100), start), start, key=f"learn-lambda-{run}",
                                 format_func=lambda each: f"λ = {decimal(each)}")
        source, target = shares(value)
        parts.bars([(t("learn.lambda.keep"), source, f"{100 * source:.1f} %", PALETTE[1]),
                    (t("learn.lambda.learn"), target, f"{100 * target:.1f} %", PALETTE[0])], key="learn-lambda-bars")
        st.caption(t("learn.lambda.limits"))


def measured(now: Shown | None) -> tuple[Recipe | None, list[Point]]:
    """Trainings that differ in λ only: those like the one shown where it has a loss for the old knowledge, else the most."""
    found: dict[str, tuple[Recipe, dict[float, Point]]] = {}
    for recipe, point in (*_of_runs(), *_of_sweeps()):
        found.setdefault(_alike(recipe), (recipe, {}))[1].setdefault(point.value, point)
    same = found.get(_alike(now.recipe)) if now and now.recipe.source_loss else None
    if same is None and found:
        same = max(found.values(), key=lambda each: len(each[1]))
    return (None, []) if same is None else (same[0], [same[1][value] for value in sorted(same[1])])


def _alike(recipe: Recipe) -> str:
    return recipe.but(lambda_target=1.0, seed=0).fingerprint


def _of_runs() -> list[tuple[Recipe, Point]]:
    return [(recipe, point) for job in backend.store().jobs("train") if (job.result or {}).get("kept")
            and (recipe := Recipe(**job.payload["recipe"])).source_loss and (point := _of_run(job, recipe))]


def _of_run(job: Job, recipe: Recipe) -> Point | None:
    score = job.result.get("validation") or {}
    if not score.get("n"):
        return None
    return Point(recipe.lambda_target, score["accuracy"], score["n"], Kept(**job.result["kept"]).share)


def _of_sweeps() -> list[tuple[Recipe, Point]]:
    found = []
    for job in backend.store().jobs("sweep")[:_SWEEPS]:
        recipe = Recipe(**job.payload["recipe"])
        if recipe.source_loss:
            found += [(recipe, Point(event.value, event.accuracy, event.n, event.kept))
                      for _, event in backend.store().events(job.id, kinds=("swept",))]
    return found


def _table(recipe: Recipe, points: list[Point]) -> None:
    st.markdown(f"**{t('learn.lambda.measured')}**")
    rows = []
    for point in points:
        low, high = wilson(point.learned * point.n, point.n)
        rows.append({"value": decimal(point.value), "learned": 100 * point.learned,
                     "kept": None if point.kept is None else 100 * point.kept,
                     "interval": f"{100 * low:.0f} – {100 * high:.0f} %"})
    column, share = st.column_config, {"format": "%.0f %%", "min_value": 0, "max_value": 100}
    st.dataframe(rows, hide_index=True, key="learn-lambda-table", column_config={
        "value": column.TextColumn("λ", width=60), "learned": column.ProgressColumn(t("live.learned"), **share),
        "kept": column.ProgressColumn(t("live.kept_agreement"), **share),
        "interval": column.TextColumn(t("learn.lambda.interval"))})
    st.caption(t("learn.lambda.measured_help", n=points[0].n))
    if len(points) == 1:
        st.caption(t("learn.lambda.one"))
