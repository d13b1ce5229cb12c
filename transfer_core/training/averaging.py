"""Averages of weights: how they are made, answered with, and left on disk as a run like any other."""

from __future__ import annotations

import shutil
from collections.abc import Generator, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from transfer_core.events import Averaged, Event, Progressed
from transfer_core.paths import Home, write_json
from transfer_core.predictor import softmax
from transfer_core.training import checkpoint
from transfer_core.training.evaluate import full_float32, probabilities
from transfer_core.training.export.replay import read_json
from transfer_core.training.pipeline import ImageInputs, in_order
from transfer_core.training.prefix.answers import StoredAnswers
from transfer_core.training.prefix.shorten import CHOICE

ESTIMATED = 512
"""Training images from which BatchNorm's averages are estimated anew."""
AVERAGED = "averaged"
"""In `info.json`: what the weights are an average of."""
_BATCH = 32
_FINE = 100
"""Parts of one step, so that a bar moves within it."""

State = Mapping[str, Tensor]


def mixed(before: State, after: State, alpha: float) -> dict[str, Tensor]:
    """(1 − α) of one and α of the other; at the ends exactly these. Counts (whole numbers) are taken from `after`."""
    return {name: torch.lerp(before[name], tensor, alpha) if tensor.is_floating_point() else tensor
            for name, tensor in after.items()}


class Sum:
    """The sum of some models' weights. In float64, so that the mean of equal weights is that weight, to the last bit."""

    def __init__(self, first: State) -> None:
        self._first, self._total, self.count = first, {}, 0
        self.moved: set[str] = set()
        """BatchNorm modules whose averages are not the same in all."""
        self.add(first)

    def add(self, state: State) -> None:
        for name, tensor in state.items():
            if tensor.is_floating_point():
                wide = tensor.double()
                self._total[name] = self._total[name] + wide if name in self._total else wide
        self.count += 1
        self.moved |= set(moved(self._first, state))

    def mean(self, also: State | None = None) -> tuple[dict[str, Tensor], list[str]]:
        """Of all, and of `also` if given: weights, and the modules to be estimated anew. Counts are the first's."""
        count, names = self.count, self.moved
        if also is not None:
            count, names = count + 1, names | set(moved(self._first, also))
        mean = {}
        for name, tensor in self._first.items():
            total = self._total.get(name)
            if total is not None and also is not None:
                total = total + also[name].double()
            mean[name] = tensor if total is None else (total / count).to(tensor.dtype)
        return mean, sorted(names)


def moved(one: State, other: State) -> list[str]:
    """BatchNorm modules whose averages differ. Where they are equal, they are those of every mean of the two."""
    return [name.removesuffix(".running_mean") for name, tensor in one.items() if name.endswith(".running_mean") and not all(
        torch.equal(one[key], other[key]) for key in (name, f"{name.removesuffix('mean')}var"))]


def put_into(model: nn.Module, state: State, norms: Iterable[str], images: ImageInputs, where: torch.device) -> nn.Module:
    """Give the model these weights, with the averages of `norms` estimated anew. The same each time, to the last bit."""
    model.cpu().to(memory_format=torch.channels_last).load_state_dict(state)
    estimate(model, list(norms), images, where)
    return model


def estimate(model: nn.Module, norms: list[str], images: ImageInputs, where: torch.device) -> None:
    """Averages of these BatchNorm modules anew, as the mean over batches of `images`: those of neither end fit a mixture."""
    parts = [model.get_submodule(name) for name in norms]
    if not parts or not len(images.labels):
        return
    model.eval().to(where)
    usual = [part.momentum for part in parts]
    for part in parts:
        part.reset_running_stats()
        part.momentum, part.training = None, True  # None: the plain mean of all batches
    with torch.inference_mode(), full_float32():
        for batch, _ in images.batches([places for places in in_order(len(images.labels), _BATCH) if len(places) > 1], 0):
            model(batch.to(where, memory_format=torch.channels_last))
    for part, momentum in zip(parts, usual, strict=True):
        part.momentum, part.training = momentum, False


def answers(folder: Path | None, model: nn.Module, images: ImageInputs, home: Home,
            where: torch.device) -> Generator[Event, None, np.ndarray]:
    """Probabilities, images × classes; from stored activations where the run in `folder` has them (None: no run is cut so)."""
    logits = (yield from StoredAnswers(folder, model, home, where).logits(images)) if folder else None
    return softmax(logits) if logits is not None else (yield from probabilities(model, images, where))


def as_part(work: Generator[Event, None, Any], stage: str, done: int, total: int) -> Generator[Event, None, Any]:
    """What a part of longer work reports, as progress of the whole: step `done` of `total`, in hundredths."""
    most = _FINE * done
    while True:
        try:
            event = next(work)
        except StopIteration as end:
            return end.value
        if isinstance(event, Progressed):
            share = min(0.99, event.done / event.total) if event.total else 0.0
            most = max(most, _FINE * done + int(_FINE * share))
            event = Progressed(stage=stage, done=most, total=_FINE * total)
        yield event


def at_part(stage: str, done: int, total: int) -> Progressed:
    """Where `as_part` begins to count."""
    return Progressed(stage=stage, done=_FINE * done, total=_FINE * total)


def leave(out: Path, source: Path, model: nn.Module, fact: Averaged, choice: bool = True) -> None:
    """Make `out` the folder of a run with this model, described as that of `source`, which is only read.

    `choice`: its frozen layers are those of `source`, so that it is measured through the same store. The weights come last:
    with them it is whole.
    """
    for name in ("recipe.json", "classes.json"):
        write_json(out / name, read_json(source / name))
    write_json(out / "info.json", read_json(source / "info.json") | {AVERAGED: fact.model_dump(exclude={"type"})})
    (out / CHOICE).unlink(missing_ok=True)
    if choice and (source / CHOICE).is_file():
        shutil.copyfile(source / CHOICE, out / CHOICE)
    checkpoint.save_best(out, model)


def left_in(out: Path) -> Averaged | None:
    """What `leave` said of the model in this folder; None before it was whole."""
    told = read_json(out / "info.json").get(AVERAGED) if (out / checkpoint.BEST).is_file() else None
    return Averaged(**told) if told else None
