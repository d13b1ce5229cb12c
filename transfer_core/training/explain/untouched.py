"""A model is looked into and left as it was."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn


@contextmanager
def untouched(model: nn.Module) -> Iterator[None]:
    """In evaluation mode and without gradients of weights, and afterwards each part as it was: they may differ from one another.

    Besides the memory, what a model has kept from `inference_mode` (ConViT its distances) may take no part in those gradients.
    """
    modes = {module: module.training for module in model.modules()}
    learns = [parameter for parameter in model.parameters() if parameter.requires_grad]
    model.eval().requires_grad_(False)
    try:
        yield
    finally:
        for module, training in modes.items():
            module.training = training
        for parameter in learns:
            parameter.requires_grad_(True)
