"""How like a photo is to those a model learned from: the cosine of its features to the nearest of theirs.

A classifier is sure of photos of anything: with two classes a car is 99 % ant. Its features know better (deep nearest neighbours,
Sun et al. 2022, arXiv:2204.06827, with k = 1; docs/decisions.md says what that is worth here). So the ONNX file carries the
features of some training photos, and answers a second question beside the first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor, nn

from transfer_core.training.listening import listening, units
from transfer_core.training.models import classifiers


def last_layer(model: nn.Module) -> nn.Linear | None:
    """The linear layer that gives the logits; None for a model that ends otherwise, or in two whose answers are averaged."""
    heads = classifiers(model)
    linear = [part for part in heads[0].modules() if isinstance(part, nn.Linear)] if len(heads) == 1 else []
    return linear[-1] if linear else None


def likeness(features: np.ndarray, bank: np.ndarray) -> np.ndarray:
    """Largest cosine of each row to one of the bank's: float32 n, between −1 and 1."""
    return (units(features) @ bank.T).max(axis=1)


@contextmanager
def watched(model: nn.Module) -> Iterator[Callable[[int], np.ndarray | None]]:
    """Gives the features (float32 n × D, what goes into the last layer) of the last n images that the model was shown inside."""
    layer = last_layer(model)
    with listening(model, lambda given: given.detach().float().cpu(), [layer] if layer else []) as heard:

        def features(count: int) -> np.ndarray | None:
            told = heard(count)
            return told[0].numpy() if told and told[0].ndim == 2 and len(told[0]) == count else None

        yield features


@contextmanager
def alike(model: nn.Module, bank: np.ndarray | None) -> Iterator[Callable[[int], np.ndarray | None] | None]:
    """Gives the likeness of the last n images that the model was shown inside; None without anything to compare them with."""
    if bank is None:
        yield None
        return
    with watched(model) as features:

        def asked(count: int) -> np.ndarray | None:
            found = features(count)
            return None if found is None else likeness(found, bank)

        yield asked


class Both(nn.Module):
    """In the place of a last layer: its logits and, as one more column, the likeness."""

    def __init__(self, layer: nn.Linear, bank: np.ndarray) -> None:
        super().__init__()
        self.layer = layer
        self.register_buffer("bank", torch.from_numpy(bank.T.copy()))

    def forward(self, features: Tensor) -> Tensor:
        unit = features / features.norm(dim=1, keepdim=True).clamp_min(1e-12)
        return torch.cat([self.layer(features), (unit @ self.bank).amax(dim=1, keepdim=True)], dim=1)


class Answering(nn.Module):
    """A model whose last layer is `Both`: images → (logits N × classes, likeness N)."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        both = self.model(images)
        return both[:, :-1], both[:, -1]


@contextmanager
def answering(model: nn.Module, bank: np.ndarray) -> Iterator[Answering]:
    """The model for as long as it answers both questions; afterwards it is what it was."""
    layer = last_layer(model)
    place = next(path for path, module in model.named_modules() if module is layer)
    parent, _, name = place.rpartition(".")
    owner = model.get_submodule(parent)
    setattr(owner, name, Both(layer, bank).to(layer.weight.device).eval())
    try:
        yield Answering(model).eval()
    finally:
        setattr(owner, name, layer)
