"""One score twice: as it looks when like photos may lie on both sides, and as it is when they may not."""

from __future__ import annotations

from typing import Any

import numpy as np

from transfer_core.metrics import mcnemar
from transfer_core.training.instant.first_model import accuracy
from transfer_core.training.instant.head import unseen_probabilities


def both_scores(features: np.ndarray, labels: np.ndarray, classes: int,
                groups: np.ndarray) -> tuple[dict[str, Any] | None, np.ndarray]:
    """The scores, and the honest out-of-fold probabilities N × C they rest on.

    `{"naive": {"accuracy", "low", "high", "correct", "n", "baseline"}, "honest": {… , "groups"}, "p", "gained", "lost",
    "differ"}`: intervals are Wilson's, 95 %, over images; p is McNemar's, exact, on the same images. Both take images for
    independent, which frames of one burst are not: with large groups the truth is wider, and `groups` says how many there are.
    None, and no row, where fewer than two classes have two groups or more: nothing could be answered unseen.
    """
    if sum(len(np.unique(groups[labels == label])) > 1 for label in np.unique(labels)) < 2:
        return None, np.zeros((0, classes))
    unseen = unseen_probabilities(features, labels, classes, groups=groups)
    apart = len(np.unique(groups)) == len(groups)
    naive = unseen if apart else unseen_probabilities(features, labels, classes)
    compared = mcnemar(unseen.argmax(1) == labels, naive.argmax(1) == labels)
    return {"naive": accuracy(labels, naive), "honest": accuracy(labels, unseen) | {"groups": len(np.unique(groups))},
            "p": compared["p"], "gained": compared["gained"], "lost": compared["lost"], "differ": compared["different"]}, unseen
