"""How much of the score is the luck of one split? The same recipe trained again, so that every photo is tested once."""

from __future__ import annotations

from typing import Any

import streamlit as st

from pages.shared import backend, working
from pages.shared.components.drawing import drawing
from pages.shared.components.drawing.axes import Axes, legend
from pages.shared.model.numbers import duration
from pages.shared.text import plain, t, told
from pages.shared.undisturbed import undisturbed
from transfer_core.charts import PALETTE
from transfer_core.datasets.manifest import Manifest
from transfer_core.errors import BadRecipe
from transfer_core.jobs import crossvalidating
from transfer_core.jobs.apart import forecast
from transfer_core.recipe import Recipe
from transfer_core.store import Job

FEW = 500
"""Photos below which one split alone says little, and it is offered first."""
FOLDS, REPEATS = 5, 3
_MOST_MINUTES = 30
"""For which several repeats are offered."""


def show(run: Job) -> None:
    """Nothing for an average, or where the photos are not here."""
    recipe = Recipe(**run.payload["recipe"])
    if run.is_average or run.payload.get("claimed") or recipe.weights == "run" or recipe.source_dataset:
        return
    try:
        manifest = backend.manifest(recipe.dataset, recipe.version)
    except FileNotFoundError:
        return
    job = _made(run)
    count = sum(image.split != "left_out" for image in manifest.images)
    st.subheader(t("folds.title"), anchor="folds")
    if job is None or not (job.live or job.result):
        if job is not None:
            working.failure(job)
        _offer(run, recipe, manifest, count)
    elif job.live:
        st.fragment(working.watch, run_every=1.0, key="folds-watch")(job.id, "folds-stop")
    else:
        _tell(job.result, job.payload)


def result(run: Job) -> dict[str, Any] | None:
    """What a cross-validation of this run's settings found; None before there is one."""
    job = _made(run)
    return job.result or None if job else None


def _made(run: Job) -> Job | None:
    return next((job for job in backend.store().jobs("crossvalidate") if job.payload["recipe"] == run.payload["recipe"]), None)


def _offer(run: Job, recipe: Recipe, manifest: Manifest, count: int) -> None:
    try:
        crossvalidating.check([image for image in manifest.images if image.split != "left_out"], FOLDS)
    except BadRecipe as error:
        st.caption(f":material/info: {plain(told(error))}")
        return
    repeats, time = _repeats(recipe, count, len(manifest.classes))
    st.markdown(t("folds.few" if count < FEW else "folds.many", count=count))
    st.button(t("folds.start"), icon=":material/splitscreen:", key="folds-start", on_click=_start, args=(run, repeats))
    times = FOLDS * repeats
    st.caption(t("folds.takes", count=times, time=time) if time else t("folds.count", count=times))


def _repeats(recipe: Recipe, count: int, classes: int) -> tuple[int, str]:
    """How often, and how long that takes (empty where this machine's speed is unknown): several times where that is cheap."""
    for repeats in (REPEATS, 1):
        cost = forecast(backend.home(), recipe, round(0.7 * count), classes, FOLDS * repeats)
        if cost is None or not cost.measured:
            return 1, ""
        if cost.seconds < 60 * _MOST_MINUTES:
            break
    return repeats, duration(cost.seconds)


@undisturbed()
def _start(run: Job, repeats: int) -> None:
    known = _made(run)
    if known is not None and known.state == "failed":  # what it had reported is not trained again
        backend.store().requeue(known.id)
    elif known is None or not (known.live or known.result):  # two quick clicks call this twice
        payload = {"recipe": run.payload["recipe"], "folds": FOLDS, "repeats": repeats}
        backend.store().submit("crossvalidate", payload, backend.device())


def _tell(found: dict[str, Any], asked: dict[str, Any]) -> None:
    shares = {name: f"{100 * found['accuracy'][name]:.0f}" for name in ("value", "low", "high")}
    st.markdown(t("folds.found", n=found["n"], count=asked["repeats"], baseline=f"{100 * found['baseline']:.0f}", **shares))
    drawing(picture(found), key="folds-picture")
    worst, best = (f"{100 * pick(each['accuracy'] for each in found['folds']):.0f}" for pick in (min, max))
    st.caption(t("folds.spread", worst=worst, best=best, count=len(found["folds"]), spread=f"{100 * (found['spread'] or 0):.0f}"))


def picture(found: dict[str, Any]) -> str:
    """One dot a fold, and the interval of all together as a band."""
    folds, score = found["folds"], found["accuracy"]
    axes = Axes("folds", (0.5, len(folds) + 0.5), (0.0, 1.0))
    across = (0.5, len(folds) + 0.5)
    drawn = [axes.area([(x, score["high"]) for x in across], [(x, score["low"]) for x in across], PALETTE[0]),
             axes.curve([(x, score["value"]) for x in across], PALETTE[0]),
             *(axes.dot(place, each["accuracy"], PALETTE[1]) for place, each in enumerate(folds, 1))]
    levels = {level: f"{100 * level:.0f} %" for level in (0.0, 0.25, 0.5, 0.75, 1.0)}
    alt = t("folds.alt", value=f"{100 * score['value']:.0f}", rows=", ".join(f"{100 * each['accuracy']:.0f} %" for each in folds))
    ticks = {place: str(place) for place in range(1, len(folds) + 1, max(1, len(folds) // 5))}
    return axes.svg(alt, drawn, ticks, levels, t("folds.axis")) + legend(
        [(t("folds.all"), PALETTE[0], "band"), (t("folds.one"), PALETTE[1], "dot")])
