"""Scores of how well probabilities order images, whatever threshold somebody sets later: ROC-AUC and average precision.

Each class against all others ("one-vs-rest"), then the mean over the classes that have images.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from transfer_core.metrics.intervals import RESAMPLES, Z, drawn, on_logits

_WORK = 200_000_000
"""Resamples × images × classes at most, some ten seconds; beyond, there are fewer resamples."""
_FEWEST = 200

Interval = tuple[float, float]


@dataclass(frozen=True)
class Ranking:
    auc: float
    auc_interval: Interval
    average_precision: float
    average_precision_interval: Interval
    per_class: list[tuple[float, float] | None]
    """AUC and average precision of each class; None without images of it, or of anything else."""


def ranked(labels: np.ndarray, probabilities: np.ndarray, seed: int = 0) -> Ranking | None:
    """`labels` int n, `probabilities` n × C. Intervals: 95 %, on the logit, with the standard error of a stratified bootstrap.
    None where all images are of one class."""
    n, count = probabilities.shape
    classes = _of_classes(labels, probabilities)
    present = [order for order in classes if order]
    if not present:
        return None
    whole = [order.scores(np.ones((1, n), np.float32))[:, 0] if order else None for order in classes]
    auc, precision = (float(score) for score in np.mean([scores for scores in whole if scores is not None], axis=0))
    resamples = min(RESAMPLES, max(_FEWEST, _WORK // (n * count)))
    drawn_scores = np.concatenate([np.mean([order.scores(weights) for order in present], axis=0)
                                   for weights in drawn(labels, resamples, seed)], axis=1)
    sizes = np.bincount(labels)[np.unique(labels)]
    # Of k images, k resampled ones scatter as k − 1 would.
    errors = drawn_scores.std(axis=1) * math.sqrt(np.mean(sizes / np.maximum(sizes - 1, 1)))
    positives, negatives = float(sizes.mean()), float(n - sizes.mean())
    if drawn_scores[0].min() == drawn_scores[0].max():
        bounds = _perfect(positives, negatives)
        return Ranking(auc, bounds, precision, bounds, _pairs(whole))
    return Ranking(auc, on_logits(auc, errors[0], 0.5 / (positives * negatives)),
                   precision, on_logits(precision, errors[1], 0.5 / n), _pairs(whole))


def _pairs(whole: list[np.ndarray | None]) -> list[tuple[float, float] | None]:
    return [None if scores is None else (float(scores[0]), float(scores[1])) for scores in whole]


def orders(labels: np.ndarray, probabilities: np.ndarray) -> tuple[float, float]:
    """AUC and average precision, means over the classes that have images, without intervals: for very many images."""
    whole = [order.scores(np.ones((1, len(labels)), np.float64))[:, 0] for order in _of_classes(labels, probabilities) if order]
    auc, precision = np.mean(whole, axis=0)
    return float(auc), float(precision)


def _of_classes(labels: np.ndarray, probabilities: np.ndarray) -> list[_Order | None]:
    return [_Order(labels == index, probabilities[:, index]) if 0 < (labels == index).sum() < len(labels) else None
            for index in range(probabilities.shape[1])]


class _Order:
    """One class's images in the order of their scores; images of one score stand together."""

    def __init__(self, positives: np.ndarray, scores: np.ndarray) -> None:
        self.order = np.argsort(scores, kind="stable")
        self.positives = positives[self.order]
        self.starts = np.flatnonzero(np.r_[True, np.diff(scores[self.order]) != 0])

    def scores(self, weights: np.ndarray) -> np.ndarray:
        """AUC and average precision for each row of `weights` (rows × n, how often each image counts): 2 × rows."""
        sorted_ = weights[:, self.order]
        positive = np.add.reduceat(sorted_ * self.positives, self.starts, axis=1)
        negative = np.add.reduceat(sorted_ * ~self.positives, self.starts, axis=1)
        below = negative.cumsum(axis=1) - negative / 2  # a tie is half a victory
        all_positive, all_negative = positive.sum(axis=1), negative.sum(axis=1)
        auc = (positive * below).sum(axis=1) / (all_positive * all_negative)
        # What is found with a threshold at each score, and how much of it is right.
        true = positive[:, ::-1].cumsum(axis=1)[:, ::-1]
        said = true + negative[:, ::-1].cumsum(axis=1)[:, ::-1]
        precision = (positive * true / np.maximum(said, 1e-9)).sum(axis=1) / all_positive
        return np.stack([auc, precision]).astype(np.float64)


def _perfect(positives: float, negatives: float) -> Interval:
    """95 % interval of an AUC of 1, where resampling sees no spread: the score interval of Newcombe 2006 (Statistics in Medicine
    25, 559, method 5), whose variance is that at the bound and not at 1."""
    def variance(auc: float) -> float:
        middle = (positives + negatives) / 2 - 1
        return auc * (1 - auc) / (positives * negatives) * (1 + middle * ((1 - auc) / (2 - auc) + auc / (1 + auc)))

    low, high = 0.5, 1.0
    for _ in range(50):
        bound = (low + high) / 2
        low, high = (low, bound) if 1 - bound < Z * math.sqrt(variance(bound)) else (bound, high)
    return low, 1.0
