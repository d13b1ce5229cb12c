"""What goes into a model's classifier, or another layer, heard while somebody else asks the model."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor, nn

from transfer_core.training.models import classifiers

Heard = Callable[[int], list[Tensor]]


@contextmanager
def listening(model: nn.Module, keep: Callable[[Tensor], Tensor] = Tensor.detach,
              layers: Sequence[nn.Module] | None = None) -> Iterator[Heard]:
    """Yields what tells the features of the last so many images shown inside: one tensor for each classifier of the model, or for
    each of these layers.

    The *last* ones, because whoever answers from stored activations checks them on a few images first. `keep` makes of each batch
    what is worth keeping; without it, all stays on the device.
    """
    layers = classifiers(model) if layers is None else layers
    given: list[list[Tensor]] = [[] for _ in layers]
    hooks = [layer.register_forward_pre_hook(lambda _layer, inputs, heard=heard: heard.append(keep(inputs[0])))
             for layer, heard in zip(layers, given, strict=True)]
    try:
        yield lambda count: [torch.cat(heard)[-count:] if heard else torch.empty(0) for heard in given]
    finally:
        for hook in hooks:
            hook.remove()


def units(features: np.ndarray) -> np.ndarray:
    """Rows of length 1, float32; a row of zeros stays one."""
    return (features / np.maximum(np.linalg.norm(features, axis=1, keepdims=True), 1e-12)).astype(np.float32)
