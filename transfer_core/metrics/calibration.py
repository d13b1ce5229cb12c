"""Is what is said with 80 % right in 80 of 100? How far off, how far luck alone would be off, and what mends most of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from transfer_core.metrics.intervals import wilson

BINS = 15
_SIMULATIONS = 1_000
_NUMBERS = 4_000_000
_PRIOR = 0.5
"""Standard deviation of ln T before anything is seen. With 24 validation images all named rightly the likelihood alone would make
the model infinitely sure; from a hundred images on, the prior moves T by less than its own standard error."""
TEMPERATURES = (0.05, 20.0)
"""Between which one is looked for."""


@dataclass(frozen=True)
class Reliability:
    """Images of like confidence."""

    confidence: float
    """Mean probability of the class that was said."""
    accuracy: float
    low: float
    high: float
    n: int


def reliability(confidence: Sequence[float] | np.ndarray, right: Sequence[bool] | np.ndarray,
                bins: int = BINS) -> list[Reliability]:
    """Bins of equal numbers of images, from unsure to sure (Nguyen & O'Connor 2015)."""
    confidence, right = np.asarray(confidence, np.float64), np.asarray(right, bool)
    order = np.argsort(confidence, kind="stable")
    parts = [part for part in np.array_split(order, min(bins, max(1, len(order)))) if len(part)]
    return [Reliability(float(confidence[part].mean()), float(right[part].mean()),
                        *wilson(int(right[part].sum()), len(part)), len(part)) for part in parts]


def calibration(confidence: Sequence[float] | np.ndarray, right: Sequence[bool] | np.ndarray, seed: int = 0,
                groups: Sequence[int] | np.ndarray | None = None) -> dict[str, float]:
    """Expected calibration error, and what it would be of a model whose every "80 %" is right in 80 of 100.

        ECE = Σ over bins of (images in it / n) · |mean confidence − share of right answers|        (Naeini et al. 2015)

    Bins hold equal numbers of images. ECE is never 0 of few images, however well calibrated (Roelofs et al. 2022): `expected` is
    the mean and `floor` the 95th percentile over right answers drawn with the model's own confidences. At or below the floor
    nothing is shown to be wrong. Images of one of the `groups` (copies, photos of one scene) are right or wrong by the same luck.
    """
    confidence, right = np.asarray(confidence, np.float64), np.asarray(right, np.float64)
    order, n = np.argsort(confidence, kind="stable"), len(confidence)
    confidence, right = confidence[order], right[order]
    lots = None if groups is None else np.unique(np.asarray(groups)[order], return_inverse=True)[1]
    starts = np.unique([part[0] for part in np.array_split(np.arange(n), min(BINS, n))])

    def error(answers: np.ndarray) -> np.ndarray:
        return np.abs(np.add.reduceat(answers - confidence, starts, axis=-1)).sum(axis=-1) / n

    def luck(times: int) -> np.ndarray:
        return random.random((times, n)) if lots is None else random.random((times, int(lots.max()) + 1))[:, lots]

    random, at_once = np.random.default_rng(seed), max(1, _NUMBERS // n)
    simulated = np.concatenate([error((luck(min(at_once, _SIMULATIONS - start)) < confidence).astype(np.float64))
                                for start in range(0, _SIMULATIONS, at_once)])
    return {"ece": float(error(right)), "expected": float(simulated.mean()), "floor": float(np.quantile(simulated, 0.95))}


def best_temperature(logits: np.ndarray, labels: np.ndarray) -> dict[str, Any]:
    """T with which softmax(logits / T) is best calibrated (Guo et al. 2017, §4.2): the most probable one, given that ln T is
    around 0 ± 0.5 beforehand. Fit it on validation images, never on the test.

    `logits` float n × C, `labels` int n. Returns `{"value", "n", "log_loss_before", "log_loss_after"}`. Which class is named
    never changes.
    """
    from scipy.optimize import minimize_scalar

    logits, labels = np.asarray(logits, np.float64), np.asarray(labels, np.int64)
    n = len(labels)

    def loss(logarithm: float) -> float:
        scaled = logits / np.exp(logarithm)
        highest = scaled.max(axis=1)
        total = highest + np.log(np.exp(scaled - highest[:, None]).sum(axis=1))
        return float((total - scaled[np.arange(n), labels]).mean())

    found = minimize_scalar(lambda x: n * loss(x) + x * x / (2 * _PRIOR**2), bounds=np.log(TEMPERATURES), method="bounded")
    return {"value": float(np.exp(found.x)), "n": n, "log_loss_before": loss(0.0), "log_loss_after": loss(found.x)}
