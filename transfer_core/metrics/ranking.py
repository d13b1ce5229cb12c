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
_UNSEEN = 0.1
"""Images ranked last that no resample can know of, as variance of the average precision: without them its interval holds the true
value in 90 to 95 % where the model is good, with them in 94 to 98 (`bench/coverage.py`)."""

Interval = tuple[float, float]


@dataclass(frozen=True)
class Ranking:
    auc: float
    auc_interval: Interval
    average_precision: float
    average_precision_interval: Interval
    per_class: list[tuple[float, float] | None]
    """AUC and average precision of each class; None without images of it, or of anything else."""


def ranked(labels: np.ndarray, probabilities: np.ndarray, seed: int = 0, different: float = 1.0) -> Ranking | None:
    """`labels` int n, `probabilities` n × C. Intervals: 95 %, on the logit, with the standard error of a stratified bootstrap.
    `different`: which part of the images is `evidence`. None where all images are of one class."""
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
    errors = drawn_scores.std(axis=1) * math.sqrt(np.mean(sizes / np.maximum(sizes - 1, 1)) / different)
    positives, negatives, n = (float(each * different) for each in (sizes.mean(), n - sizes.mean(), n))
    if drawn_scores[0].min() == drawn_scores[0].max():  # a perfect order, or one image a class: resampling sees no spread
        bounds = _score_interval(auc, positives, negatives)
        return Ranking(auc, bounds, precision, bounds if precision == 1 else (0.0, 1.0), _pairs(whole))
    return Ranking(auc, on_logits(auc, errors[0], 0.5 / (positives * negatives)),
                   precision, on_logits(precision, math.hypot(errors[1], math.sqrt(_UNSEEN) / n), 0.5 / n), _pairs(whole))


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


def _score_interval(value: float, positives: float, negatives: float) -> Interval:
    """95 % interval of an AUC, where resampling sees no spread: the bounds A whose own standard error, after Hanley & McNeil, is
    |A − value| / 1.96 (Newcombe 2006, Statistics in Medicine 25, 559, method 5)."""
    def error(auc: float) -> float:
        middle = (positives + negatives) / 2 - 1
        return math.sqrt(auc * (1 - auc) / (positives * negatives) * (1 + middle * ((1 - auc) / (2 - auc) + auc / (1 + auc))))

    def bound(end: float) -> float:
        inside, outside = value, end
        for _ in range(50):
            between = (inside + outside) / 2
            inside, outside = (between, outside) if abs(between - value) < Z * error(between) else (inside, between)
        return inside

    return bound(0.0), bound(1.0)


@dataclass(frozen=True)
class Tradeoff:
    """What a threshold on one class's probability gives, from the highest threshold to the lowest: first nothing, then all."""

    recall: np.ndarray
    """Share of the class's images that are found (true positive rate)."""
    precision: np.ndarray
    """Share of what is found that is right; 1 where nothing is."""
    false_alarms: np.ndarray
    """Share of the others that are taken for it (false positive rate)."""


def tradeoff(positives: np.ndarray, scores: np.ndarray) -> Tradeoff:
    """`positives` bool n, `scores` float n; one point for each different score, and the one where nothing is found."""
    order = np.argsort(-scores, kind="stable")
    last = np.flatnonzero(np.r_[np.diff(scores[order]) != 0, True])
    true = np.r_[0, positives[order].cumsum()[last]]
    said = np.r_[0, last + 1]
    return Tradeoff(true / max(1, positives.sum()), np.where(said > 0, true / np.maximum(said, 1), 1.0),
                    (said - true) / max(1, (~positives).sum()))
