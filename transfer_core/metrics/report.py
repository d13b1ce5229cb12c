"""Everything said of one split, as plain data."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from transfer_core.metrics.calibration import calibration
from transfer_core.metrics.counts import (
    balanced_accuracy,
    confusion_matrix,
    intervals,
    macro_f1,
    top_confusions,
    usual_answer,
    weighted_f1,
)
from transfer_core.metrics.intervals import evidence, f1_interval, student, wilson
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
           train_counts: Mapping[str, int], seed: int = 0, groups: Sequence[int] | np.ndarray | None = None) -> dict[str, Any]:
    """Everything a page, a card or the command line says about one split, as plain data.

    `labels`: n class numbers; `probabilities`: n × C, rows sum to 1; `train_counts`: class → images the model was trained
    on, which names the baseline "always say the largest class"; `groups`: n, equal for copies and photos of one scene, which are
    counted but make no interval narrower. Raises `ValueError` for an empty split.
    """
    labels, probabilities = np.asarray(labels, np.int64), np.asarray(probabilities)
    n, count = len(labels), len(classes)
    if n == 0 or probabilities.shape != (n, count):
        raise ValueError(f"{n} labels, {count} classes and probabilities of shape {probabilities.shape}")
    said, losses = probabilities.argmax(axis=1), _losses(labels, probabilities)
    different = None if groups is None or len(np.unique(groups)) == n else Different.of(np.asarray(groups), labels, said, count)
    part = different.all if different else 1.0
    order = ranked(labels, probabilities, seed, part, different.of_class if different else None)
    trust = calibration(probabilities.max(axis=1), said == labels, seed, groups if different else None)
    found = named_only(confusion_matrix(labels, said, count), classes, train_counts, seed, different)
    for row, areas in zip(found["per_class"], order.per_class if order else (), strict=False):
        if areas:
            row |= _with_bounds("auc", areas.auc, areas.auc_interval)
            row |= _with_bounds("average_precision", areas.average_precision, areas.average_precision_interval)
    return found | {
        **_with_bounds("auc", order and order.auc, order and order.auc_interval),
        **_with_bounds("average_precision", order and order.average_precision, order and order.average_precision_interval),
        **_with_bounds("log_loss", float(losses.mean()), _of_mean(losses, labels, probabilities, part)),
        "ece": trust["ece"], "ece_expected": trust["expected"], "ece_floor": trust["floor"],
    }


@dataclass(frozen=True)
class Different:
    """Which part of some images is evidence of its own (see `intervals.evidence`): 1 where no two are alike."""

    all: float
    of_class: np.ndarray
    """By true class."""
    said: np.ndarray
    """By the class that was named."""

    @classmethod
    def of(cls, groups: np.ndarray, labels: np.ndarray, said: np.ndarray, classes: int) -> Different:
        def part(chosen: np.ndarray) -> float:
            return evidence(groups[chosen]) / chosen.sum() if chosen.any() else 1.0

        return cls(part(np.ones(len(groups), bool)), *(np.array([part(named == label) for label in range(classes)])
                                                       for named in (labels, said)))


def named_only(confusion: np.ndarray, classes: Sequence[str], train_counts: Mapping[str, int], seed: int = 0,
               different: Different | None = None) -> dict[str, Any]:
    """The same of a model of which only the confusion matrix is known: what needs probabilities is None."""
    different = different or Different(1.0, *np.ones((2, len(classes))))
    support, predicted, right = confusion.sum(axis=1), confusion.sum(axis=0), np.diag(confusion)
    n, correct = int(support.sum()), int(right.sum())
    low, high = wilson(correct * different.all, n * different.all)
    largest = usual_answer(classes, train_counts, support)
    bounds = intervals(confusion, seed, different=different.of_class)
    unknown = [f"{name}{end}" for name in ("auc", "average_precision", "log_loss") for end in ("", "_low", "_high")]
    return {
        "n": n,
        "evidence": n * different.all,
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
        "per_class": [_of_class(name, int(right[i]), int(support[i]), int(predicted[i]), different.of_class[i], different.said[i])
                      for i, name in enumerate(classes)],
        "confusion": confusion.tolist(),
        "confusions": top_confusions(confusion, classes),
    }


def _of_mean(losses: np.ndarray, labels: np.ndarray, probabilities: np.ndarray,
             different: float = 1.0) -> tuple[float, float] | None:
    """95 % interval of a mean loss: on the logarithm, since losses have a long upper tail. Each class keeps its size where one
    has several images; None of a single image.

    The one costly mistake that is still to come is in no small sample, and then its spread is too small: intervals held the true
    loss in 82 to 92 % of good models. But the probabilities themselves say how far losses spread, Σ p ln² p − (Σ p ln p)². Where
    that is more, the middle between the two is taken: 94 to 98 % (`bench/coverage.py`).
    """
    n = len(losses)
    if n < 2:
        return None
    sizes = np.bincount(labels)
    parts = [losses] if sizes.max() < 2 else [losses[labels == label] for label in np.flatnonzero(sizes)]
    found = sum(len(part) * part.var(ddof=min(1, len(part) - 1)) for part in parts)
    logarithms = np.log(np.clip(probabilities, 1e-15, 1.0))
    meant = ((probabilities * logarithms**2).sum(axis=1) - (probabilities * logarithms).sum(axis=1) ** 2).sum()
    mean, error = float(losses.mean()), math.sqrt(max(found, (found + meant) / 2) / different) / n
    factor = math.exp(min(50.0, student(round(n * different) - len(parts)) * error / max(mean, 1e-12)))
    return mean / factor, mean * factor


def _with_bounds(name: str, value: float | None, interval: tuple[float, float] | None) -> dict[str, float | None]:
    low, high = interval or (None, None)
    return {name: value, f"{name}_low": low, f"{name}_high": high}


def _of_class(name: str, right: int, support: int, predicted: int, different: float, different_said: float) -> dict[str, Any]:
    said = predicted and support
    found, meant = ([right * part, of * part] for part, of in ((different, support), (different_said, predicted)))
    least = min(different, different_said)
    return {
        "label": name,
        "support": support,
        "predicted": predicted,
        **_with_bounds("precision", right / predicted if said else None, wilson(*meant) if said else None),
        **_with_bounds("recall", right / support if support else None, wilson(*found) if support else None),
        **_with_bounds("f1", 2 * right / (support + predicted) if support else None,
                       f1_interval(right * least, support * least, predicted * least) if support else None),
        **_with_bounds("auc", None, None),
        **_with_bounds("average_precision", None, None),
    }


def nested(report: Mapping[str, Any]) -> dict[str, Any]:
    """A report as the command line gives it: each score as `{"value", "low", "high"}`; None where it could not be measured."""
    found = {name: report[name] for name in ("n", "correct", "baseline", "baseline_class")}
    found["evidence"] = report.get("evidence", report["n"])
    for name in SCORES:
        bounds = ("low", "high") if name == "accuracy" else (f"{name}_low", f"{name}_high")
        value, low, high = (report.get(each) for each in (name, *bounds))
        found[name] = None if value is None else {"value": value, "low": low, "high": high}
    ece = report.get("ece")
    found["ece"] = None if ece is None else {"value": ece, "floor": report["ece_floor"], "expected": report["ece_expected"]}
    return {**found, **{name: report[name] for name in ("per_class", "confusion", "confusions")}}
