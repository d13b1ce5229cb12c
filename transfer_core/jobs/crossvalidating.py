"""Cross-validation: a recipe trained several times, so that every photo is a test photo once. It measures a recipe, not a model.

With few photos a single split is a matter of luck: which 40 of 250 are the test decides over ten points.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import numpy as np

from transfer_core import depot, metrics
from transfer_core.datasets.manifest import Image, Manifest
from transfer_core.errors import BadRecipe
from transfer_core.events import Event, Folded
from transfer_core.jobs.apart import check_unseen, thrown_away_if_asked, train_apart
from transfer_core.jobs.spreading import clear, spread, spreads
from transfer_core.measured import predictions, predictions_file
from transfer_core.paths import Home
from transfer_core.recipe import Recipe
from transfer_core.store import Job, Store

VALIDATION = 6
"""One in so many of the images that are not tested chooses the epoch."""


@dataclass(frozen=True)
class Turn:
    repeat: int
    fold: int

    @property
    def name(self) -> str:
        return f"fold-{self.repeat}-{self.fold}"


def of_recipe(store: Store, recipe: dict[str, Any]) -> list[Job]:
    """All cross-validations of exactly this recipe (as a payload holds it), the newest first, whatever became of them."""
    return [job for job in store.jobs("crossvalidate") if job.payload["recipe"] == recipe]


def crossvalidate(job: Job, store: Store) -> Generator[Event, None, dict[str, Any]]:
    """Train `payload["recipe"]` `folds` × `repeats` times. Folds keep the share of every class, and no group of like images lies
    in two of them. What an interrupted one has reported is not trained again. Where there is room for several jobs at once, the
    trainings are jobs of their own (see `spreading`); the numbers are the same. Returns what `summary` says.

    Raises `BadRecipe`: `too_few_to_fold` where a class has fewer groups of like images than there are folds, `folds_seen` where
    the model begins with another run, or learns a second dataset, which may have seen what is to be unseen.
    """
    recipe, folds, repeats = Recipe(**job.payload["recipe"]), job.payload["folds"], job.payload["repeats"]
    check_unseen(recipe)
    manifest = Manifest.read(store.home, recipe.dataset, recipe.version)
    images = [image for image in manifest.images if image.split != "left_out"]
    check(images, folds)
    done = {Turn(event.repeat, event.fold) for _, event in store.events(job.id, kinds=("folded",))}
    turns = [Turn(repeat, fold) for repeat in range(repeats) for fold in range(folds)]
    out = store.home.job(job.id)
    left = [turn for turn in turns if turn not in done or not predictions_file(out / turn.name, "test").is_file()]
    with thrown_away_if_asked(job, store):
        if spreads(job, store):
            yield from spread(job, store, [asdict(turn) for turn in left], "folding", (len(turns) - len(left), len(turns)),
                              lambda part, _: [_folded(_brought(store.home, job, Turn(**part)), Turn(**part))])
        else:
            for turn in left:
                yield from fold(job, job, store, turn, (turns.index(turn), len(turns)))
                yield _folded(out, turn)
    clear(store, job.id)
    return summary(manifest.classes, {turn: predictions(out / turn.name, "test") for turn in turns})


def fold(job: Job, whole: Job, store: Store, turn: Turn, place: tuple[int, int] = (0, 1)) -> Generator[Event, None, None]:
    """Train one turn of a cross-validation, and keep its answers in the folder of that. `job`: who works at it."""
    recipe = Recipe(**whole.payload["recipe"])
    manifest = Manifest.read(store.home, recipe.dataset, recipe.version)
    images = [image for image in manifest.images if image.split != "left_out"]
    divided = replace(manifest, images=tuple(division(images, whole.payload["folds"], turn, recipe.seed)))
    seeded = recipe.but(seed=(recipe.seed + turn.repeat) % 2**31)
    yield from train_apart(job, store, seeded, divided, "test", store.home.job(whole.id) / turn.name, "folding", place)


def _brought(home: Home, whole: Job, turn: Turn) -> Path:
    """The folder of the answers of a turn that another worker may have trained elsewhere; returns that of all turns."""
    if depot.is_on():
        from transfer_core.depot.folders import Folder

        Folder(home, f"jobs/{whole.id}/{turn.name}").bring()
    return home.job(whole.id)


def _folded(out: Path, turn: Turn) -> Folded:
    rows = predictions(out / turn.name, "test")
    right = sum(row["predicted"] == row["label"] for row in rows)
    return Folded(repeat=turn.repeat, fold=turn.fold, n=len(rows), correct=right, accuracy=right / len(rows))


def check(images: list[Image], folds: int) -> None:
    groups: dict[str, set[int]] = {}
    for image in images:
        groups.setdefault(image.label, set()).add(image.group)
    label = min(groups, key=lambda name: len(groups[name]), default=None)
    if label is None or len(groups[label]) < folds:
        raise BadRecipe("too_few_to_fold", name=label or "–", count=len(groups.get(label, ())), folds=folds)


def division(images: list[Image], folds: int, turn: Turn, seed: int) -> list[Image]:
    """The images with this turn's fold as the test, and a sixth of the others as validation."""
    from transfer_core.training.instant.head import folds_of

    names = sorted({image.label for image in images})
    labels, groups = np.array([names.index(image.label) for image in images]), np.array([image.group for image in images])
    test = folds_of(labels, folds, seed + turn.repeat, groups) == turn.fold
    rest = np.flatnonzero(~test)
    validation = set(rest[folds_of(labels[rest], VALIDATION, seed + turn.repeat, groups[rest]) == 0].tolist())
    for label in np.unique(labels[rest]):
        if not any(labels[place] == label and place not in validation for place in rest):  # its last group is to learn from
            validation -= {place for place in rest.tolist() if groups[place] in set(groups[rest][labels[rest] == label].tolist())}
    return [image.but(split="test" if test[place] else "validation" if place in validation else "train")
            for place, image in enumerate(images)]


