"""Cross-validation beside a training: when it is made without being asked for, and how it follows its training.

It is no setting of the recipe: the model is the same with it and without. So it stands in the job, as `payload["folds"]`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from transfer_core.errors import BadRecipe
from transfer_core.jobs.apart import Forecast, check_unseen, forecast
from transfer_core.paths import Home
from transfer_core.recipe import Recipe
from transfer_core.store import Job, Store
from transfer_core.words import Message, message

if TYPE_CHECKING:
    from transfer_core.datasets.manifest import Manifest

FOLDS = 5
FEW = 500
"""Photos below which one split alone says little: of 500, some 75 are its test, and a score of 80 % is then one of 70 to 87."""
LONGEST = 600.0
"""Seconds that may be spent on a person's machine without being asked for."""


@dataclass(frozen=True)
class Offer:
    on: bool
    """Whether it is made unless a person says otherwise."""
    possible: bool
    why: Message | None
    """Why not, where it is not on."""
    cost: Forecast | None


def offer(home: Home, recipe: Recipe, manifest: Manifest) -> Offer:
    """What goes for a training of this recipe on this dataset version."""
    from transfer_core.jobs.crossvalidating import check

    images = [image for image in manifest.images if image.split != "left_out"]
    try:
        check_unseen(recipe)
        check(images, FOLDS)
    except BadRecipe as error:
        return Offer(False, False, error.as_message(), None)
    cost = forecast(home, recipe, round(0.7 * len(images)), len(manifest.classes), FOLDS, stored=True)
    why = None
    if len(images) >= FEW:
        why = message("beside.many", count=len(images))
    elif cost is None:
        why = message("beside.unknown")
    elif cost.seconds > LONGEST:
        why = message("beside.long") if cost.measured else message("beside.long_unmeasured")
    return Offer(why is None, True, why, cost)


def usual(home: Home, recipe: Recipe) -> dict[str, Any]:
    """What a training's payload says of it where nobody was asked."""
    from transfer_core.datasets.manifest import Manifest

    try:
        manifest = Manifest.read(home, recipe.dataset, recipe.version)
    except FileNotFoundError:
        return {}
    return {"folds": FOLDS} if offer(home, recipe, manifest).on else {}


def follow(job: Job, store: Store) -> None:
    """Queue the cross-validation that a training which has ended was to bring along. Once: not when its worker died after this
    and another one ends the training again, and not when the same settings were tested or are about to be."""
    folds = job.payload.get("folds")
    if not folds or brought(store, job.id) is not None:
        return
    recipe = job.payload["recipe"]
    if not any(other.payload["recipe"] == recipe and (other.live or other.result) for other in store.jobs("crossvalidate")):
        store.submit("crossvalidate", {"recipe": recipe, "folds": folds, "repeats": 1, "request": job.id}, job.device)


def brought(store: Store, run: str) -> Job | None:
    """The cross-validation that a training brought along."""
    return next((job for job in store.jobs("crossvalidate") if job.payload.get("request") == run), None)
