"""Scores that need no more than the confusion matrix."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from transfer_core.metrics.intervals import RESAMPLES, Z, percentiles, student


def usual_answer(classes: Sequence[str], train_counts: Mapping[str, int], support: Sequence[int] | np.ndarray) -> int:
    """Number of the class that somebody names who always says the largest one: that with most training images. Of several as
    large (a training part with as many of each) that with most tested images (`support`): the baseline flatters nobody."""
    return max(range(len(classes)), key=lambda index: (train_counts.get(classes[index], 0), int(support[index]), -index))


def confusion_matrix(labels: np.ndarray, predicted: np.ndarray, classes: int) -> np.ndarray:
    """Counts, classes × classes: row = true class, column = predicted class."""
    cells = np.asarray(labels, np.int64) * classes + np.asarray(predicted, np.int64)
    return np.bincount(cells, minlength=classes * classes).reshape(classes, classes)


def balanced_accuracy(right: np.ndarray, support: np.ndarray) -> np.ndarray:
    """Mean recall over the classes that have images. Last axis of `right` and `support` is the class."""
    present = support > 0
    return (right[..., present] / support[present]).mean(axis=-1)


def macro_f1(right: np.ndarray, predicted: np.ndarray, support: np.ndarray) -> np.ndarray:
    """Mean of F1 = 2 · right / (support + predicted) over the classes that have images."""
    present = support > 0
    return (2 * right[..., present] / (support + predicted)[..., present]).mean(axis=-1)


def weighted_f1(right: np.ndarray, predicted: np.ndarray, support: np.ndarray) -> np.ndarray:
    """The same mean, each class counting as often as it has images."""
    return (2 * right * support / np.maximum(support + predicted, 1)).sum(axis=-1) / support.sum()


def intervals(confusion: np.ndarray, seed: int = 0, draws: int = RESAMPLES,
              different: np.ndarray | None = None) -> dict[str, tuple[float, float]]:
    """95 % intervals of balanced accuracy, macro-F1 and weighted F1, around the values themselves.

    Each row's shares are drawn from what its counts leave possible: a Dirichlet distribution with half a photo added to the right
    answers and half a photo to all wrong ones (Caelen 2017; for one class this is the interval of Jeffreys). How far the draws
    scatter around their mean is how far the score may be off. Resampling photos instead knows no mistake that has not been made:
    of a class without any it says "always right", and its intervals held the true score in 92 % where these do in 95
    (`bench/coverage.py`). How far shares of a small class scatter is itself known roughly only, so the bounds lie as much further
    out as Student's quantile does, with the degrees of freedom of Satterthwaite 1946: a class of two photos weighs a fifth of the
    balanced accuracy of five classes, and without this 88 % held it. With few photos in many classes these, too, are too narrow.

    `different`: for each class which part of its images is `evidence`; all of it unless given.
    """
    random, classes = np.random.default_rng(seed), len(confusion)
    support, right, said = confusion.sum(axis=1), np.diag(confusion), confusion.sum(axis=0)
    hits, given, astray = (np.zeros((draws, classes)) for _ in range(3))
    known = support if different is None else support * different
    for true in np.flatnonzero(support):
        wrong = np.flatnonzero(confusion[true] * (np.arange(classes) != true))
        # Only the mistakes that were made, or one of no class in particular: a thousand classes would be 10⁹ draws.
        counts = np.r_[confusion[true, true], confusion[true, wrong] if len(wrong) else 0]
        thinned = counts * (known[true] / support[true])
        shares = random.dirichlet(thinned + np.r_[0.5, np.full(len(counts) - 1, 0.5 / (len(counts) - 1))], draws)
        # What a share scatters, n + 1 photos scatter it less by: given back to small classes.
        shares = counts / support[true] + (shares - shares.mean(axis=0)) * np.sqrt(1 + 1 / known[true])
        hits[:, true] = shares[:, 0] * support[true]
        given[:, true] += hits[:, true]
        if len(wrong):
            given[:, wrong] += shares[:, 1:] * support[true]
        else:
            astray[:, true] = shares[:, 1] * support[true]
    given += (astray.sum(axis=1, keepdims=True) - astray) / max(1, classes - 1)
    drawn = {"balanced_accuracy": balanced_accuracy(hits, support), "macro_f1": macro_f1(hits, given, support),
             "weighted_f1": weighted_f1(hits, given, support)}
    value = {"balanced_accuracy": balanced_accuracy(right, support), "macro_f1": macro_f1(right, said, support),
             "weighted_f1": weighted_f1(right, said, support)}
    alike, by_size = (_wider(right, support, known, weights) for weights in (np.sign(support), support))
    wider = {"balanced_accuracy": alike, "macro_f1": alike, "weighted_f1": by_size}
    return {name: _around(float(value[name]), percentiles(values), wider[name]) for name, values in drawn.items()}


def _wider(right: np.ndarray, support: np.ndarray, known: np.ndarray, weights: np.ndarray) -> float:
    """Student's quantile over the normal one, for a mean of the classes' shares with these weights."""
    there = support > 0
    share = (right[there] / support[there] * known[there] + 0.5) / (known[there] + 1)
    variances = (weights[there] / weights.sum()) ** 2 * share * (1 - share) / (known[there] + 1)
    degrees = variances.sum() ** 2 / (variances**2 / np.maximum(known[there] - 1, 0.5)).sum()
    return student(max(2, round(degrees))) / Z


def _around(value: float, bounds: tuple[float, float], wider: float) -> tuple[float, float]:
    low, high = (value + wider * (bound - value) for bound in bounds)
    return max(0.0, min(low, value)), min(1.0, max(high, value))


def top_confusions(confusion: np.ndarray, classes: Sequence[str], most: int = 10) -> list[dict[str, Any]]:
    """The commonest mistakes, most first: true class, what was said instead, how often, and of how many images."""
    wrong = confusion - np.diag(np.diag(confusion))
    cells = sorted(zip(*np.nonzero(wrong), strict=True), key=lambda cell: (-wrong[cell], cell))[:most]
    return [{"label": classes[true], "predicted": classes[said], "count": int(wrong[true, said]),
             "of": int(confusion[true].sum())} for true, said in cells]
