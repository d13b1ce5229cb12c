"""How far luck reaches: 95 % intervals, in closed form for shares and by resampling for everything else."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np

RESAMPLES = 2_000
Z = 1.959963984540054
"""The 97.5 % point of the normal distribution: 95 % lie within ± this many standard deviations."""
_NUMBERS = 4_000_000
"""In memory at once while images are resampled."""


def wilson(correct: float, n: float) -> tuple[float, float]:
    """95 % interval of a share, `correct` of `n` (Wilson 1927).

    Covers about 95 % even near 100 %, where the usual p ± 1.96 · sd has no width (42 of 42 is "0.916 to 1", not "exactly 1").
    Both may be fractions: of images that are not all different, so many as their `evidence`.
    """
    if n == 0:
        return 0.0, 1.0
    share, middle = correct / n, (correct + Z * Z / 2) / (n + Z * Z)
    half = Z / (n + Z * Z) * math.sqrt(n * share * (1 - share) + Z * Z / 4)
    # At the ends the bound is 0 or 1 exactly; floating point would say 0.9999999.
    return (0.0 if correct == 0 else middle - half), (1.0 if correct == n else middle + half)


def evidence(groups: Sequence[int] | np.ndarray) -> float:
    """How many different images a share rests on, of which those of one group (copies, photos of one scene) are right or wrong
    together: n² / Σ m² for groups of m images (Kish 1965, Survey Sampling, §5.4). As many as there are, where all differ."""
    _, sizes = np.unique(np.asarray(groups), return_counts=True)
    return float(sizes.sum() ** 2 / (sizes**2).sum()) if len(sizes) else 0.0


def f1_interval(right: float, support: float, predicted: float) -> tuple[float, float]:
    """95 % interval of the F1 of one class: `right` of `support` photos were found, among `predicted` that were said to be it.

    F1 = 2 J / (1 + J) grows with J = right / (support + predicted − right), the share of right ones among all photos that are of
    the class or were said to be; Wilson's bounds of J are carried over.
    """
    low, high = wilson(right, support + predicted - right)
    return 2 * low / (1 + low), 2 * high / (1 + high)


def drawn(labels: np.ndarray, resamples: int, seed: int) -> Iterator[np.ndarray]:
    """Resamples of n images, with replacement within each class: how often each image was drawn, float32 some × n, part by part.

    Classes keep their size: which of them a test set holds most of is a choice of those who took the photos, no luck.
    """
    random, n = np.random.default_rng(seed), len(labels)
    places = [np.flatnonzero(labels == label) for label in np.unique(labels)]
    at_once = max(1, _NUMBERS // max(1, n))
    for start in range(0, resamples, at_once):
        rows = min(at_once, resamples - start)
        chosen = np.concatenate([of_class[random.integers(0, len(of_class), (rows, len(of_class)))]
                                 for of_class in places], axis=1)
        counts = np.bincount((n * np.arange(rows)[:, None] + chosen).ravel(), minlength=rows * n)  # faster than np.add.at
        yield counts.reshape(rows, n).astype(np.float32)


_FEW_DEGREES = {1: 12.706, 2: 4.303, 3: 3.182, 4: 2.776}


def student(degrees: int) -> float:
    """The 97.5 % point of Student's distribution, to two digits (from five degrees of freedom on after Cornish & Fisher 1938)."""
    if degrees in _FEW_DEGREES:
        return _FEW_DEGREES[degrees]
    return Z + (Z**3 + Z) / (4 * max(1, degrees)) + (5 * Z**5 + 16 * Z**3 + 3 * Z) / (96 * max(1, degrees) ** 2)


def on_logits(value: float, error: float, least: float) -> tuple[float, float]:
    """95 % interval of a score between 0 and 1 with this standard error, made where it has no ends: on its logit.

    Near 1, scores scatter downwards only; a middle 95 % of resamples is then too high and too narrow (`bench/coverage.py`).
    `least`: how far from the ends the score is taken to be; the score itself always lies in its interval.
    """
    inside = min(max(value, least), 1 - least)
    middle, half = math.log(inside / (1 - inside)), Z * error / (inside * (1 - inside))
    return min(value, 1 / (1 + math.exp(half - middle))), max(value, 1 / (1 + math.exp(-half - middle)))


def percentiles(values: np.ndarray) -> tuple[float, float]:
    """The middle 95 % of resampled values."""
    low, high = np.quantile(values, (0.025, 0.975))
    return float(low), float(high)
