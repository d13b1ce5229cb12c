"""Everything that may be wrong with a dataset, in one look at its photos with the default model."""

from __future__ import annotations

import time
from collections.abc import Generator, Sequence
from typing import Any

import numpy as np

from transfer_core.datasets.duplicates import joined
from transfer_core.datasets.manifest import Image, Manifest, spread
from transfer_core.events import Event, Note, Progressed
from transfer_core.paths import Home
from transfer_core.recipe import DEFAULT_MODEL
from transfer_core.training.problems.leaks import alike, leaks, row
from transfer_core.training.problems.looking import look
from transfer_core.training.problems.mislabelled import Suspects, suspects
from transfer_core.training.problems.odd import FAR, oddness
from transfer_core.training.problems.quality import poor
from transfer_core.training.problems.scores import both_scores
from transfer_core.training.scenes import close_pairs
from transfer_core.words import Message, message

MOST = 3000
"""Images looked at, at most: two to three minutes on a laptop. Copies found at import are told of all."""
LISTED = 200
"""Entries kept of each list; `counts` says how many there were."""


def find_problems(manifest: Manifest, home: Home, *, device: str = "auto",
                  model: str = DEFAULT_MODEL) -> Generator[Event, None, dict[str, Any]]:
    """Look at all labelled images of a dataset version, test split included, and say what seems wrong. Nothing is changed.

    To look at test images is fine here: no model and no setting is chosen by what is found, and a label may be wrong there too.
    Who then repairs a test label should do so because it is wrong, whatever the model says.

    Returns `{"images", "looked_at", "duplicates": {"groups", "count"}, "leaks", "label_errors", "odd", "quality", "scores",
    "counts", "notes", "seconds"}`. Of the lists: `leaks.alike` and `leaks.leaks`; label errors are `{"sha256", "file", "label",
    "split", "suggested", "confidence"}`, the least confident first; odd ones `{…, "score"}` (see `odd`); `quality.poor`;
    `scores.both_scores`. Raises `NotFound` when files have gone, and what building the model raises.
    """
    began = time.monotonic()
    images = manifest.images
    places = _looked_at(images)
    looked = [images[place] for place in places]
    quality = yield from poor(looked, home)
    features = yield from look(manifest, looked, home, device, model)
    yield Progressed(stage="comparing", done=0)
    labels = np.array([manifest.classes.index(image.label) for image in looked], int)
    pairs = places[close_pairs(features, labels)]
    groups = joined(np.array([image.group for image in images], int), pairs)
    scores, unseen = both_scores(features, labels, len(manifest.classes), groups[places])
    doubted, notes = _doubted(manifest.classes, labels, groups[places], scores, unseen)
    if len(looked) < sum(image.split != "left_out" for image in images):
        notes.append(message("problems.some", looked=len(looked), of=len(images)))
    for note in notes:
        yield Note(message=note)
    found = {"duplicates": alike(images, groups), "leaks": leaks(images, groups),
             "label_errors": _rows(doubted, looked, manifest.classes), "odd": _odd(features, labels, groups[places], looked),
             "quality": quality}
    short = {part: entries[:LISTED] for part, entries in found.items()}
    counts = {part: len(entries) for part, entries in found.items()}
    return {"images": len(images), "looked_at": len(looked), **short,
            "duplicates": {"groups": short["duplicates"], "count": counts["duplicates"]}, "scores": scores, "counts": counts,
            "notes": [note.model_dump() for note in notes], "seconds": round(time.monotonic() - began, 2)}


def _looked_at(images: Sequence[Image]) -> np.ndarray:
    """Places of the images to look at: all that are in a split, or a share of them."""
    chosen = {id(image) for image in spread([image for image in images if image.split != "left_out"], MOST)}
    return np.array([place for place, image in enumerate(images) if id(image) in chosen], int)


def _doubted(classes: Sequence[str], labels: np.ndarray, groups: np.ndarray, scores: dict[str, Any] | None,
             unseen: np.ndarray) -> tuple[Suspects | None, list[Message]]:
    """Doubted labels, and what a person should know of them. A model that is no better than a guess doubts nobody."""
    if scores is None:
        return None, [message("problems.too_few")]
    if scores["honest"]["low"] <= scores["honest"]["baseline"]:
        return None, [message("problems.guessing")]
    found = suspects(labels, unseen, groups)
    names = ", ".join(classes[label] for label in found.skipped[:8]) + (" …" if len(found.skipped) > 8 else "")
    return found, [message("problems.skipped", count=len(found.skipped), classes=names)] if found.skipped else []


def _rows(found: Suspects | None, looked: Sequence[Image], classes: Sequence[str]) -> list[dict[str, Any]]:
    if found is None:
        return []
    return [{**row(looked[place]), "suggested": classes[suggested], "confidence": round(float(confidence), 4)}
            for place, suggested, confidence in zip(found.places, found.suggested, found.confidence, strict=True)]


def _odd(features: np.ndarray, labels: np.ndarray, groups: np.ndarray, looked: Sequence[Image]) -> list[dict[str, Any]]:
    scores = oddness(features, labels, groups)
    order = [place for place in np.argsort(-scores, kind="stable") if scores[place] > FAR]
    return [{**row(looked[place]), "score": round(float(scores[place]), 2)} for place in order]
