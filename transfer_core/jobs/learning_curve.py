"""A learning curve: a recipe trained on parts of the photos it has. Does it still rise, so that more photos would help?"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean, stdev
from typing import Any

import numpy as np

from transfer_core import metrics
from transfer_core.datasets.manifest import Image, Manifest, Split
from transfer_core.errors import BadRecipe
from transfer_core.events import Event, Sampled
from transfer_core.jobs.apart import check_unseen, thrown_away_if_asked, train_apart
from transfer_core.measured import SPLITS, predictions, predictions_file
from transfer_core.recipe import Recipe
from transfer_core.store import Job, Store

SHARES, REPEATS = (0.25, 0.5, 1.0), 3
LEAST_IMAGES = 2
"""Of a class in every part, or all it has: of a class with one image, nothing can be said of what more would give."""
MOST_EPOCHS = 1000
"""What a recipe may ask for."""
LEVEL = 0.02
"""Gain of the last doubling below which, with 95 % confidence, the curve is called level: a point or two is what another seed
gives, and not worth doubling the photos for."""
EXPONENTS = np.array([0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.7, 1.0])
"""Of the power law: Hestness et al. 2017 (arXiv:1712.00409) saw 0.07 to 0.35 and expect 0.5 to 1 at best."""
DRAWS = 1000


@dataclass(frozen=True)
class Part:
    repeat: int
    share: float

    @property
    def name(self) -> str:
        return f"share-{self.repeat}-{self.share:g}"


def learning_curve(job: Job, store: Store) -> Generator[Event, None, dict[str, Any]]:
    """Train `payload["recipe"]` on `shares` of its training images, `repeats` times. Each part holds the smaller ones. Validation
    and test images stay the same, and so does the number of steps. What an interrupted one has reported is not trained again.
    Returns what `summary` says.

    Raises `BadRecipe`: `folds_seen` as a cross-validation does, `curve_shares`, `curve_unmeasured` without images to measure on,
    `curve_too_few` where no class can be shortened.
    """
    recipe, shares, repeats = Recipe(**job.payload["recipe"]), check_shares(job.payload["shares"]), job.payload["repeats"]
    manifest = Manifest.read(store.home, recipe.dataset, recipe.version)
    split = check(recipe, manifest, shares)
    told = {Part(event.repeat, event.share): event for _, event in store.events(job.id, kinds=("sampled",))}
    # All images first: what frozen layers say of them is then stored for every smaller part.
    turns = [Part(repeat, share) for repeat in range(repeats) for share in reversed(shares)]
    out = store.home.job(job.id)
    with thrown_away_if_asked(job, store):
        for number, part in enumerate(turns):
            if part in told and predictions_file(out / part.name, split).is_file():
                continue
            seeded = recipe.but(seed=(recipe.seed + part.repeat) % 2**31)
            images = shortened(manifest, shares, seeded.seed)[part.share]
            made = replace(manifest, images=images)
            count = sum(image.split == "train" for image in images)
            as_long = as_many_steps(seeded, count, len(manifest.of("train")))
            ended = yield from train_apart(job, store, as_long, made, split, out / part.name, "curve", (number, len(turns)))
            rows = predictions(out / part.name, split)
            right = sum(row["predicted"] == row["label"] for row in rows)
            best = ended.best
            told[part] = Sampled(repeat=part.repeat, share=part.share, train=count, n=len(rows), correct=right,
                                 accuracy=right / len(rows), train_accuracy=best and best.train_accuracy, hit=ended.hit,
                                 validation_accuracy=best.validation_accuracy if best and manifest.of("validation") else None)
            yield told[part]
    answers = {part: predictions(out / part.name, split) for part in turns}
    return summary(manifest, recipe, shares, split, [told[part] for part in turns], answers)


def check_shares(shares: Sequence[float]) -> list[float]:
    """The shares in order. Raises `BadRecipe` unless they are two or more between 0 and 1, and all images among them."""
    found = sorted({float(share) for share in shares})
    if len(found) < 2 or not found[0] > 0 or found[-1] != 1:
        raise BadRecipe("curve_shares", given=", ".join(f"{100 * share:g}" for share in shares) or "–")
    return found


def check(recipe: Recipe, manifest: Manifest, shares: Sequence[float]) -> Split:
    """The split to measure on: test, else validation. Raises `BadRecipe`."""
    check_unseen(recipe)
    split = next((split for split in SPLITS if manifest.of(split)), None)
    if split is None:
        raise BadRecipe("curve_unmeasured")
    train = manifest.of("train")
    if len(learned(shortened(manifest, shares, recipe.seed)[shares[0]])) >= len(train):
        raise BadRecipe("curve_too_few", count=len(train))
    return split


def learned(images: Sequence[Image]) -> list[Image]:
    return [image for image in images if image.split == "train"]


def shortened(manifest: Manifest, shares: Sequence[float], seed: int) -> dict[float, tuple[Image, ...]]:
    """Share → all images, of which those that are not to be learned from are left out.

    Each class is shortened by itself, a group of like images goes or stays as a whole, and a part holds all smaller ones. Of
    every class at least `LEAST_IMAGES` stay, or all.
    """
    places = [place for place, image in enumerate(manifest.images) if image.split == "train"]
    images = manifest.images
    members: dict[int, list[int]] = {}
    for place in places:
        members.setdefault(images[place].group, []).append(place)
    chance, order = np.random.default_rng((seed, 2 << 20)), {}
    by_class: dict[str, list[int]] = {}
    for group, own in members.items():
        by_class.setdefault(Counter(images[place].label for place in own).most_common(1)[0][0], []).append(group)
    for label in sorted(by_class):
        groups, before = [by_class[label][place] for place in chance.permutation(len(by_class[label]))], 0
        total = sum(len(members[group]) for group in groups)
        for group in groups:
            order[group] = (before + len(members[group]) / 2) / total  # its middle, on the way through its class
            before += len(members[group])
    always = _least(images, members, order)
    found = {}
    for share in shares:
        kept = {place for group, own in members.items() if group in always or order[group] <= share for place in own}
        found[share] = tuple(image if place in kept or image.split != "train" else image.but(split="left_out")
                             for place, image in enumerate(images))
    return found


def _least(images: Sequence[Image], members: Mapping[int, list[int]], order: Mapping[int, float]) -> set[int]:
    """The groups that every part holds, so that no class is without images."""
    wanted: Counter[str] = Counter(images[place].label for own in members.values() for place in own)
    always: set[int] = set()
    have: Counter[str] = Counter()
    for label in sorted(wanted):
        for group in sorted(members, key=order.__getitem__):
            if have[label] >= min(LEAST_IMAGES, wanted[label]):
                break
            if group not in always and any(images[place].label == label for place in members[group]):
                always.add(group)
                have.update(images[place].label for place in members[group])
    return always


def as_many_steps(recipe: Recipe, count: int, of: int) -> Recipe:
    """The recipe for `count` images with (at least) as many steps as for `of`: else "fewer photos" were also "trained less".

    Patience is counted in steps, too, and the stored variations of an image stay as many as they were.
    """
    steps, whole = (max(1, math.ceil(each / recipe.batch_size)) for each in (count, of))
    longer = whole / steps
    views = {} if recipe.views == "none" or recipe.kept_views is None else {"stored_views": recipe.kept_views}
    return recipe.but(epochs=min(MOST_EPOCHS, math.ceil(recipe.epochs * longer)), patience=math.ceil(recipe.patience * longer),
                      **views)


def summary(manifest: Manifest, recipe: Recipe, shares: Sequence[float], split: Split, told: Sequence[Sampled],
            answers: Mapping[Part, list[dict[str, Any]]]) -> dict[str, Any]:
    """What is known of the curve, as plain data:

    `{"split", "n", "groups", "points": [{"share", "train", "epochs", "accuracy": {"value", "low", "high"}, "repeats", "spread"}],
    "gain": {"from", "to", "value", "low", "high"}, "verdict": "rising" | "level" | "not_shown", "twice": None | {"train", "low",
    "high"}, "whole": classes with all their images in the smallest part, "fit": {"train", "validation", "images"}, "baseline",
    "baseline_class", "per_class", "confusions", "mistakes", "trainings", "hits"}`.

    `accuracy` is a mean over trainings with Wilson's interval over as many images as are different (`metrics.evidence`). `gain`
    is what the last step of the curve gives, see `metrics.paired_gain`; only where its interval lies above 0 is the curve said to
    rise. `twice`: see `extrapolated`, only of a rising curve. `per_class`, `confusions` (means over trainings), `mistakes` and
    `fit` are those of the trainings on all images. `hits`: trainings for which all that frozen layers say was stored already.
    """
    classes, repeats = manifest.classes, sorted({part.repeat for part in answers})
    first = answers[Part(0, 1.0)]
    group_of = {(image.sha256, image.file): image.group for image in manifest.of(split)}
    groups = np.array([group_of[row["sha256"], row["file"]] for row in first])
    evidence = metrics.evidence(groups)
    right = {share: np.array([[row["predicted"] == row["label"] for row in answers[Part(repeat, share)]] for repeat in repeats])
             for share in shares}
    counts = {share: max(event.train for event in told if event.share == share) for share in shares}
    train = len(manifest.of("train"))
    points = [{"share": share, "train": counts[share], "epochs": as_many_steps(recipe, counts[share], train).epochs,
               "accuracy": _scored(right[share].mean(), evidence), "repeats": right[share].mean(axis=1).tolist(),
               "spread": stdev(right[share].mean(axis=1).tolist()) if len(repeats) > 1 else None} for share in shares]
    value, low, high = metrics.paired_gain(right[shares[-2]], right[1.0], groups)
    verdict = "rising" if low > 0 else "level" if high < LEVEL else "not_shown"
    numbers = np.array([counts[share] for share in shares], float)
    twice = extrapolated(np.stack([right[share] for share in shares]), numbers, groups) if verdict == "rising" else None
    return {"split": split, "n": len(first), "groups": len(set(groups.tolist())), "points": points,
            "gain": {"from": counts[shares[-2]], "to": train, "value": value, "low": low, "high": high}, "verdict": verdict,
            "twice": twice and {"train": 2 * train, "low": twice[0], "high": twice[1]},
            "whole": _whole(manifest, shares, recipe.seed), "fit": _fit(told, len(manifest.of("validation"))),
            "hits": sum(event.hit is True for event in told), "trainings": len(told),
            **_mistakes(classes, [answers[Part(repeat, 1.0)] for repeat in repeats], groups, Counter(
                image.label for image in manifest.of("train")))}


def _scored(value: float, evidence: float) -> dict[str, float]:
    low, high = metrics.wilson(float(value) * evidence, evidence)
    return {"value": float(value), "low": low, "high": high}


def _whole(manifest: Manifest, shares: Sequence[float], seed: int) -> list[str]:
    """Classes that even the smallest part holds wholly: they were too small, or one burst."""
    every = Counter(image.label for image in manifest.of("train"))
    least = Counter(image.label for image in learned(shortened(manifest, shares, seed)[shares[0]]))
    return [label for label in manifest.classes if every[label] and least[label] == every[label]]


def _fit(told: Sequence[Sampled], validation: int) -> dict[str, Any]:
    """What the trainings on all images named right of what they learned from, and of the validation images."""
    full = [event for event in told if event.share == 1.0]
    seen = [event.train_accuracy for event in full if event.train_accuracy is not None]
    new = [event.validation_accuracy for event in full if event.validation_accuracy is not None]
    return {"train": fmean(seen) if seen else None, "validation": fmean(new) if new else None, "images": validation}


def _mistakes(classes: list[str], full: Sequence[list[dict[str, Any]]], groups: np.ndarray,
              learned_from: Mapping[str, int]) -> dict[str, Any]:
    """Of the trainings on all images: scores of each class over as many photos as are different, and what is mixed up, as a
    mean over trainings."""
    labels = np.array([classes.index(row["label"]) for row in full[0]])
    said = np.array([[classes.index(row["predicted"]) for row in rows] for rows in full])
    confusion = sum(metrics.confusion_matrix(labels, each, len(classes)) for each in said)
    support = np.bincount(labels, minlength=len(classes))
    usual = metrics.usual_answer(classes, learned_from, support)
    rows = []
    for number, name in enumerate(classes):
        own = labels == number
        if own.any():
            recall = _scored((said[:, own] == number).mean(), metrics.evidence(groups[own]))
            rows.append({"label": name, "n": int(own.sum()), **recall})
    found = [{**row, "count": row["count"] / len(full), "of": row["of"] // len(full)}
             for row in metrics.top_confusions(confusion, classes)]
    wrong = int(confusion.sum() - np.trace(confusion)) / len(full)
    return {"baseline": float(support[usual] / len(labels)), "baseline_class": classes[usual], "per_class": rows,
            "confusions": found, "mistakes": wrong}


def extrapolated(right: np.ndarray, counts: np.ndarray, groups: np.ndarray, seed: int = 0) -> tuple[float, float] | None:
    """95 % range of the accuracy with twice as many images, if the curve goes on as a − b · n^(−c): Cortes et al. 1993; Hestness
    et al. 2017 (arXiv:1712.00409). None of fewer than three points.

    `right`: points × trainings × n booleans, `counts`: training images of each point. Images (by group) and trainings are drawn
    again with replacement, and the law is fitted to each draw by least squares with a ≤ 1, b ≥ 0 and c among `EXPONENTS`.
    """
    if len(counts) < 3:
        return None
    chance = np.random.default_rng(seed)
    _, group = np.unique(groups, return_inverse=True)
    size = group.max() + 1
    weights = chance.multinomial(size, np.full(size, 1 / size), DRAWS)[:, group].astype(float)  # draws × n
    times = chance.multinomial(right.shape[1], np.full(right.shape[1], 1 / right.shape[1]), DRAWS) / right.shape[1]
    shares = np.einsum("dn,prn,dr->dp", weights, right.astype(float), times) / weights.sum(axis=1, keepdims=True)
    low, high = np.quantile(power_law(counts, shares, 2 * counts[-1]), (0.025, 0.975))
    return float(low), float(high)


def power_law(counts: np.ndarray, shares: np.ndarray, at: float) -> np.ndarray:
    """What a − b · n^(−c), fitted to each row of `shares` (draws × points), says of `at` images; between 0 and 1."""
    best, told = np.full(len(shares), np.inf), np.zeros(len(shares))
    for exponent in EXPONENTS:
        x = (counts / counts[-1]) ** -exponent
        spread = x - x.mean()
        slope = np.maximum(0.0, -(shares @ spread) / (spread @ spread))
        top = shares.mean(axis=1) + slope * x.mean()
        over = top > 1  # no more than all: then a is 1, and only b is free
        slope = np.where(over, np.maximum(0.0, ((1 - shares) @ x) / (x @ x)), slope)
        top = np.minimum(top, 1.0)
        off = ((shares - top[:, None] + slope[:, None] * x) ** 2).sum(axis=1)
        better = off < best - 1e-12
        best = np.where(better, off, best)
        told = np.where(better, top - slope * (at / counts[-1]) ** -exponent, told)
    return np.clip(told, 0.0, 1.0)
