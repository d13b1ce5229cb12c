"""Photos of one moment: close in what the model sees of them, though no hash says so."""

from __future__ import annotations

import numpy as np

from transfer_core.training.listening import units

CLOSE = 0.8
"""Least cosine of the features of two images, the dataset's mean taken out …"""
CLOSER = 0.4
"""… and their distance (1 − cosine) is at most this share of that to the K-th neighbour of either: what crowds everywhere
(ones of MNIST, hands before one wall) is no burst."""
FEW, MANY, SHARE = 10, 50, 0.02
"""K: this share of the images, within these bounds; at most half of the class. Bursts of more frames than that are not seen.

Measured (EfficientNet-Lite0; images joined / largest group) with cosine > .95, > .92 and this rule. Bursts, made from 60 photos
of each set (5 frames: 4 to 12 % cut off, up to 3 degrees and 15 % of light), share of pairs found: clothing .51 .80 .97,
ants and bees .50 .91 .99, coins .65 .98 .86, brain scans .45 .76 .80; pHash alone finds .003 to .017. Sets as they are:
clothing 0/1 1/2 13/3 (one cap twice, trousers on one hanger), coins 80/3 214/19 143/4 (true bursts, looked at), ants and bees
0, pets 0, sign language digits 15/4 445/412 9/3, MNIST 98/49 494/169 40/6, PACS 0/1 21/11 4/2, drawn leaves 0/1 0/1 1/2."""
_ROWS = 512


def close_pairs(features: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Pairs of images that look like one scene: int P × 2, first < second. `features` float N × D, `labels` int N."""
    count = len(features)
    if count < 3:
        return np.zeros((0, 2), int)
    unit = units(features - features.mean(0))
    nearest = np.minimum(np.clip(round(SHARE * count), FEW, MANY), np.maximum(1, np.bincount(labels)[labels] // 2))
    nearest = np.minimum(nearest, count - 1)
    spans = []
    for start in range(0, count, _ROWS):
        apart = 1 - _others(unit, start)
        most = int(nearest[start:start + _ROWS].max())
        ordered = np.sort(np.partition(apart, most - 1, axis=1)[:, :most], axis=1)
        spans.append(np.take_along_axis(ordered, nearest[start:start + _ROWS, None] - 1, axis=1)[:, 0])
    span, found = np.concatenate(spans), []
    for start in range(0, count, _ROWS):
        cosine = _others(unit, start)
        limit = CLOSER * np.minimum(span[start:start + _ROWS, None], span[None])
        first, second = np.nonzero((cosine > CLOSE) & (1 - cosine <= limit))
        found.append(np.stack([first + start, second], axis=1)[first + start < second])
    return np.concatenate(found)


def _others(unit: np.ndarray, start: int) -> np.ndarray:
    """Cosines of some rows with all, −1 with themselves."""
    cosine = unit[start:start + _ROWS] @ unit.T
    rows = np.arange(len(cosine))
    cosine[rows, rows + start] = -1
    return cosine
