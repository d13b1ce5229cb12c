"""What goes into a model's classifier, heard while somebody else asks the model."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from transfer_core.training.models import classifiers

Heard = Callable[[int], list[Tensor]]


@contextmanager
def listening(model: nn.Module, keep: Callable[[Tensor], Tensor] = Tensor.detach) -> Iterator[Heard]:
    """Yields what tells the features of the last so many images shown inside: one tensor for each classifier of the model.

    The *last* ones, because whoever answers from stored activations checks them on a few images first. `keep` makes of each batch
    what is worth keeping; without it, all stays on the device.
    """
    given: list[list[Tensor]] = [[] for _ in classifiers(model)]
    hooks = [head.register_forward_pre_hook(lambda _head, inputs, heard=heard: heard.append(keep(inputs[0])))
             for head, heard in zip(classifiers(model), given, strict=True)]
    try:
        yield lambda count: [torch.cat(heard)[-count:] for heard in given]
    finally:
        for hook in hooks:
            hook.remove()
