"""Scores of how well probabilities order images, whatever threshold somebody sets later: ROC-AUC and average precision.

Each class against all others ("one-vs-rest"), then the mean over the classes that have images.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from transfer_core.metrics.intervals import RESAMPLES, Z, drawn, on_logits, student, wilson

_WORK = 200_000_000
"""Resamples × images × classes at most, some ten seconds; beyond, there are fewer resamples."""
_FEWEST = 200
_UNSEEN = 0.1
"""Images ranked last that no resample can know of, as variance of the average precision: without them its interval holds the true
value in 90 to 95 % where the model is good, with them in 94 to 98 (`bench/coverage.py`)."""

Interval = tuple[float, float]


@dataclass(frozen=True)
class Areas:
    """Under the curves of one class against all others, or their means."""

    auc: float
    auc_interval: Interval
    average_precision: float
    average_precision_interval: Interval


@dataclass(frozen=True)
class Ranking(Areas):
    per_class: list[Areas | None]
    """None without images of the class, or of anything else."""


def ranked(labels: np.ndarray, probabilities: np.ndarray, seed: int = 0, different: float = 1.0,
           different_of: np.ndarray | None = None) -> Ranking | None:
    """`labels` int n, `probabilities` n × C. Intervals: 95 %, on the logit, with the standard error of a stratified bootstrap.
    `different`: which part of the images is `evidence`, `different_of`: of those of each class. None if all are of one class."""
    n, count = probabilities.shape
    classes = _of_classes(labels, probabilities)
    present = [order for order in classes if order]
    if not present:
        return None
    whole = np.array([order.scores(np.ones((1, n), np.float32))[:, 0] for order in present])
    resamples = min(RESAMPLES, max(_FEWEST, _WORK // (n * count)))
    scattered = np.concatenate([np.array([order.scores(weights) for order in present], np.float32)
                                for weights in drawn(labels, resamples, seed)], axis=2)  # classes × 2 × resamples
    sizes = np.array([int(order.positives.sum()) for order in present])
    # Of k images, k resampled ones scatter as k − 1 would.
    spread = scattered.mean(axis=0, dtype=np.float64).std(axis=1)
    mean = _bounded(whole.mean(axis=0), spread * math.sqrt(np.mean(sizes / np.maximum(sizes - 1, 1)) / different),
                    float(sizes.mean() * different), float((n - sizes.mean()) * different))
    parts = np.full(count, different) if different_of is None else different_of
    parts = parts[[bool(order) for order in classes]]
    each = iter([_of_one(*facts, n, different)
                 for facts in zip(whole, scattered.std(axis=2, dtype=np.float64), sizes, parts, strict=True)])
    return Ranking(mean.auc, mean.auc_interval, mean.average_precision, mean.average_precision_interval,
                   [next(each) if order else None for order in classes])


def _of_one(scores: np.ndarray, spread: np.ndarray, size: int, part: float, n: int, different: float) -> Areas:
    """Of one class, by itself: with few images of it their spread is unsure, too (Student's quantile), and two say
    nothing of it: then the average precision may be anything."""
    own, others = size * part, (n - size) * different
    wider = student(round(own) - 1) / Z * math.sqrt(size / (size - 1) / part) if own >= 3 else 0.0
    areas = _bounded(scores, spread * wider, own, others)
    if areas.average_precision == 1:  # as the share of so many that were all right
        return replace(areas, average_precision_interval=wilson(own, own))
    return areas


def _bounded(scores: np.ndarray, errors: np.ndarray, positives: float, negatives: float) -> Areas:
    """`scores`: AUC and average precision; `errors`: their standard errors, from so many `positives` and `negatives`."""
    auc, precision = (float(score) for score in scores)
    n = positives + negatives
    if errors[0] < 1e-9:  # a perfect order, or one image a class: resampling sees no spread
        bounds = _score_interval(auc, positives, negatives)
        return Areas(auc, bounds, precision, bounds if precision == 1 else (0.0, 1.0))
    return Areas(auc, on_logits(auc, errors[0], 0.5 / (positives * negatives)),
                 precision, on_logits(precision, math.hypot(errors[1], math.sqrt(_UNSEEN) / n), 0.5 / n))


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
