"""Scores with their uncertainty, from labels and probabilities. Pure numpy; no model, no file.

Every score of a small test set is a guess at what the model would score on all such images; each comes with the number of
images it rests on and a 95 % interval. A class without a single image in the split has no score (None), not zero.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

RESAMPLES = 2_000
Z = 1.959963984540054
"""The 97.5 % point of the normal distribution: 95 % lie within ± this many standard deviations."""


def wilson(correct: float, n: int) -> tuple[float, float]:
    """95 % interval of a share, `correct` of `n` (Wilson 1927).

    Covers about 95 % even near 100 %, where the usual p ± 1.96 · sd has no width (42 of 42 is "0.916 to 1", not "exactly 1").
    """
    if n == 0:
        return 0.0, 1.0
    share, middle = correct / n, (correct + Z * Z / 2) / (n + Z * Z)
    half = Z / (n + Z * Z) * math.sqrt(n * share * (1 - share) + Z * Z / 4)
    # At the ends the bound is 0 or 1 exactly; floating point would say 0.9999999.
    return (0.0 if correct == 0 else middle - half), (1.0 if correct == n else middle + half)


def confusion_matrix(labels: np.ndarray, predicted: np.ndarray, classes: int) -> np.ndarray:
    """Counts, classes × classes: row = true class, column = predicted class."""
    cells = np.asarray(labels, np.int64) * classes + np.asarray(predicted, np.int64)
    return np.bincount(cells, minlength=classes * classes).reshape(classes, classes)


def log_loss(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """Mean −ln of the probability given to the true class, in nats. A probability of 0 counts as 1e-15."""
    given = probabilities[np.arange(len(labels)), labels].astype(np.float64)
    return float(-np.log(np.clip(given, 1e-15, 1.0)).mean())


def balanced_accuracy(right: np.ndarray, support: np.ndarray) -> np.ndarray:
    """Mean recall over the classes that have images. Last axis of `right` and `support` is the class."""
    present = support > 0
    return (right[..., present] / support[present]).mean(axis=-1)


def macro_f1(right: np.ndarray, predicted: np.ndarray, support: np.ndarray) -> np.ndarray:
    """Mean of F1 = 2 · right / (support + predicted) over the classes that have images."""
    present = support > 0
    return (2 * right[..., present] / (support + predicted)[..., present]).mean(axis=-1)


def bootstrap(confusion: np.ndarray, seed: int = 0, resamples: int = RESAMPLES) -> dict[str, tuple[float, float]]:
    """95 % percentile intervals of balanced accuracy and macro-F1, resampled within each true class.

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
    scores = {"balanced_accuracy": balanced_accuracy(right, support), "macro_f1": macro_f1(right, predicted, support)}
    intervals = {name: np.quantile(values, (0.025, 0.975)) for name, values in scores.items()}
    # Where every answer of every class is the same, resampling sees no spread at all: use Wilson's interval of accuracy.
    spread = wilson(int(np.trace(confusion)), int(support.sum()))
    return {name: spread if low == high else (float(low), float(high)) for name, (low, high) in intervals.items()}


def report(labels: Sequence[int] | np.ndarray, probabilities: np.ndarray, classes: Sequence[str],
           train_counts: Mapping[str, int], seed: int = 0) -> dict[str, Any]:
    """Everything a page, a card or the command line says about one split, as plain data.

    `labels`: n class numbers; `probabilities`: n × C, rows sum to 1; `train_counts`: class → images the model was trained
    on, which names the baseline "always say the largest class". Raises `ValueError` for an empty split.
    """
    labels, probabilities = np.asarray(labels, np.int64), np.asarray(probabilities)
    n, count = len(labels), len(classes)
    if n == 0 or probabilities.shape != (n, count):
        raise ValueError(f"{n} labels, {count} classes and probabilities of shape {probabilities.shape}")
    confusion = confusion_matrix(labels, probabilities.argmax(axis=1), count)
    support, predicted, right = confusion.sum(axis=1), confusion.sum(axis=0), np.diag(confusion)
    correct = int(right.sum())
    low, high = wilson(correct, n)
    largest = max(range(count), key=lambda index: (train_counts.get(classes[index], 0), -index))
    intervals = bootstrap(confusion, seed)
    f1 = 2 * right / np.maximum(support + predicted, 1)
    return {
        "n": n,
        "correct": correct,
        "accuracy": correct / n,
        "low": low,
        "high": high,
        "baseline": float(support[largest] / n),
        "baseline_class": classes[largest],
        "balanced_accuracy": float(balanced_accuracy(right, support)),
        "balanced_accuracy_low": intervals["balanced_accuracy"][0],
        "balanced_accuracy_high": intervals["balanced_accuracy"][1],
        "macro_f1": float(macro_f1(right, predicted, support)),
        "macro_f1_low": intervals["macro_f1"][0],
        "macro_f1_high": intervals["macro_f1"][1],
        "weighted_f1": float((f1 * support).sum() / n),
        "log_loss": log_loss(labels, probabilities),
        "per_class": [_of_class(name, int(right[i]), int(support[i]), int(predicted[i])) for i, name in enumerate(classes)],
        "confusion": confusion.tolist(),
        "confusions": top_confusions(confusion, classes),
    }


def _of_class(name: str, right: int, support: int, predicted: int) -> dict[str, Any]:
    low, high = wilson(right, support) if support else (None, None)
    return {
        "label": name,
        "support": support,
        "predicted": predicted,
        "precision": right / predicted if predicted and support else None,
        "recall": right / support if support else None,
        "recall_low": low,
        "recall_high": high,
        "f1": 2 * right / (support + predicted) if support else None,
    }


def top_confusions(confusion: np.ndarray, classes: Sequence[str], most: int = 10) -> list[dict[str, Any]]:
    """The commonest mistakes, most first: true class, what was said instead, how often, and of how many images."""
    wrong = confusion - np.diag(np.diag(confusion))
    cells = sorted(zip(*np.nonzero(wrong), strict=True), key=lambda cell: (-wrong[cell], cell))[:most]
    return [{"label": classes[true], "predicted": classes[said], "count": int(wrong[true, said]),
             "of": int(confusion[true].sum())} for true, said in cells]


def mcnemar(first_right: Sequence[bool] | np.ndarray, second_right: Sequence[bool] | np.ndarray) -> dict[str, Any]:
    """Is the second model better than the first on the same images? Exact two-sided McNemar test (McNemar 1947).

    Only images on which the two differ count: under "no difference" each is a fair coin. `gained`: right only for the
    second; `lost`: right only for the first; `different` is p < 0.05.
    """
    first, second = np.asarray(first_right, bool), np.asarray(second_right, bool)
    if first.shape != second.shape:
        raise ValueError("the two runs must be measured on the same images")
    gained, lost = int((second & ~first).sum()), int((first & ~second).sum())
    tosses, fewer = gained + lost, min(gained, lost)
    # Whole numbers until the last division: exact for any count.
    tail = sum(math.comb(tosses, heads) for heads in range(fewer + 1))
    p = min(1.0, float((2 * tail) / (1 << tosses))) if tosses else 1.0
    return {"n": len(first), "gained": gained, "lost": lost, "p": p, "different": p < 0.05}


def compare(first: Sequence[Mapping[str, Any]], second: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    """`mcnemar` of two lists of prediction rows (as in predictions_test.jsonl); None when their images or labels differ."""
    one, other = ({(row["sha256"], row["file"], row["label"]): row["predicted"] == row["label"] for row in rows}
                  for rows in (first, second))
    if not one or one.keys() != other.keys():
        return None
    return mcnemar(list(one.values()), [other[key] for key in one])
