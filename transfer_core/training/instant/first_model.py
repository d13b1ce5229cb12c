"""From a dataset to a model that answers, in seconds: features of the default model, the best head, a first honest score."""

from __future__ import annotations

import time
from collections.abc import Generator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from transfer_core import metrics
from transfer_core.datasets.duplicates import joined
from transfer_core.datasets.manifest import Image, Manifest, spread
from transfer_core.errors import BadRecipe, Unavailable
from transfer_core.events import Evaluated, Event, Exported, Progressed
from transfer_core.measured import predictions_file, write_predictions
from transfer_core.paths import Home, write_json
from transfer_core.predictor import softmax
from transfer_core.recipe import DEFAULT_MODEL, Recipe
from transfer_core.training import checkpoint, weights
from transfer_core.training.export.checks import onnx as check_onnx
from transfer_core.training.export.facts import facts_of
from transfer_core.training.export.replay import open_run
from transfer_core.training.finish import REPORT
from transfer_core.training.fit import choose_device, describe
from transfer_core.training.freezing import climb, freeze
from transfer_core.training.instant.head import Head, best_head, unseen_probabilities
from transfer_core.training.instant.source import looks_like, source_classifier
from transfer_core.training.models import Built, build, classifiers, features_and_logits, in_fast_layout
from transfer_core.training.onnx_file import write_onnx
from transfer_core.training.optim import make_precision
from transfer_core.training.pipeline import ImageInputs, Inputs, in_order
from transfer_core.training.prefix.inputs import placed
from transfer_core.training.prefix.shorten import CHOICE, shorten
from transfer_core.training.preparing import check_data
from transfer_core.training.scenes import close_pairs

MOST_TRAINING, MOST_VALIDATION = 1500, 500
"""Images looked at, at most: some 15 seconds on a laptop. The rest of a large dataset waits for a training."""
ENOUGH = 50
"""Validation images that make a score of their own; with fewer, training and validation images are divided into folds."""
REPLAYED = 32
_BATCH = 64


def guess(manifest: Manifest, home: Home, out: Path | str, *, name: str = "model", device: str = "auto",
          model: str = DEFAULT_MODEL) -> Generator[Event, None, dict[str, Any]]:
    """Fit the best head on the frozen `model` and measure it on images it has not seen. The test split is not touched.

    Writes into `out` what a training writes (but nothing to resume) and `model.onnx`. Returns `{"model", "images": {"train",
    "validation"}, "of": {…}, "strength", "score": {"accuracy", "low", "high", "correct", "n", "baseline", "on": "validation" |
    "folds"}, "source": {"score": {…} | None, "looks_like": […]} | None, "scenes": {"groups",
    "images"}, "seconds"}` (the interval is Wilson's, 95 %; the
    baseline always names the largest class).
    Raises what `fit` raises, and `Unavailable` for a model whose head is more than one linear layer.
    """
    began, where, out = time.monotonic(), choose_device(device), Path(out)
    classes = manifest.classes
    check_data(manifest)
    recipe = Recipe(dataset=manifest.dataset, version=manifest.version, model=model, freeze="all", augmentation="none",
                    flip=False, regularizer=None, epochs=1)
    yield from weights.fetch(recipe.model)
    (out / CHOICE).unlink(missing_ok=True)
    built = build(recipe, len(classes), home)
    heads = classifiers(built.model)
    if len(heads) != 1 or not isinstance(heads[0], nn.Linear):
        raise Unavailable("no_linear_head", model=recipe.model)
    chosen = {"train": spread(manifest.of("train"), MOST_TRAINING),
              "validation": spread(manifest.of("validation"), MOST_VALIDATION)}
    labels = {split: np.array([classes.index(image.label) for image in images], int) for split, images in chosen.items()}
    groups = {split: np.array([image.group for image in images], int) for split, images in chosen.items()}
    if len(set(labels["train"].tolist())) < 2:
        raise BadRecipe("too_few_classes", count=1)
    features = yield from features_of(recipe, built, chosen, classes, home, out, where)
    yield Progressed(stage="fitting_head", done=0)
    head = best_head(features["train"], labels["train"], len(classes), groups=groups["train"])
    take_head(heads[0], head)
    checkpoint.save_best(out, built.model)
    found = {"model": recipe.model, "images": {split: len(images) for split, images in chosen.items()},
             "of": {split: len(manifest.of(split)) for split in chosen}, "strength": head.strength}
    yield Progressed(stage="evaluating", done=0)
    groups, found["scenes"] = with_scenes(features, labels, groups)
    answered = head.probabilities(features["validation"]) if len(labels["validation"]) else np.zeros((0, len(classes)))
    found["score"], report = _score(features, labels, groups, answered, classes)
    found["source"] = _source(built.source_head, features, labels, groups["validation"], classes)
    write_json(out / REPORT, {"dataset": manifest.dataset, "version": manifest.version, "validation": report})
    write_predictions(predictions_file(out, "validation"), chosen["validation"], answered, classes)
    yield Evaluated(split="validation", report=report)
    yield from _file(out, home, name)
    found["seconds"] = round(time.monotonic() - began, 2)
    return found


