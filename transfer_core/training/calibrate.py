"""As sure as it is right: one number, fitted on validation images and folded into the model's last layer.

Folded in, and not only noted beside the weights: so every file that leaves the studio gives the answers that the pages showed,
whoever opens it and with whatever.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import load_file
from torch import Tensor, nn

from transfer_core.images import Preprocessing
from transfer_core.metrics import best_temperature, calibration, log_loss
from transfer_core.metrics.calibration import TEMPERATURES
from transfer_core.predictor import softmax
from transfer_core.training import checkpoint
from transfer_core.training.evaluate import full_float32
from transfer_core.training.models import classifiers

FEWEST = 20
"""Validation images below which nothing is fitted: the temperature of so few is known to a factor of two."""
_NOTE = "temperature"
"""The number, and the names of what was divided by it. (One note only: safetensors writes several in any order, and equal models
would be unequal files.)"""
_SAME = 0.01
"""|ln T| below which the model is left as it is."""


def temperature_of(file: Path) -> float | None:
    """What was folded into these weights; None where nothing was tried yet, or a stranger's file says nonsense."""
    return _told(file)[0]


def undivided(file: Path) -> dict[str, Tensor]:
    """The tensors as they were trained. An average is one of what was learned: divided by temperatures of their own, one run's
    classifier would count for more than another's."""
    temperature, names = _told(file)
    tensors = load_file(file)
    for name in names if temperature else ():
        if name in tensors:
            tensors[name] = tensors[name] * temperature
    return tensors


def _told(file: Path) -> tuple[float | None, list[str]]:
    with safe_open(file, "pt") as opened:
        facts = opened.metadata() or {}
    try:
        value, *names = facts[_NOTE].split()
        value = float(value)
    except (KeyError, ValueError):
        return None, []
    return (value, names) if TEMPERATURES[0] <= value <= TEMPERATURES[1] else (None, [])


def settle(model: nn.Module, how: Preprocessing, logits: np.ndarray, labels: np.ndarray) -> dict[str, Any]:
    """Fit the temperature of a trained model, and divide its last layer by it. Write it down with `save`.

    `logits` float n × C and `labels` int n of the validation images. The model is left in eval mode. Returns `{"value", "n",
    "fitted", "log_loss_before", "log_loss_after", "ece_before", "ece_after", "floor"}`; value 1 where nothing was to be mended,
    and `fitted` false where nothing could be: too few images, or the model's end is no linear layer.
    """
    enough = len(labels) >= FEWEST
    # Three digits: more are not known, and logits that differ in their last bit must not give other weights.
    wanted = float(f"{best_temperature(logits, labels)['value']:.3g}") if enough else 1.0
    near = abs(math.log(wanted)) < _SAME
    value = wanted if not near and _divide(model, how, wanted) else 1.0
    before, after = (softmax(logits / each) for each in (1.0, value))
    trust = [calibration(given.max(1), given.argmax(1) == labels) for given in (before, after)]
    return {"value": value, "n": len(labels), "fitted": enough and (value != 1.0 or near),
            "log_loss_before": log_loss(labels, before), "log_loss_after": log_loss(labels, after),
            "ece_before": trust[0]["ece"], "ece_after": trust[1]["ece"], "floor": trust[1]["floor"]}


def save(file: Path, model: nn.Module, temperature: float) -> None:
    """The weights, with a note that this was done to them."""
    divided = {parameter.data_ptr() for parameter in _last(model)} if temperature != 1 else set()
    names = [name for name, parameter in model.named_parameters() if parameter.data_ptr() in divided]
    checkpoint.save_weights(file, model, {_NOTE: " ".join([repr(temperature), *names])})


@torch.no_grad()
def _divide(model: nn.Module, how: Preprocessing, temperature: float) -> bool:
    """Scale what gives the logits; False, and nothing changed, where a model's end is of another kind."""
    numbers = _last(model)
    if not numbers:
        return False
    trial = torch.randn(2, 3, *how.size, generator=torch.Generator().manual_seed(0)).to(numbers[0].device)
    with full_float32():
        kept, before = [parameter.clone() for parameter in numbers], model.eval()(trial)
        for parameter in numbers:
            parameter /= temperature
        after = model(trial)
    if torch.allclose(after * temperature, before, rtol=1e-4, atol=1e-4 * float(before.abs().max())):
        return True
    for parameter, number in zip(numbers, kept, strict=True):
        parameter.copy_(number)
    return False


def _last(model: nn.Module) -> list[nn.Parameter]:
    """Weights and biases of the layer that gives the logits, or of each of several whose answers are averaged."""
    layers = [[part for part in head.modules() if isinstance(part, (nn.Linear, nn.Conv2d))][-1:] for head in classifiers(model)]
    return [parameter for found in layers for layer in found for parameter in layer.parameters(recurse=False)]