def summary(classes: list[str], answers: dict[Turn, list[dict[str, Any]]]) -> dict[str, Any]:
    """`{"n", "groups", "evidence", "folds": [{"repeat", "fold", "n", "accuracy"}], "accuracy": {"value", "low", "high"},
    "spread", "baseline", "repeats": [accuracy of each], "first": scores of the first repeat}`.

    Every image is tested once a repeat. The interval is Wilson's over as many images as are different (`metrics.evidence`): more
    repeats make the value steadier, but no more photos. `spread`, the standard deviation over folds, says how much one split is a
    matter of luck; divided by the root of their number it would be far too small an error, since folds share what they learn
    from (Bengio & Grandvalet 2004).
    """
    folds = [{"repeat": turn.repeat, "fold": turn.fold, "n": len(rows),
              "accuracy": sum(row["predicted"] == row["label"] for row in rows) / len(rows)} for turn, rows in answers.items()]
    pooled: dict[int, list[dict[str, Any]]] = {}
    for turn, rows in answers.items():
        pooled.setdefault(turn.repeat, []).extend(rows)
    shares = [sum(row["predicted"] == row["label"] for row in rows) / len(rows) for rows in pooled.values()]
    first, value = pooled[0], fmean(shares)
    groups = metrics.groups_of(first)
    evidence = metrics.evidence(groups)
    low, high = metrics.wilson(value * evidence, evidence)
    labels = np.array([classes.index(row["label"]) for row in first])
    counts = dict(zip(classes, np.bincount(labels, minlength=len(classes)).tolist(), strict=True))
    given = np.array([row["probabilities"] for row in first])
    told = metrics.nested(metrics.report(labels, given, classes, counts, groups=groups))
    told |= {"log_loss": None, "ece": None}  # these models' percentages were not settled, as those of a training are
    return {"n": len(first), "groups": len(set(groups)), "evidence": evidence, "folds": folds,
            "accuracy": {"value": value, "low": low, "high": high},
            "spread": stdev(each["accuracy"] for each in folds) if len(folds) > 1 else None,
            "baseline": told["baseline"], "repeats": shares, "first": told}
