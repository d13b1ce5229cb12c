"""Photos that resemble nothing else in the dataset: an empty frame, a screenshot, something of another world."""

from __future__ import annotations

import numpy as np

from transfer_core.training.listening import units

NEAREST = 5
FAR = 3.5
"""Robust z-score from which an image is odd (Iglewicz and Hoaglin, 1993): (d − median) / (1.4826 · MAD).

Measured with five photos each of ants, hands and brain scans put into other sets (found / doubted of the set itself): coins 15
of 15 / 5 of 1,291, MNIST 15 / 4 of 1,000, sign language digits 10 of 10 / 30 of 802, drawn leaves 10 of 15 / 3 of 160, brain
scans 5 of 10 / 1 of 253, clothing 1 of 15 / 0 of 1,713, pets and PACS 0 of 15 / 0. So: sure where the photos are of one
kind; where they are of all kinds anyway, nothing is far from everything."""
FEWEST = 20
"""Images, of the dataset or of a class, below which there is no usual distance."""
_ROWS = 512


def oddness(features: np.ndarray, labels: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """How far each image is from all others, and from those of its own class: the smaller of the two robust z-scores, float N.

    A distance is the mean of 1 − cosine to the nearest five images of other groups. A class of few images is held against the
    whole dataset's distances. All −∞ where there are too few images.
    """
    if len(labels) < FEWEST:
        return np.full(len(labels), -np.inf)
    unit = units(features)
    to_all, to_own = np.ones(len(labels)), np.ones(len(labels))
    for start in range(0, len(labels), _ROWS):
        here = slice(start, start + _ROWS)
        apart = 1 - unit[here] @ unit.T
        apart[groups[here, None] == groups[None]] = np.inf
        to_all[here] = _nearest(apart)
        to_own[here] = _nearest(np.where(labels[here, None] == labels[None], apart, np.inf))
    own = _scores(to_own)
    for label in np.flatnonzero(np.bincount(labels) >= FEWEST):
        own[labels == label] = _scores(to_own[labels == label])
    return np.minimum(_scores(to_all), own)


def _nearest(apart: np.ndarray) -> np.ndarray:
    """Mean of the smallest distances in each row; 1, no likeness at all, where there is nothing to compare with."""
    nearest = np.partition(apart, min(NEAREST, apart.shape[1] - 1), axis=1)[:, :NEAREST]
    there = np.isfinite(nearest)
    return np.where(there.any(1), np.where(there, nearest, 0).sum(1) / np.maximum(1, there.sum(1)), 1.0)


def _scores(values: np.ndarray) -> np.ndarray:
    middle = np.median(values)
    return (values - middle) / max(1.4826 * float(np.median(np.abs(values - middle))), 1e-3)
