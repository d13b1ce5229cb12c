"""One optimiser step."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from transfer_core.training.objective import Parts

if TYPE_CHECKING:
    from transfer_core.training.loop import Training

TrainStep = Callable[["Training", Tensor, Tensor], Parts]


def train_step(training: Training, images: Tensor, labels: Tensor) -> Parts:
    """One optimiser step: gradients of the data terms, then the penalties' proximal step.

    In a team, `images` are this process' share of a batch, `labels` those of all of it; so is what is returned.
    """
    optimizer, scaler, recipe = training.optimizer, training.precision.scaler, training.recipe
    if training.team:
        parts = training.team.gradients(training, images, labels)
    else:
        parts = gradients(training, images, labels)
        if not parts.data.requires_grad:
            return parts
    if recipe.clip:
        scaler.unscale_(optimizer)
        nn.utils.clip_grad_norm_(learned(training), recipe.clip)
    scaler.step(optimizer)
    scaler.update()
    training.objective.pull(optimizer)
    if training.factors:
        training.factors.write()
    return parts


def gradients(training: Training, images: Tensor, labels: Tensor, share: float = 1.0) -> Parts:
    """Those of what the optimiser changes, times `share`, in their `grad`."""
    with training.precision.cast():
        parts = training.objective(training.faster, images, labels)
    if not parts.data.requires_grad:
        return parts
    training.optimizer.zero_grad(set_to_none=True)
    training.precision.scaler.scale(parts.data * share).backward()
    if training.factors:
        training.factors.gather()
    return parts


def learned(training: Training) -> list[Tensor]:
    """What the optimiser changes."""
    return [parameter for group in training.optimizer.param_groups for parameter in group["params"]]


def is_out_of_memory(error: Exception) -> bool:
    """A GPU says so with a type of its own, a processor only in words."""
    words = str(error).lower()
    return isinstance(error, (torch.OutOfMemoryError, MemoryError)) or (
        isinstance(error, RuntimeError) and ("can't allocate memory" in words or "out of memory" in words))
