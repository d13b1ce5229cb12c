"""“None of these”: below which likeness a photo may be of none of the classes a model knows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from transfer_core.metrics.intervals import wilson

REFUSED = 0.05
"""Of the photos of its own classes, as many may be taken for strangers."""
LUCK = 0.6
"""Chance of telling a known image from another, below which nobody should be told that it can."""
FEWEST = math.ceil(1 / REFUSED) - 1
"""Images below which no threshold keeps that promise."""


def none_below(likeness: Sequence[float] | np.ndarray) -> dict[str, Any] | None:
    """The threshold from the likeness (see `training.likeness`) of validation images of the known classes: `{"value", "share",
    "n"}`; None for fewer than `FEWEST`.

    A new image of the known classes lies below it with a probability of at most `share`, whatever the model (split conformal
    prediction: Vovk et al. 2005; Angelopoulos & Bates 2023, arXiv:2107.07511, §1). That much is promised of images drawn like
    these; how many strangers it finds is not, and can only be measured (`strangers`).
    """
    given = np.sort(np.asarray(likeness, float))
    rank = math.floor(REFUSED * (len(given) + 1) + 1e-9)
    if rank < 1:
        return None
    # Rounded down: what is written into a file must not refuse an image that the unrounded number lets pass.
    return {"value": math.floor(given[rank - 1] * 1e6) / 1e6, "share": REFUSED, "n": len(given)}


def share_below(below: int, n: int) -> dict[str, Any]:
    """`{"n", "below", "share", "low", "high"}`: a share with its 95 % interval (Wilson)."""
    low, high = wilson(below, n)
    return {"n": n, "below": below, "share": below / n, "low": low, "high": high}


def strangers(known: Sequence[float] | np.ndarray, unknown: Sequence[float] | np.ndarray, threshold: float) -> dict[str, Any]:
    """How well likeness parts images of the known classes from others: of both the share below the threshold with its 95 %
    interval (Wilson), and the chance that a known image has the larger one of two, 0.5 being luck (area under the ROC curve).

    Returns `{"known": {"n", "below", "share", "low", "high"}, "unknown": {…}, "auc"}`. Raises `ValueError` when either is empty.
    """
    one, other = np.asarray(known, float), np.asarray(unknown, float)
    if not len(one) or not len(other):
        raise ValueError("there are no images to compare")
    found = {name: share_below(int((given < threshold).sum()), len(given))
             for name, given in (("known", one), ("unknown", other))}
    ordered = np.sort(other)
    wins = np.searchsorted(ordered, one, "left") + np.searchsorted(ordered, one, "right")  # ties count half
    return {**found, "auc": float(wins.sum() / (2 * len(one) * len(other)))}
