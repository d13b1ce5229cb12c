"""The forgetting meter: after each epoch, how much of what the model knew before is left.

Measured on validation images, which nothing is learned from: does the original classifier, put back on the changed backbone,
still say what it said (agreement), does the backbone still see what it saw (similarity), and how far have its weights gone
(drift)?
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor, nn

from transfer_core.events import Kept
from transfer_core.training.freezing import Ladder, still_norms
from transfer_core.training.models import Built, classifiers

PROBE = 200
"""Validation images that are compared, at most: enough for ±7 points, and the look before the training stays short."""


class Meter:
    """Make it before the first step, with the model at its start, for so many validation images.

    First `watch` a pass over those at `places`, and `begin`; then watch whole passes, in order, and `read` each.
    """

    def __init__(self, built: Built, ladder: Ladder, images: int, seed: int) -> None:
        self.places = sorted(np.random.default_rng((seed, 3)).permutation(images)[:PROBE].tolist())
        self.heads, self.classifiers, self.still = built.source_head, classifiers(built.model), ladder.head_only
        parameters = dict(built.model.named_parameters())
        self._now = {group.name: [parameters[name] for name in group.parameters] for group in ladder.at("train", "anchor")}
        self._start = {name: [weight.detach().clone() for weight in weights] for name, weights in self._now.items()}
        self._whole = math.sqrt(sum(_square(parameters[name]) for group, _ in ladder.rungs for name in group.parameters))
        self._norms = still_norms(built.model, ladder)
        self._averages = [average.clone() for average in self._still_averages()]
        self._first: tuple[Tensor, Tensor | None] | None = None
        self._seen: list[tuple[Tensor, Tensor | None]] = []

    @contextmanager
    def watch(self) -> Iterator[None]:
        """What goes into the classifier is noted: of a pass over all validation images, that of those at `places`."""
        self._seen = []
        given: list[Tensor] = []
        passed = 0

        def note(_head: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            nonlocal passed
            given.append(inputs[0])
            if len(given) == len(self.classifiers):  # distilled models have two
                count = len(given[0])
                wanted = [place - passed for place in self.places if passed <= place < passed + count]
                rows = given if self._first is None else [part[wanted] for part in given]
                if len(rows[0]):
                    self._seen.append(self._of(rows))
                passed += count
                given.clear()

        hooks = [] if self.still else [head.register_forward_pre_hook(note) for head in self.classifiers]
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()

    def _of(self, given: list[Tensor]) -> tuple[Tensor, Tensor | None]:
        features = torch.cat([feature.flatten(1) for feature in given], 1).float()
        if not self.heads:
            return features, None
        logits = sum(head(feature).float() for head, feature in zip(self.heads, given, strict=True))
        return features, logits.flatten(1).argmax(1)

    def begin(self) -> None:
        """What was watched last, a pass over the images at `places` only, is what the model says at its start."""
        self._first = self._together()
        self._seen = []

    def read(self) -> Kept:
        """After a pass over all validation images has been watched."""
        agreement = 1.0 if self.still and self.heads else None
        similarity = 1.0 if self.still else None
        now = self._together()
        self._seen = []
        if now and self._first:
            (features, said), (before, wanted) = now, self._first
            similarity = float(nn.functional.cosine_similarity(features, before).mean())
            agreement = None if said is None else float((said == wanted).float().mean())
        drift, moved = self._drift()
        still = self._still_averages()
        changed = sum(not torch.equal(now, start) for now, start in zip(still, self._averages, strict=True))
        return Kept(images=len(self.places), agreement=agreement, similarity=similarity, drift=drift, moved=moved,
                    averages=len(still), averages_moved=changed)

    def _still_averages(self) -> list[Tensor]:
        return [average for norm in self._norms for average in (norm.running_mean, norm.running_var) if average is not None]

    def _together(self) -> tuple[Tensor, Tensor | None] | None:
        if not self._seen:
            return None
        features, said = zip(*self._seen, strict=True)
        return torch.cat(features), None if said[0] is None else torch.cat(said)

    @torch.no_grad()
    def _drift(self) -> tuple[dict[str, float], float]:
        gone = {name: sum(_square(now - start) for now, start in zip(self._now[name], self._start[name], strict=True))
                for name in self._now}
        sizes = {name: sum(map(_square, weights)) for name, weights in self._start.items()}
        drift = {name: math.sqrt(gone[name] / sizes[name]) if sizes[name] else 0.0 for name in gone}
        return drift, math.sqrt(sum(gone.values())) / self._whole if self._whole else 0.0


def _square(tensor: Tensor) -> float:
    return float(torch.linalg.vector_norm(tensor.detach().float())) ** 2  # float64 is not to be had on every device


