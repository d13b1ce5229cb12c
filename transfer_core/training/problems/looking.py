"""What the default model sees of photos, without fitting anything."""

from __future__ import annotations

import tempfile
from collections.abc import Generator, Sequence
from pathlib import Path

import numpy as np

from transfer_core.datasets.manifest import Image, Manifest
from transfer_core.errors import Unavailable
from transfer_core.events import Event
from transfer_core.paths import Home
from transfer_core.recipe import DEFAULT_MODEL, Recipe
from transfer_core.training import weights
from transfer_core.training.fit import choose_device
from transfer_core.training.instant.first_model import features_of
from transfer_core.training.models import build, classifiers


def look(manifest: Manifest, images: Sequence[Image], home: Home, device: str = "auto",
         model: str = DEFAULT_MODEL) -> Generator[Event, None, np.ndarray]:
    """Features float32 N × D of some images of a manifest, through the store: what a first look has stored is not computed again.

    Raises `NotFound` when a file has gone, and `Unavailable` for a model without one classifier.
    """
    if not images:
        return np.zeros((0, 1), np.float32)
    recipe = Recipe(dataset=manifest.dataset, version=manifest.version, model=model, freeze="all", augmentation="none",
                    flip=False, regularizer=None, epochs=1)
    yield from weights.fetch(recipe.model)
    built = build(recipe, len(manifest.classes), home)
    if len(classifiers(built.model)) != 1:
        raise Unavailable("no_linear_head", model=recipe.model)
    with tempfile.TemporaryDirectory() as out:
        found = yield from features_of(recipe, built, {"train": list(images)}, manifest.classes, home, Path(out),
                                       choose_device(device))
    return found["train"]
