"""What becomes of a training whose time is over: cut off, or with a learning rate that came down in time.

    python bench/budget.py ../shared/data/ants_bees.zip [--repeats 2] [--epochs 20] [--share 0.3] [--preset last_stages]

Every photo is tested once a repeat (five folds, each with a seed of its own). The clock counts optimiser steps, so that the time
given is `share` of what all epochs take, whatever else the machine does. "in time" is what `Recipe.minutes` does; "cut off"
follows the epochs alone; "squeezed" runs through the whole schedule by then; "planned" is a recipe of as many epochs as the time
has room for; "all" has the time for all of them. Prints one JSON object: accuracies, and mean differences of "in time" to the
others with 95 % intervals (bootstrap over repeats and photos).
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from unittest import mock

import numpy as np
from common import difference, imported

from transfer_core import catalog, presets
from transfer_core.datasets.manifest import Manifest
from transfer_core.jobs.crossvalidating import Turn, division
from transfer_core.measured import predictions
from transfer_core.paths import Home
from transfer_core.recipe import DEFAULT_MODEL, Recipe
from transfer_core.training import loop
from transfer_core.training.budget import Budget
from transfer_core.training.evaluate import evaluate
from transfer_core.training.fit import choose_device, fit
from transfer_core.training.models import load_run
from transfer_core.training.step import train_step

FOLDS = 5
WAYS = ("in time", "cut off", "squeezed", "planned", "all")


class Steps:
    """A clock that counts steps as seconds."""

    def __init__(self) -> None:
        self.made = 0.0

    def __call__(self) -> float:
        return self.made

    def step(self, training, images, labels):
        self.made += 1
        return train_step(training, images, labels)


@contextmanager
def otherwise(way: str) -> Iterator[None]:
    """The learning rate does not fall with the time; squeezed, it runs through its whole schedule by then."""
    with ExitStack() as changed:
        if way in ("cut off", "squeezed"):
            changed.enter_context(mock.patch.object(Budget, "highest", 1.0))
        yield


def answers(way: str, recipe: Recipe, share: float, manifest: Manifest, home: Home, out: Path) -> dict[str, bool]:
    """Test image → whether it was named rightly."""
    steps = -(-len(manifest.of("train")) // recipe.batch_size) * recipe.epochs
    if way == "planned":
        recipe = recipe.but(epochs=max(1, int(share * recipe.epochs)))
    elif way != "all":
        recipe = recipe.but(minutes=share * steps / 60)
    clock = Steps()
    real, given = loop.schedule, 60 * recipe.minutes if recipe.minutes else 0.0
    squeezed = (lambda recipe, progress: real(recipe, min(1.0, max(progress, clock.made / given)))) if way == "squeezed" else real
    with otherwise(way), mock.patch.object(loop, "schedule", squeezed):
        for _ in fit(recipe, manifest, home, out, device="cpu", clock=clock, step=clock.step):
            pass
    model, classes, how = load_run(out)
    for _ in evaluate(model, classes, how, manifest, "test", home, out, choose_device("cpu")):
        pass
    return {row["sha256"]: row["predicted"] == row["label"] for row in predictions(out, "test")}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("zip", type=Path)
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--share", type=float, default=0.3)
    parser.add_argument("--preset", default="last_stages")
    parser.add_argument("--ways", nargs="*", default=list(WAYS), choices=WAYS)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        home = Home(Path(place))
        whole = imported(asked.zip, home)
        images = [image for image in whole.images if image.split != "left_out"]
        summary = {"split": {"train": len(images)}, "classes": dict.fromkeys(whole.classes, 1)}
        settings = presets.PRESETS[asked.preset](catalog.model(DEFAULT_MODEL), summary)
        right: dict[str, list[dict[str, bool]]] = {way: [{} for _ in range(asked.repeats)] for way in asked.ways}
        for repeat in range(asked.repeats):
            for fold in range(FOLDS):
                manifest = replace(whole, images=tuple(division(images, FOLDS, Turn(repeat, fold), 0)))
                recipe = Recipe(**{**settings, "dataset": whole.dataset, "model": DEFAULT_MODEL, "epochs": asked.epochs,
                                   "patience": 0, "seed": FOLDS * repeat + fold})
                for way in asked.ways:
                    right[way][repeat] |= answers(way, recipe, asked.share, manifest, home, Path(place) / "run")
                shares = {way: round(float(np.mean(list(right[way][repeat].values()))), 4) for way in asked.ways}
                print(f"repeat {repeat}, fold {fold}: {shares}", file=sys.stderr)
        names = sorted(right["in time"][0])
        rows = {way: np.array([[each[name] for name in names] for each in right[way]], float) for way in asked.ways}
    print(json.dumps({"photos": len(names), "trainings_of_each": FOLDS * asked.repeats, "epochs": asked.epochs,
                      "share": asked.share, "accuracy": {way: round(float(rows[way].mean()), 4) for way in asked.ways},
                      "in_time_minus": {way: [round(float(each), 4) for each in difference([rows["in time"]], [rows[way]])]
                                        for way in asked.ways if way != "in time"}}, indent=1))


if __name__ == "__main__":
    main()
