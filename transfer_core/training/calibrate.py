"""As sure as it is right: one number, fitted on validation images and folded into the model's last layer.

Folded in, and not only noted beside the weights: so every file that leaves the studio gives the answers that the pages showed,
whoever opens it and with whatever.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import safe_open
from torch import nn

from transfer_core.images import Preprocessing
from transfer_core.metrics import best_temperature, calibration, log_loss
from transfer_core.predictor import softmax
from transfer_core.training import checkpoint
from transfer_core.training.models import classifiers

FEWEST = 20
"""Validation images below which nothing is fitted: the temperature of so few is known to a factor of two."""
_NAME = "temperature"
_SAME = 0.01
"""|ln T| below which the model is left as it is."""


def temperature_of(file: Path) -> float | None:
    """What was folded into these weights; None where nothing was tried yet."""
    with safe_open(file, "pt") as opened:
        told = (opened.metadata() or {}).get(_NAME)
    return float(told) if told else None


def settle(folder: Path, model: nn.Module, how: Preprocessing, logits: np.ndarray, labels: np.ndarray) -> dict[str, Any]:
    """Fit the temperature of a trained run, divide its last layer by it, and save the weights, marked as settled.

    `logits` float n × C and `labels` int n of the validation images. The model is left in eval mode. Returns `{"value", "n",
    "log_loss_before", "log_loss_after", "ece_before", "ece_after", "floor"}`; value 1 where nothing was to be mended, or the
    model's end is no linear layer.
    """
    fitted = best_temperature(logits, labels)["value"] if len(labels) >= FEWEST else 1.0
    value = fitted if abs(np.log(fitted)) >= _SAME and _divide(model, how, fitted) else 1.0
    checkpoint.save_weights(folder / checkpoint.BEST, model, {_NAME: repr(value)})
    before, after = (softmax(logits / each) for each in (1.0, value))
    trust = [calibration(given.max(1), given.argmax(1) == labels) for given in (before, after)]
    return {"value": value, "n": len(labels),
            "log_loss_before": log_loss(labels, before), "log_loss_after": log_loss(labels, after),
            "ece_before": trust[0]["ece"], "ece_after": trust[1]["ece"], "floor": trust[1]["floor"]}


@torch.no_grad()
def _divide(model: nn.Module, how: Preprocessing, temperature: float) -> bool:
    """Scale what gives the logits; False, and nothing changed, where a model's end is of another kind."""
    last = [[part for part in head.modules() if isinstance(part, (nn.Linear, nn.Conv2d))][-1:] for head in classifiers(model)]
    numbers = [parameter for layers in last for layer in layers for parameter in layer.parameters(recurse=False)]
    if not numbers:
        return False
    trial = torch.randn(2, 3, *how.size, generator=torch.Generator().manual_seed(0)).to(numbers[0].device)
    kept, before = [parameter.clone() for parameter in numbers], model.eval()(trial)
    for parameter in numbers:
        parameter /= temperature
    if torch.allclose(model(trial) * temperature, before, rtol=1e-4, atol=1e-4 * float(before.abs().max())):
        return True
    for parameter, number in zip(numbers, kept, strict=True):
        parameter.copy_(number)
    return False
