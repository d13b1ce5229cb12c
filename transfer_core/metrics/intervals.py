"""How far luck reaches: 95 % intervals, in closed form for shares and by resampling for everything else."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

RESAMPLES = 2_000
Z = 1.959963984540054
"""The 97.5 % point of the normal distribution: 95 % lie within ± this many standard deviations."""
_NUMBERS = 4_000_000
"""In memory at once while images are resampled."""


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


def drawn(labels: np.ndarray, resamples: int, seed: int) -> Iterator[np.ndarray]:
    """Resamples of n images, with replacement within each class: how often each image was drawn, float32 some × n, part by part.

    Classes keep their size: which of them a test set holds most of is a choice of those who took the photos, no luck.
    """
    random, n = np.random.default_rng(seed), len(labels)
    places = [np.flatnonzero(labels == label) for label in np.unique(labels)]
    at_once = max(1, _NUMBERS // max(1, n))
    for start in range(0, resamples, at_once):
        rows = min(at_once, resamples - start)
        weights = np.zeros((rows, n), np.float32)
        for of_class in places:
            chosen = of_class[random.integers(0, len(of_class), (rows, len(of_class)))]
            np.add.at(weights, (np.arange(rows)[:, None], chosen), 1)
        yield weights


def percentiles(values: np.ndarray) -> tuple[float, float]:
    """The middle 95 % of resampled values."""
    low, high = np.quantile(values, (0.025, 0.975))
    return float(low), float(high)
