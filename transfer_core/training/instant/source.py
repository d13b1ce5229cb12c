"""What the model, as it came, sees in a person's classes; and the guess that needs no training at all.

LEEP's empirical classifier (Nguyen et al., ICML 2020, eq. 2): with p(z|x) the probabilities of the source classes,
p(y|z) is counted softly over the training images, and  p(y|x) = Σ_z p(y|z) · p(z|x).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from timm.data import ImageNetInfo

MOST_LIKE = 3
"""Source classes named for each own class."""
_IMAGENET = 1000


def source_classifier(source: np.ndarray, labels: np.ndarray, classes: int) -> np.ndarray:
    """p(y|z), source classes × own classes, of source probabilities N × Z and labels N. A source class never seen says nothing:
    it gives every own class its share."""
    joint = np.zeros((classes, source.shape[1]))
    np.add.at(joint, labels, source)
    total = joint.sum(0)
    share = np.bincount(labels, minlength=classes) / len(labels)
    return np.where(total > 0, joint / np.where(total > 0, total, 1), share[:, None]).T


def looks_like(source: np.ndarray, labels: np.ndarray, classes: Sequence[str]) -> list[dict[str, Any]]:
    """`[{"class", "images", "like": [{"source", "share"}, …]}]`: the mean source probabilities of each own class, largest first.
    Empty unless the source classes have names we know (ImageNet's)."""
    if source.shape[1] != _IMAGENET:
        return []
    names, found = ImageNetInfo(), []
    for index, label in enumerate(classes):
        rows = source[labels == index]
        mean = rows.mean(0) if len(rows) else np.zeros(source.shape[1])
        first = np.argsort(-mean)[:MOST_LIKE] if len(rows) else []
        found.append({"class": label, "images": len(rows), "like": [
            {"source": names.index_to_description(int(place)), "share": round(float(mean[place]), 4)} for place in first]})
    return found
