"""Everything said of one split, as plain data."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from transfer_core.metrics.calibration import calibration
from transfer_core.metrics.counts import (
    balanced_accuracy,
    confusion_matrix,
    intervals,
    macro_f1,
    top_confusions,
    weighted_f1,
)
from transfer_core.metrics.intervals import student, wilson
from transfer_core.metrics.ranking import ranked

SCORES = ("accuracy", "balanced_accuracy", "macro_f1", "weighted_f1", "auc", "average_precision", "log_loss")
"""What a report says with an interval: `<name>`, `<name>_low`, `<name>_high`. (Those of accuracy are called `low` and `high`.)"""


def log_loss(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """Mean −ln of the probability given to the true class, in nats. A probability of 0 counts as 1e-15."""
    return float(_losses(labels, probabilities).mean())


def _losses(labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    given = probabilities[np.arange(len(labels)), labels].astype(np.float64)
    return -np.log(np.clip(given, 1e-15, 1.0))


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
    said, losses = probabilities.argmax(axis=1), _losses(labels, probabilities)
    order = ranked(labels, probabilities, seed)
    trust = calibration(probabilities.max(axis=1), said == labels, seed)
    found = named_only(confusion_matrix(labels, said, count), classes, train_counts, seed)
    for row, pair in zip(found["per_class"], order.per_class if order else (), strict=False):
        row["auc"], row["average_precision"] = pair or (None, None)
    return found | {
        **_with_bounds("auc", order and order.auc, order and order.auc_interval),
        **_with_bounds("average_precision", order and order.average_precision, order and order.average_precision_interval),
        **_with_bounds("log_loss", float(losses.mean()), _of_mean(losses, labels)),
        "ece": trust["ece"], "ece_expected": trust["expected"], "ece_floor": trust["floor"],
    }


def named_only(confusion: np.ndarray, classes: Sequence[str], train_counts: Mapping[str, int], seed: int = 0) -> dict[str, Any]:
    """The same of a model of which only the confusion matrix is known: what needs probabilities is None."""
    support, predicted, right = confusion.sum(axis=1), confusion.sum(axis=0), np.diag(confusion)
    n, correct = int(support.sum()), int(right.sum())
    low, high = wilson(correct, n)
    largest = max(range(len(classes)), key=lambda index: (train_counts.get(classes[index], 0), -index))
    bounds = intervals(confusion, seed)
    unknown = [f"{name}{end}" for name in ("auc", "average_precision", "log_loss") for end in ("", "_low", "_high")]
    return {
        "n": n,
        "correct": correct,
        "accuracy": correct / n,
        "low": low,
        "high": high,
        "baseline": float(support[largest] / n),
        "baseline_class": classes[largest],
        **_with_bounds("balanced_accuracy", float(balanced_accuracy(right, support)), bounds["balanced_accuracy"]),
        **_with_bounds("macro_f1", float(macro_f1(right, predicted, support)), bounds["macro_f1"]),
        **_with_bounds("weighted_f1", float(weighted_f1(right, predicted, support)), bounds["weighted_f1"]),
        **dict.fromkeys([*unknown, "ece", "ece_expected", "ece_floor"]),
        "per_class": [_of_class(name, int(right[i]), int(support[i]), int(predicted[i])) for i, name in enumerate(classes)],
        "confusion": confusion.tolist(),
        "confusions": top_confusions(confusion, classes),
    }


def _of_mean(losses: np.ndarray, labels: np.ndarray) -> tuple[float, float] | None:
    """95 % interval of a mean loss: on the logarithm, since losses have a long upper tail. Each class keeps its size where one
    has several images; None of a single image."""
    n = len(losses)
    if n < 2:
        return None
    sizes = np.bincount(labels)
    parts = [losses] if sizes.max() < 2 else [losses[labels == label] for label in np.flatnonzero(sizes)]
    mean, error = float(losses.mean()), math.sqrt(sum(len(part) * part.var(ddof=min(1, len(part) - 1)) for part in parts)) / n
    factor = math.exp(min(50.0, student(n - len(parts)) * error / max(mean, 1e-12)))
    return mean / factor, mean * factor


def _with_bounds(name: str, value: float | None, interval: tuple[float, float] | None) -> dict[str, float | None]:
    low, high = interval or (None, None)
    return {name: value, f"{name}_low": low, f"{name}_high": high}


def _of_class(name: str, right: int, support: int, predicted: int) -> dict[str, Any]:
    said = predicted and support
    return {
        "label": name,
        "support": support,
        "predicted": predicted,
        **_with_bounds("precision", right / predicted if said else None, wilson(right, predicted) if said else None),
        **_with_bounds("recall", right / support if support else None, wilson(right, support) if support else None),
        "f1": 2 * right / (support + predicted) if support else None,
        "auc": None,
        "average_precision": None,
    }


def nested(report: Mapping[str, Any]) -> dict[str, Any]:
    """A report as the command line gives it: each score as `{"value", "low", "high"}`; None where it could not be measured."""
    found = {name: report[name] for name in ("n", "correct", "baseline", "baseline_class")}
    for name in SCORES:
        bounds = ("low", "high") if name == "accuracy" else (f"{name}_low", f"{name}_high")
        value, low, high = (report.get(each) for each in (name, *bounds))
        found[name] = None if value is None else {"value": value, "low": low, "high": high}
    ece = report.get("ece")
    found["ece"] = None if ece is None else {"value": ece, "floor": report["ece_floor"], "expected": report["ece_expected"]}
    return {**found, **{name: report[name] for name in ("per_class", "confusion", "confusions")}}
