"""Make a training short: cut, store what the prefix says of every image, check it, and train the suffix on the store."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from transfer_core.activations import Entry, Rows, Shelf, Spec, make_room
from transfer_core.events import Cached, Event, Note, Progressed
from transfer_core.images import Preprocessing
from transfer_core.paths import Home, write_json
from transfer_core.recipe import Recipe
from transfer_core.training.freezing import Ladder
from transfer_core.training.models import Built
from transfer_core.training.optim import Precision
from transfer_core.training.pipeline import ImageInputs
from transfer_core.training.prefix.cut import CannotCut, Cut, cut, difference
from transfer_core.training.prefix.engine import Eager, Engine, choose
from transfer_core.training.prefix.fill import Counted, fill
from transfer_core.training.prefix.inputs import StoredInputs, Suffix
from transfer_core.training.prefix.plan import Plan, arithmetic_share, fingerprint, plan
from transfer_core.training.prefix.rows import from_rows
from transfer_core.training.prefix.views import View, views_of
from transfer_core.words import message

log = logging.getLogger(__name__)
CHOICE = "cache.json"
"""In a run's folder: how it was shortened. A resumed run goes on in the same way."""
CHECKED = 4
"""Images of the one-batch self-check."""
_ALLOWED = {"float32": 1e-3, "float16": 2e-2}
"""Largest difference of logits, relative to the largest, between the stored and the whole way. Seen: 0 with PyTorch and
float32, 1e-6 with ONNX Runtime, 1e-3 with float16. A wrong row (another image, another model) gives 1."""


@dataclass(frozen=True)
class Short:
    """What a training runs on instead of its model and its photos."""

    network: Suffix
    inputs: list[StoredInputs]
    """One for each split that was given."""
    parts: Cut
    facts: Cached


@dataclass
class _Job:
    """One split seen one way: an entry and the images that belong into it."""

    view: View
    inputs: ImageInputs
    entry: Entry

    def prepare(self, place: int) -> np.ndarray:
        return self.view.prepare(self.inputs, place)


def shorten(recipe: Recipe, built: Built, ladder: Ladder, splits: Sequence[ImageInputs], home: Home, out: Path,
            precision: Precision, device: torch.device, hopeless: Callable[[Progressed], bool] = lambda _event: False,
            ) -> Generator[Event, None, Short | None]:
    """Progress, then what to train on; None, after a note that says why, when the plain way has to be gone.

    The first of `splits` is the one to train on; those that are varied get stored views, others are kept as they are evaluated.
    Call it with the ladder applied and the model on its device. The run's choice is kept in `out`. Storing is given up when
    `hopeless` says so of how far it is.
    """
    if not ladder.at("freeze"):
        return None
    began, model, chosen = time.monotonic(), built.model, read_choice(out / CHOICE)
    if chosen.get("reason"):
        return None  # a resumed run goes on as it began
    try:
        parts = cut(model, ladder, built.preprocessing.size)
    except CannotCut as error:
        log.info("%s cannot be cut: %s", recipe.model, error)
        return (yield from _no(out, "cannot_cut"))
    train = splits[0]
    trial = np.stack([train.plain(place) for place in range(min(CHECKED, len(train.labels)))])
    images = torch.from_numpy(trial).to(device, memory_format=torch.channels_last)
    model.eval()  # in training mode one image would move running averages, and a BatchNorm of vectors refuses it
    share = arithmetic_share(parts, images[:1])
    model.train()
    varied = sum(len(inputs.labels) for inputs in splits if inputs.augmentation != "none" or inputs is train)
    planned = plan(recipe, parts, share, varied, sum(len(inputs.labels) for inputs in splits) - varied)
    if planned.reason:
        return (yield from _no(out, planned.reason))
    mark, shelf = fingerprint(parts, built.architecture, built.arguments), Shelf(home)
    eager = Eager(parts, device, precision.cast, recipe.batch_size)
    prefer = chosen.get("engine") or _stored(shelf, recipe, built, parts, mark, planned, splits)
    views = [views_of(inputs, planned.views) for inputs in splits]
    passes = sum(len(inputs.labels) * len(wanted) for inputs, wanted in zip(splits, views, strict=True))
    engine = choose(parts, eager, trial, passes, home, mark, prefer)
    for attempt in (engine, eager):
        jobs = [_Job(view, inputs, shelf.entry(
                    spec_of(recipe, built.preprocessing, parts, mark, attempt.name, view, planned.dtype)))
                for inputs, wanted in zip(splits, views, strict=True) for view in wanted]
        if not _room(shelf, jobs):
            return (yield from _no(out, "no_room"))
        hit = not any(job.entry.missing(job.inputs.digests) for job in jobs)
        try:
            with closing(_fill(jobs, attempt)) as filling:
                for event in filling:
                    yield event
                    if hopeless(event):
                        return (yield from _no(out, "no_time"))
        except OSError as error:
            log.warning("the activations could not be stored: %r", error)
            shelf.forget((job.entry, job.inputs.digests) for job in jobs)  # the checkpoints need that room now
            return (yield from _no(out, "disk_full"))
        rows = [job.entry.rows(job.inputs.digests) for job in jobs]
        seen = np.stack([jobs[0].prepare(place) for place in range(min(CHECKED, len(rows[0])))])
        right = agrees(model, parts, torch.from_numpy(seen), rows[0], planned.dtype, device)
        model.train()
        if right:
            break
        log.warning("stored activations do not agree with the model; computed anew")
        for job in jobs:
            shelf.remove(job.entry.spec.key)
    else:
        return (yield from _no(out, "disagrees"))
    facts = Cached(boundary=parts.boundary, hit=hit, bytes=_bytes(jobs), engine=attempt.name, dtype=planned.dtype,
                   views=planned.views, share=share, seconds=time.monotonic() - began)
    write_json(out / CHOICE, {"engine": attempt.name, "dtype": planned.dtype})
    yield facts
    left = iter(rows)
    stored = [StoredInputs([next(left) for _ in wanted], inputs.labels, parts.live)
              for inputs, wanted in zip(splits, views, strict=True)]
    return Short(Suffix(parts, model), stored, parts, facts)


