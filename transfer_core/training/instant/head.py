"""The best linear head for given features: multinomial logistic regression, fitted to the end instead of trained a while.

The penalised loss  mean cross-entropy + λ/2 · ‖W‖²  is convex: L-BFGS finds its one minimum, whatever the learning rate of a
training would have been. λ is chosen on images the fit did not see.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from sklearn.linear_model import LogisticRegression

from transfer_core.metrics import log_loss
from transfer_core.predictor import softmax

STRENGTHS = (100.0, 10.0, 1.0, 0.1, 0.01, 0.001)
"""λ on features of unit variance, strong to weak: each fit begins where the one before it ended."""
FEW = 500
"""Fewer images than this are divided into folds to choose λ; from here on one fifth is held out."""
FOLDS = 5
_ABSENT = 30.0
"""How far below the others the logit of a class without training images lies: e⁻³⁰ is no probability to speak of."""
_MOST_STEPS = 300


@dataclass(frozen=True)
class Head:
    """logits = features · weightᵀ + bias; `weight` float32 classes × features, `bias` float32 classes."""

    weight: np.ndarray
    bias: np.ndarray
    strength: float

    def probabilities(self, features: np.ndarray) -> np.ndarray:
        return softmax(features @ self.weight.T + self.bias)


def best_head(features: np.ndarray, labels: np.ndarray, classes: int, seed: int = 0, groups: np.ndarray | None = None) -> Head:
    """Choose λ, then fit all images. `features` float N × D, `labels` int N in [0, classes), at least two of them different;
    `groups` int N: λ is chosen on images that no copy of theirs was fitted with."""
    folds = folds_of(labels, FOLDS, seed, groups)
    parts = [(folds != number, folds == number) for number in range(FOLDS if len(labels) < FEW else 1)]
    parts = [(kept, out) for kept, out in parts if out.any() and len(np.unique(labels[kept])) > 1]
    best = (np.inf, STRENGTHS[0])
    paths = [_path(features[kept], labels[kept], classes) for kept, _ in parts]
    for heads in zip(*paths, strict=True):
        loss = sum(log_loss(labels[out], head.probabilities(features[out])) * out.sum()
                   for head, (_, out) in zip(heads, parts, strict=True))
        if loss > best[0]:
            break  # weaker still fits the noise still better: there is one valley
        best = (loss, heads[0].strength)
    return next(_path(features, labels, classes, (best[1],)))


def unseen_probabilities(features: np.ndarray, labels: np.ndarray, classes: int, seed: int = 0,
                         groups: np.ndarray | None = None) -> np.ndarray:
    """Each image answered by a head that saw neither it, nor any image of its group, nor, in choosing λ, its fold: N × classes.
    For few images."""
    groups = np.arange(len(labels)) if groups is None else groups
    folds, found = folds_of(labels, FOLDS, seed, groups), np.zeros((len(labels), classes))
    for number in np.unique(folds):
        kept, out = folds != number, folds == number
        if len(np.unique(labels[kept])) < 2:
            found[out] = np.bincount(labels[kept], minlength=classes) / max(1, kept.sum())
        else:
            head = best_head(features[kept], labels[kept], classes, seed + 1, groups[kept])
            found[out] = head.probabilities(features[out])
    return found


def folds_of(labels: np.ndarray, folds: int, seed: int, groups: np.ndarray | None = None) -> np.ndarray:
    """The fold of each image. A group lies in one fold as a whole; every class is spread as evenly as its groups allow.

    `groups`: int N, equal for images that must not be divided (None: every image by itself). The largest groups of a class go
    first, each to the fold with the fewest images of that class, of these to the one with the fewest images: for groups of one
    image that is to deal them out in turn.
    """
    chance, found = np.random.default_rng(seed), np.full(len(labels), -1)
    _, group = np.unique(np.arange(len(labels)) if groups is None else groups, return_inverse=True)
    members = np.split(np.argsort(group, kind="stable"), np.cumsum(np.bincount(group))[:-1])
    filled = np.zeros(folds, int)
    for label in np.unique(labels):
        own = labels == label
        here = np.bincount(found[own & (found >= 0)], minlength=folds)  # with groups of earlier classes
        places = chance.permutation(np.flatnonzero(own))
        size = np.bincount(group[own], minlength=len(members))
        for place in places[np.argsort(-size[group[places]], kind="stable")]:
            if found[place] >= 0:
                continue
            whole = members[group[place]]
            fold = min(range(folds), key=lambda number: (here[number], filled[number]))
            found[whole] = fold
            here[fold] += size[group[place]]
            filled[fold] += len(whole)
    return found


def _path(features: np.ndarray, labels: np.ndarray, classes: int, strengths: tuple[float, ...] = STRENGTHS) -> Iterator[Head]:
    """The best head for each strength in turn, on features scaled to unit variance; the scale is folded into the weights."""
    mean, scale = features.mean(0, dtype=np.float64), features.std(0, dtype=np.float64)
    scale[scale < 1e-6 * max(1.0, float(scale.max()))] = np.inf  # what never changes says nothing
    scaled = (features - mean) / scale
    fit = LogisticRegression(max_iter=_MOST_STEPS, tol=1e-4, warm_start=True)
    for strength in strengths:
        fit.set_params(C=1 / (strength * len(labels))).fit(scaled, labels)
        yield _whole(fit, mean, scale, classes, strength)


def _whole(fit: LogisticRegression, mean: np.ndarray, scale: np.ndarray, classes: int, strength: float) -> Head:
    rows, offset = fit.coef_, fit.intercept_
    if len(rows) == 1:  # of two classes, scikit-learn keeps the difference
        rows, offset = np.concatenate([-rows, rows]) / 2, np.concatenate([-offset, offset]) / 2
    weight, bias = np.zeros((classes, rows.shape[1])), np.full(classes, offset.min() - _ABSENT)
    weight[fit.classes_] = rows / scale
    bias[fit.classes_] = offset - weight[fit.classes_] @ mean
    return Head(weight.astype(np.float32), bias.astype(np.float32), strength)
