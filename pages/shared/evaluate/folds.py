"""How much of the score is the luck of one split? The same recipe trained again, so that every photo is tested once."""

from __future__ import annotations

from typing import Any

import streamlit as st

from pages.shared import backend, working
from pages.shared.components.drawing import drawing
from pages.shared.model.numbers import duration
from pages.shared.place import language
from pages.shared.text import plain, t, told
from pages.shared.undisturbed import undisturbed
from transfer_core import sentences
from transfer_core.datasets.manifest import Manifest
from transfer_core.drawing import figures
from transfer_core.errors import BadRecipe
from transfer_core.jobs import crossvalidating
from transfer_core.jobs.apart import forecast
from transfer_core.jobs.run import came_back
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
    return next(iter(crossvalidating.of_recipe(backend.store(), run.payload["recipe"])), None)


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
    if known is not None and (known.state == "failed" or came_back(backend.store(), known)):  # what it told is not trained again
        backend.store().requeue(known.id)
    elif known is None or not (known.live or known.result):  # two quick clicks call this twice
        payload = {"recipe": run.payload["recipe"], "folds": FOLDS, "repeats": repeats}
        backend.store().submit("crossvalidate", payload, backend.device())


def _tell(found: dict[str, Any], asked: dict[str, Any]) -> None:
    score, spread = sentences.folds(found, asked["repeats"])
    st.markdown(told(score))
    drawing(figures.folds(found, language()), key="folds-picture")
    st.caption(told(spread))