def _no(out: Path, reason: str) -> Generator[Event, None, None]:
    write_json(out / CHOICE, {"reason": reason})
    yield Note(message=message(f"fit.cache.{reason}"))


def spec_of(recipe: Recipe, how: Preprocessing, parts: Cut, mark: str, engine: str, view: View, dtype: str) -> Spec:
    return Spec(mark, engine, how.to_dict(), view.spec(), tuple(live.shape for live in parts.live), dtype, recipe.model,
                parts.boundary)


def _stored(shelf: Shelf, recipe: Recipe, built: Built, parts: Cut, mark: str, planned: Plan,
            splits: Sequence[ImageInputs]) -> str | None:
    """The engine whose entries hold most of these images already: what is there need not be computed at all."""
    wanted = {digest for inputs in splits for digest in inputs.digests}
    view = views_of(splits[0], planned.views)[0]
    held = {}
    for stored in shelf:
        if stored.key == spec_of(recipe, built.preprocessing, parts, mark, stored.spec.engine, view, planned.dtype).key:
            held[stored.spec.engine] = len(wanted & {digest.hex() for digest in shelf.entry(stored.spec).images})
    return max(held, key=held.__getitem__) if any(held.values()) else None


def _room(shelf: Shelf, jobs: list[_Job]) -> bool:
    wanted = sum(len(job.entry.missing(job.inputs.digests)) * job.entry.spec.bytes_per_image for job in jobs)
    return not wanted or make_room(shelf, wanted, frozenset(job.entry.spec.key for job in jobs))


def _fill(jobs: list[_Job], engine: Engine) -> Generator[Progressed, None, None]:
    counted = Counted(sum(len(job.inputs.images) for job in jobs))
    for job in jobs:
        yield from fill(job.entry, job.inputs.digests, job.prepare, engine, counted)


def agrees(model: nn.Module, parts: Cut, images: torch.Tensor, rows: Rows, dtype: str, device: torch.device) -> bool:
    """Whether these images, the first of `rows`, get the same logits from their rows and from the whole model. Leaves it in
    evaluation mode."""
    images = images.to(device, memory_format=torch.channels_last)
    stored = from_rows(rows.take(range(len(images))), parts.live, device)
    model.eval()
    return difference(model, parts, images, lambda _tensors: stored) <= _ALLOWED[dtype]


def _bytes(jobs: list[_Job]) -> int:
    return sum(len(set(job.inputs.digests)) * job.entry.spec.bytes_per_image for job in jobs)


def read_choice(file: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(file.read_text("utf-8")))
    except (OSError, ValueError, TypeError):
        return {}
