"""Scores that need no more than the confusion matrix."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from transfer_core.metrics.intervals import RESAMPLES, percentiles, wilson


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


def bootstrap(confusion: np.ndarray, seed: int = 0, resamples: int = RESAMPLES) -> dict[str, tuple[float, float]]:
    """95 % percentile intervals of balanced accuracy, macro-F1 and weighted F1, resampled within each true class.

    Drawing n images of a class with replacement is one multinomial draw from its row of the confusion matrix, so all
    resamples of a class are one call, and memory stays at resamples × classes.
    """
    random = np.random.default_rng(seed)
    classes = len(confusion)
    support = confusion.sum(axis=1)
    right = np.zeros((resamples, classes), np.int64)
    predicted = np.zeros((resamples, classes), np.int64)
    for true in np.flatnonzero(support):
        columns = np.flatnonzero(confusion[true])
        draws = random.multinomial(support[true], confusion[true, columns] / support[true], size=resamples)
        predicted[:, columns] += draws
        right[:, true] = draws[:, columns == true].sum(axis=1)
    scores = {"balanced_accuracy": balanced_accuracy(right, support), "macro_f1": macro_f1(right, predicted, support),
              "weighted_f1": weighted_f1(right, predicted, support)}
    # Where every answer of every class is the same, resampling sees no spread at all: use Wilson's interval of accuracy.
    spread = wilson(int(np.trace(confusion)), int(support.sum()))
    return {name: spread if values.min() == values.max() else percentiles(values) for name, values in scores.items()}


def top_confusions(confusion: np.ndarray, classes: Sequence[str], most: int = 10) -> list[dict[str, Any]]:
    """The commonest mistakes, most first: true class, what was said instead, how often, and of how many images."""
    wrong = confusion - np.diag(np.diag(confusion))
    cells = sorted(zip(*np.nonzero(wrong), strict=True), key=lambda cell: (-wrong[cell], cell))[:most]
    return [{"label": classes[true], "predicted": classes[said], "count": int(wrong[true, said]),
             "of": int(confusion[true].sum())} for true, said in cells]
