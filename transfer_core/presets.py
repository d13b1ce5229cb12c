"""Three ways to fine-tune, from little to everything, and which of them fits a dataset.

A preset gives recipe settings from the model and the dataset's import summary. Numbers follow Kumar et al. 2022
(arXiv:2202.10054: a fitted head first, small steps behind it), Li et al. 2018 (arXiv:1802.01483: stay near the start), and
half of the 500 steps of BiT (Kolesnikov et al. 2020, arXiv:1912.11370) for datasets of this size, because the best epoch on
1,000 clothing photos was the fourth of six. Learning rates and the limits `FEW`, `MANY` and `_LAST` are judgements, not results.
"""

from __future__ import annotations

import math
import re
import statistics
from collections.abc import Callable, Mapping
from typing import Any

from transfer_core.catalog import ModelInfo, model
from transfer_core.recipe import DEFAULT_MODEL, Recipe
from transfer_core.registry import Registry
from transfer_core.words import Message, message

Preset = Callable[[ModelInfo, Mapping[str, Any]], dict[str, Any]]
PRESETS: Registry[Preset] = Registry("preset")

FEW, MANY = 30, 300
"""Training images a class below which only the head, and from which everything, is worth training."""
_STEPS = 250
_LAST = 0.4
"""Most of the compute that "last stages" trains: one stage of a ConvNet of five, four blocks of a ViT of twelve."""
_SIDES = re.compile(r"(?i)(?:^|[\W_])(left|right|[lr])(?:$|[\W_])|左|右")


@PRESETS.add("head_only")
def head_only(info: ModelInfo, summary: Mapping[str, Any]) -> dict[str, Any]:
    """Feature transfer: the model stays as it is and only a new last layer learns your classes. Fast and hard to spoil."""
    return {**_common(summary), "freeze": "all", "learning_rate": 3e-3, "epochs": 30, "regularizer": "l2", "lambda_omega": 0.01}


@PRESETS.add("last_stages")
def last_stages(info: ModelInfo, summary: Mapping[str, Any]) -> dict[str, Any]:
    """The last stages learn too, in small steps and held near where they started; what comes before stays frozen."""
    return {**_common(summary), "freeze": _first_trained(info), "learning_rate": 3e-3, "epochs": _epochs(summary),
            "regularizer": "l2_sp", "lambda_omega": 10.0}


@PRESETS.add("everything")
def everything(info: ModelInfo, summary: Mapping[str, Any]) -> dict[str, Any]:
    """Parameter transfer: the pretrained model is only where training starts, and every layer learns. Wants many photos."""
    return {**_common(summary), "freeze": 0, "learning_rate": 1e-3, "epochs": _epochs(summary),
            "backbone_factor": 0.03 if _attends(info) else 0.1, "regularizer": "l2_sp", "lambda_omega": 10.0}


def recommend(info: ModelInfo, summary: Mapping[str, Any]) -> tuple[str, Message]:
    """The preset that fits the number of training images a class (the median), and why."""
    each = round(_images_per_class(summary))
    if each < FEW:
        return "head_only", message("catalog.why.few" if each else "catalog.why.unknown", count=each)
    if info.whole:
        return "head_only", message("catalog.why.whole")
    if each < MANY:
        return "last_stages", message("catalog.why.some", count=each)
    return "everything", message("catalog.why.many", count=each)


def recommended_recipe(dataset: str, version: int, summary: Mapping[str, Any], model_name: str = DEFAULT_MODEL) -> Recipe:
    """The model with the preset that fits the dataset: what a person gets who changes nothing."""
    info = model(model_name)
    name, _ = recommend(info, summary)
    return Recipe(dataset=dataset, version=version, **{**PRESETS[name](info, summary), "model": info.name})


def _first_trained(info: ModelInfo) -> int:
    """How many groups stay frozen so that the rest is at most `_LAST` of the compute and half of the groups, and at least one."""
    shares = [group.share for group in info.groups]
    first = len(shares) - 1
    while first > len(shares) / 2 and sum(shares[first - 1:]) <= _LAST:
        first -= 1
    return max(0, first)


def _common(summary: Mapping[str, Any]) -> dict[str, Any]:
    classes = summary.get("classes", {})
    counts = [count for count in classes.values() if count]
    uneven = bool(counts) and max(counts) > 3 * min(counts)
    sides = any(_SIDES.search(name) for name in classes) or (bool(classes) and all(len(name.strip()) == 1 for name in classes))
    return {"flip": not sides, "class_balance": "weights" if uneven else "none"}


def _epochs(summary: Mapping[str, Any]) -> int:
    """About `_STEPS` steps of 32 images, but no fewer than 8 and no more than 30 passes."""
    images = summary.get("split", {}).get("train", 0)
    return min(30, max(8, math.ceil(_STEPS * 32 / images))) if images else 10


def _images_per_class(summary: Mapping[str, Any]) -> float:
    counts, split = list(summary.get("classes", {}).values()), summary.get("split", {})
    everything = sum(split.values())
    return statistics.median(counts) * split.get("train", 0) / everything if counts and everything else 0.0


def _attends(info: ModelInfo) -> bool:
    """Transformers want smaller steps than ConvNets (about 3e-5 against 1e-4)."""
    return any(word in info.family for word in ("vision_transformer", "swin", "beit", "deit", "eva", "xcit", "cait", "hiera"))
