"""Whether a stored prefix repays, how many views of each image, and with how many bytes: decided before any is spent."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import timm
import torch
from torch.utils.flop_counter import FlopCounterMode

from transfer_core.estimate import FLOAT32_BYTES, LEAST_SHARE
from transfer_core.recipe import Recipe
from transfer_core.training.prefix.cut import Cut, Live


@dataclass(frozen=True)
class Plan:
    views: int
    """Stored views of each training image; 0 means as they are evaluated."""
    dtype: str
    bytes: int
    """Of everything the training reads."""
    reason: str = ""
    """Why nothing is stored: a key of the words `fit.cache.<reason>`; empty when it is."""


def plan(recipe: Recipe, parts: Cut, share: float, training: int, validation: int) -> Plan:
    """What to store for so many images. `share` is the prefix' part of the arithmetic of a forward pass."""
    views = recipe.kept_views
    rows = max(1, views or 0) * training + validation
    full = rows * (4 * sum(live.numbers for live in parts.live) + 32)
    dtype = "float32" if full <= FLOAT32_BYTES else "float16"
    size = full if dtype == "float32" else rows * (2 * sum(live.numbers for live in parts.live) + 32)
    if views is None:
        return Plan(0, dtype, size, "fresh_views")
    if share < LEAST_SHARE:
        return Plan(views, dtype, size, "too_early")
    if recipe.epochs < max(1, views):
        return Plan(views, dtype, size, "too_few_epochs")
    return Plan(views, dtype, size)


def arithmetic_share(parts: Cut, images: torch.Tensor) -> float:
    """The prefix' share of one forward pass (multiply-adds of convolutions, matrices and attention), between 0 and 1."""
    with torch.no_grad():
        with FlopCounterMode(display=False) as before:
            tensors = parts.prefix(images)
        with FlopCounterMode(display=False) as behind:
            parts.suffix(*tensors)
    return before.get_total_flops() / max(1, before.get_total_flops() + behind.get_total_flops())


def fingerprint(parts: Cut, architecture: str, arguments: object) -> str:
    """Equal for prefixes that give equal numbers: operations, weights, and the libraries' versions."""
    digest = hashlib.sha256()
    for fact in (architecture, arguments, parts.prefix.code, timm.__version__, torch.__version__, _shapes(parts.live)):
        digest.update(f"{fact}\n".encode())
    for name, tensor in sorted(parts.prefix.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(memoryview(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy()))
    return digest.hexdigest()[:32]


def _shapes(live: Sequence[Live]) -> str:
    return " ".join(f"{facts.shape}{facts.merged}{facts.channels_last}" for facts in live)