def features_of(recipe: Recipe, built: Built, chosen: dict[str, list[Image]], classes: Sequence[str], home: Home, out: Path,
              where: torch.device) -> Generator[Event, None, dict[str, np.ndarray]]:
    """What goes into the classifier, float32 N × D for each split: through the store, as a head-only training would read it."""
    photos = {split: ImageInputs.of(images, classes, home, built.preprocessing) for split, images in chosen.items()}
    ladder = climb(recipe, built.model, built.groups, len(chosen["train"]))
    in_fast_layout(built.model).to(where)
    freeze(built.model, ladder)
    checkpoint.write_description(out, recipe, list(classes), describe(built, ladder))
    short = yield from shorten(recipe, built, ladder, tuple(photos.values()), home, out, make_precision(recipe, where), where)
    network: nn.Module = short.network if short else built.model
    inputs: dict[str, Inputs] = dict(zip(photos, short.inputs, strict=True)) if short else dict(photos)
    built.model.eval()
    found = {}
    for split, of in inputs.items():
        parts, count = [np.zeros((0, classifiers(network)[0].in_features), np.float32)], len(of.labels)
        with torch.inference_mode():
            for images, _labels in of.batches(in_order(count, _BATCH), epoch=0):
                if not short:
                    yield Progressed(stage="features", done=sum(map(len, parts)), total=count)
                parts.append(features_and_logits(network, placed(images, where))[0][0].float().cpu().numpy())
        found[split] = np.concatenate(parts)
    return found


def take_head(layer: nn.Linear, head: Head) -> None:
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(head.weight))
        layer.bias.copy_(torch.from_numpy(head.bias))


def with_scenes(features: dict[str, np.ndarray], labels: dict[str, np.ndarray],
                groups: dict[str, np.ndarray]) -> tuple[dict[str, np.ndarray], dict[str, int]]:
    """The groups with images of one scene joined (see `close_pairs`), so that no fold divides them; and how many scenes lie in
    train and in validation, with how many validation images: what the split by hashes did not see."""
    both, truth, group = (np.concatenate([of["train"], of["validation"]]) for of in (features, labels, groups))
    whole, first = joined(group, close_pairs(both, truth)), len(labels["train"])
    train, validation = whole[:first], whole[first:]
    torn = np.intersect1d(train, validation)
    return ({"train": train, "validation": validation},
            {"groups": len(torn), "images": int(np.isin(validation, torn).sum())})


def _score(features: dict[str, np.ndarray], labels: dict[str, np.ndarray], groups: dict[str, np.ndarray],
           answered: np.ndarray, classes: Sequence[str]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The score to show, and the report of the validation split."""
    counts = {name: int((labels["train"] == index).sum()) for index, name in enumerate(classes)}
    report = metrics.report(labels["validation"], answered, classes, counts, groups=groups["validation"]) if len(answered) else {}
    if len(answered) >= ENOUGH:
        return accuracy(labels["validation"], answered, groups["validation"]) | {"on": "validation"}, report
    both, truth, group = (np.concatenate([of["train"], of["validation"]]) for of in (features, labels, groups))
    return accuracy(truth, unseen_probabilities(both, truth, len(classes), groups=group), group) | {"on": "folds"}, report


def accuracy(labels: np.ndarray, probabilities: np.ndarray, groups: np.ndarray) -> dict[str, Any]:
    right = int((probabilities.argmax(1) == labels).sum())
    part = metrics.evidence(groups) / len(labels)
    low, high = metrics.wilson(right * part, len(labels) * part)
    most = int(np.bincount(labels).max())
    return {"accuracy": right / len(labels), "low": low, "high": high, "correct": right, "n": len(labels),
            "baseline": most / len(labels)}


def _source(source_head: list[nn.Module], features: dict[str, np.ndarray], labels: dict[str, np.ndarray],
            groups: np.ndarray, classes: Sequence[str]) -> dict[str, Any] | None:
    """What the original classifier says of these images; None for a model that came without one."""
    if len(source_head) != 1:
        return None
    with torch.inference_mode():
        logits = {split: source_head[0].cpu()(torch.from_numpy(rows)).numpy() for split, rows in features.items()}
    source = {split: softmax(rows) for split, rows in logits.items()}
    answers = source["validation"] @ source_classifier(source["train"], labels["train"], len(classes))
    score = accuracy(labels["validation"], answers, groups) if len(answers) else None
    return {"score": score, "looks_like": looks_like(source["train"], labels["train"], classes)}


def _file(out: Path, home: Home, name: str) -> Generator[Event, None, None]:
    """The file the Predict page asks, replayed on a few validation images before it is offered."""
    yield Progressed(stage="exporting", done=0)
    run = replace(open_run(out, home, name), most=REPLAYED)
    file = out / "model.onnx"
    write_onnx(run.model, run.how, facts_of(run), file, quick=True)
    try:
        replay = yield from check_onnx(run, file)
    except BaseException:
        file.unlink(missing_ok=True)
        raise
    yield Exported(format="onnx", file=file.name, bytes=file.stat().st_size, replayed=replay.replayed, same=replay.same,
                   largest_difference=replay.largest_difference)
