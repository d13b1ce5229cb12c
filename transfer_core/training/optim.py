"""The optimiser, the learning rate over time, and numeric precision."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.amp import GradScaler
from torch.optim import SGD, AdamW, Optimizer

from transfer_core.recipe import Recipe
from transfer_core.training.freezing import Ladder
from transfer_core.training.tuning import LowRank


def make_optimizer(recipe: Recipe, model: nn.Module, ladder: Ladder, source_heads: Sequence[nn.Module] = (),
                   new: bool = False, factors: LowRank | None = None) -> Optimizer:
    """AdamW or SGD with Nesterov momentum 0.9, one parameter group each for head, trained and anchored backbone.

    Source classifiers that learn along do so as fast as the head where they are `new`, else as the backbone.

    Weights that change by `factors` stand back for these, which are new and learn as fast as the head (position adapter).

    Weight decay is 0: Ω is the decay, and a second pull to zero would move l2_sp's resting point to w⁰ · λ / (λ + decay).
    Groups carry `names` (of their parameters), `position` (head, train, anchor, adapter, source) and `base_lr`.
    """
    groups = list(_groups(recipe, model, ladder, factors))
    if beside := [parameter for head in source_heads for parameter in head.parameters()]:
        rate = recipe.learning_rate * (1 if new else recipe.backbone_factor)
        groups.append({"params": beside, "names": [], "position": "source", "lr": rate, "base_lr": rate})
    fused = all(p.is_floating_point() and p.device.type in ("cpu", "cuda") for group in groups for p in group["params"])
    if recipe.optimizer == "sgd":
        return SGD(groups, lr=recipe.learning_rate, momentum=0.9, nesterov=True, weight_decay=0, fused=fused)
    return AdamW(groups, lr=recipe.learning_rate, weight_decay=0, fused=fused)


def _groups(recipe: Recipe, model: nn.Module, ladder: Ladder, factors: LowRank | None) -> Iterator[dict[str, Any]]:
    parameters = dict(model.named_parameters())
    backbone, beside = recipe.learning_rate * recipe.backbone_factor, factors.named if factors else {}
    parameters |= beside
    places = {"head": (ladder.head, recipe.learning_rate), "adapter": (beside.keys(), recipe.learning_rate),
              "train": (set() if factors else ladder.learning("train"), backbone),
              "anchor": (ladder.learning("anchor"), backbone)}
    for position, (wanted, rate) in places.items():
        names = [name for name in parameters if name in wanted]
        if names:
            yield {"params": [parameters[name] for name in names], "names": names, "position": position,
                   "lr": rate, "base_lr": rate}


def schedule(recipe: Recipe, progress: float) -> float:
    """What the base learning rates are multiplied by when `progress` (0 to 1) of the training is done.

    Linear warm-up from 0, then half a cosine to 0. A function of progress alone, so that a resumed training, or one whose
    batch was halved half-way, goes on where it was.
    """
    if progress < recipe.warmup:
        return progress / recipe.warmup
    if recipe.schedule == "constant":
        return 1.0
    return 0.5 * (1 + math.cos(math.pi * (progress - recipe.warmup) / (1 - recipe.warmup)))


def set_learning_rate(optimizer: Optimizer, factor: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = group["base_lr"] * factor


@dataclass
class Precision:
    """How numbers are held in forward passes: `name` is float32, bfloat16 or float16 (the last with loss scaling)."""

    name: str
    device: str
    scaler: GradScaler

    def cast(self) -> AbstractContextManager[Any]:
        if self.name == "float32":
            return nullcontext()
        return torch.autocast(self.device, dtype=getattr(torch, self.name))


def make_precision(recipe: Recipe, device: torch.device) -> Precision:
    """ "auto": bfloat16 on a GPU that has it, else float16 on a GPU; float32 on a processor, where bfloat16 gained nothing."""
    name = recipe.precision
    if name == "auto":
        half = "bfloat16" if device.type == "cuda" and torch.cuda.is_bf16_supported() else "float16"
        name = half if device.type == "cuda" else "float32"
    if name == "float16" and device.type != "cuda":
        name = "float32"  # loss scaling needs CUDA, and float16 without it underflows
    return Precision(name, device.type, GradScaler(device.type, enabled=name == "float16"))
