"""Runs that are not trained but averaged: a mixture of one run with its start, or a soup of several. Asked for and made here."""

from __future__ import annotations

import math
from collections.abc import Generator, Sequence
from typing import Any

from transfer_core.depot.looking import has
from transfer_core.errors import BadRecipe, NotFound
from transfer_core.events import Averaged, Event
from transfer_core.recipe import Recipe
from transfer_core.store import Job, Store

_ALIKE = ("dataset", "version", "model", "image_size", "kept_groups", "head")
"""What the runs of a soup must agree in, besides where they began."""


def mixture(store: Store, run: str, alpha: float, name: str | None = None) -> dict[str, Any]:
    """The payload of a job that takes (1 − α) of the model `run` began as and α of what it became.

    Raises `NotFound` (no such run, or it left no model) and `BadRecipe` (it cannot be mixed, or α is no share).
    """
    if not (math.isfinite(alpha) and 0 <= alpha <= 1):
        raise BadRecipe("alpha_outside", given=f"{alpha:g}")
    source = can_be_mixed(store, run)
    return {"recipe": source.payload["recipe"], "name": name or f"{named(store, source)} α={alpha:.3g}",
            "mixture": {"run": source.id, "alpha": alpha}}


def can_be_mixed(store: Store, run: str) -> Job:
    """A run that has a start to be mixed with. Raises `NotFound` and `BadRecipe`."""
    source = _trained(store, run)
    if source.is_average:
        made = source.payload.get("mixture") or {"run": source.payload["soup"]["runs"][0]}
        raise BadRecipe("blend_average", run=made["run"])
    recipe = Recipe(**source.payload["recipe"])
    if recipe.weights == "scratch":
        raise BadRecipe("blend_untrained")
    if recipe.head != "linear":
        raise BadRecipe("blend_head")
    return source


def soup(store: Store, runs: Sequence[str], name: str | None = None) -> dict[str, Any]:
    """The payload of a job that averages these runs as far as it helps. Raises `NotFound`, and `BadRecipe` where they differ."""
    sources = [_trained(store, run) for run in dict.fromkeys(runs)]
    if len(sources) < 2:
        raise BadRecipe("soup_too_few")
    check_alike(store, sources)
    return {"recipe": sources[0].payload["recipe"], "name": name or named(store, sources[0]),
            "soup": {"runs": [source.id for source in sources]}}


def check_alike(store: Store, sources: Sequence[Job]) -> None:
    """Averages of weights make sense only of the same model on the same classes that began at the same place.

    Raises `BadRecipe`: what differs, or what is missing.
    """
    recipes = [Recipe(**source.payload["recipe"]) for source in sources]
    for source, recipe in zip(sources, recipes, strict=True):
        for setting in (*_ALIKE, *(["head_width"] if recipe.head == "hidden" else [])):
            if getattr(recipe, setting) != getattr(recipes[0], setting):
                raise BadRecipe("soup_differs", setting=setting, one=sources[0].id, other=source.id)
        if recipe.head == "hidden" and recipe.weights != "run" and recipe.seed != recipes[0].seed:
            raise BadRecipe("soup_hidden", one=sources[0].id, other=source.id)
    starts = [_root(store, recipe) for recipe in recipes]
    for source, start in zip(sources, starts, strict=True):
        if start != starts[0]:
            code = "soup_untrained" if {start[0], starts[0][0]} == {"scratch"} else "soup_starts"
            raise BadRecipe(code, one=sources[0].id, other=source.id)
    if not _summary(store, recipes[0]).get("split", {}).get("validation", 1):
        raise BadRecipe("soup_unmeasured")


def _root(store: Store, recipe: Recipe) -> tuple[str, object]:
    """Where a run's weights come from in the end: a run that goes on from another began where that one did."""
    while recipe.weights == "run":
        try:
            recipe = Recipe(**store.job(recipe.start_from).payload["recipe"])
        except NotFound:  # deleted since: it is known by its name
            return "run", recipe.start_from
    return recipe.weights, {"scratch": recipe.seed, "file": recipe.weights_file}.get(recipe.weights)


def _summary(store: Store, recipe: Recipe) -> dict[str, Any]:
    try:
        return store.version(recipe.dataset, recipe.version).summary
    except NotFound:
        return {}


def _trained(store: Store, run: str) -> Job:
    """A run that has ended and left a model."""
    job = store.job(run)
    if job.kind != "train" or not has(store.home, job, "model.safetensors"):
        raise NotFound("no_trained_model", folder=run)
    if job.live:
        raise BadRecipe("average_live", run=run)
    return job


def named(store: Store, job: Job) -> str:
    """Its own name, else that of its dataset, else the dataset's id: it may have been deleted, and its files are still there."""
    if name := job.payload.get("name"):
        return name
    try:
        return store.dataset(job.payload["recipe"]["dataset"]).name
    except NotFound:
        return job.payload["recipe"]["dataset"]


def make(job: Job, store: Store) -> Generator[Event, None, None]:
    """Leave the run's model in its folder; what is whole there is only reported again, so that a kill costs one repetition."""
    from transfer_core.datasets.manifest import Manifest
    from transfer_core.training.averaging import left_in
    from transfer_core.training.blending import take
    from transfer_core.training.soup import soup

    out = store.home.run(job.id)
    fact: Averaged | None = left_in(out)
    if fact is None:
        recipe = job.payload["recipe"]
        manifest = Manifest.read(store.home, recipe["dataset"], recipe["version"])
        if asked := job.payload.get("mixture"):
            source = _trained(store, asked["run"])
            fact = yield from take(source.id, store.home.run(source.id), asked["alpha"], manifest, store.home, out,
                                   device=job.device)
        else:
            sources = [_trained(store, run).id for run in job.payload["soup"]["runs"]]
            fact = yield from soup({run: store.home.run(run) for run in sources}, manifest, store.home, out, device=job.device)
    yield fact
