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
    "differ"}`: intervals are Wilson's, 95 %; the honest one is as wide as its different images make it (`metrics.evidence`), for
    frames of one burst are right or wrong together (200 frames of 50 photos: .74, .60 to .84; over frames .67 to .80, and 280
    fresh photos gave .64). The naive one knows nothing of that. p is McNemar's, exact, on the same images, with a group for one.
    None, and no row, where fewer than two classes have two groups or more: nothing could be answered unseen.
    """
    if sum(len(np.unique(groups[labels == label])) > 1 for label in np.unique(labels)) < 2:
        return None, np.zeros((0, classes))
    unseen = unseen_probabilities(features, labels, classes, groups=groups)
    apart = len(np.unique(groups)) == len(groups)
    naive = unseen if apart else unseen_probabilities(features, labels, classes)
    compared = mcnemar(unseen.argmax(1) == labels, naive.argmax(1) == labels, groups)
    honest = accuracy(labels, unseen, groups) | {"groups": len(np.unique(groups))}
    return {"naive": accuracy(labels, naive, np.arange(len(labels))), "honest": honest,
            "p": compared["p"], "gained": compared["gained"], "lost": compared["lost"], "differ": compared["different"]}, unseen

