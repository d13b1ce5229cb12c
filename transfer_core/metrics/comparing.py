"""Is one run better than another? Asked on the same images, or not at all."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import NormalDist
from typing import Any

import numpy as np

from transfer_core.metrics.intervals import evidence, student


def mcnemar(first_right: Sequence[bool] | np.ndarray, second_right: Sequence[bool] | np.ndarray,
            groups: Sequence[int] | np.ndarray | None = None) -> dict[str, Any]:
    """Is the second model better than the first on the same images? Exact two-sided McNemar test (McNemar 1947).

    Only images on which the two differ count: under "no difference" each is a fair coin. `gained`: right only for the
    second; `lost`: right only for the first; `different` is p < 0.05; `evidence`: how many different images there are.
    Images of one of the `groups` (copies, photos of one scene) fall on one side together: they are one coin that counts as often
    as they differ (Fisher's permutation test over groups; the same where no two are alike).
    """
    first, second = np.asarray(first_right, bool), np.asarray(second_right, bool)
    if first.shape != second.shape:
        raise ValueError("the two runs must be measured on the same images")
    gained, lost, both = int((second & ~first).sum()), int((first & ~second).sum()), int((first & second).sum())
    found = {"n": len(first), "gained": gained, "lost": lost, "both": both}
    if groups is not None and len(np.unique(groups)) < len(first):
        p = _of_coins(np.bincount(np.unique(groups, return_inverse=True)[1], second.astype(float) - first))
        return found | {"evidence": evidence(groups), "p": p, "different": p < 0.05}
    tosses, fewer = gained + lost, min(gained, lost)
    # Whole numbers until the last division: exact for any count.
    ways = tail = 1
    for heads in range(fewer):
        ways = ways * (tosses - heads) // (heads + 1)
        tail += ways
    p = min(1.0, float((2 * tail) / (1 << tosses))) if tosses else 1.0
    return found | {"evidence": float(len(first)), "p": p, "different": p < 0.05}


def _of_coins(sums: np.ndarray) -> float:
    """Chance that fair coins which count so much sum to as far from 0 as these did."""
    chances, weights = np.ones(1), np.abs(sums).astype(int)
    for weight in weights[weights > 0]:
        longer = np.zeros(len(chances) + weight)
        longer[:len(chances)] += chances / 2
        longer[weight:] += chances / 2
        chances = longer
    ahead = np.abs(2 * np.arange(len(chances)) - (len(chances) - 1))  # heads minus tails
    return min(1.0, float(chances[ahead >= abs(round(sums.sum()))].sum()))


def packed(right: np.ndarray) -> str:
    """Yes and no of many images as text, four in a letter. `unpacked` is its inverse."""
    return np.packbits(np.asarray(right, bool)).tobytes().hex()


def unpacked(text: str, n: int) -> np.ndarray:
    """The first `n` of what was packed, boolean. Raises `ValueError` where there are fewer."""
    bits = np.unpackbits(np.frombuffer(bytes.fromhex(text), np.uint8))
    if not n <= len(bits) < n + 8:
        raise ValueError(f"{len(bits)} bits are not those of {n} images")
    return bits[:n].astype(bool)


def paired_error(differences: np.ndarray) -> float:
    """Standard error of the mean of `differences`, each that of two models on one image, between −1 and 1. One image is added to
    each kind of disagreement, as in `paired_difference`: two models that agree on the few images there are need not be equal."""
    n = len(differences) + 2
    mean, square = differences.sum() / n, ((differences**2).sum() + 2) / n
    return math.sqrt((square - mean * mean) / n)


def paired_difference(gained: float, lost: float, n: float, pairs: int = 1) -> tuple[float, float]:
    """95 % interval of the difference of two shares measured on the same n images: Wald's with one image added to each kind of
    disagreement (Bonett & Price 2012, British Journal of Mathematical and Statistical Psychology 65, 430). Of several `pairs` all
    intervals hold together in 95 % (Bonferroni)."""
    z = NormalDist().inv_cdf(1 - 0.025 / pairs)
    only_second, only_first = (gained + 1) / (n + 2), (lost + 1) / (n + 2)
    middle = only_second - only_first
    half = z * math.sqrt((only_second + only_first - middle * middle) / (n + 2))
    return max(-1.0, middle - half), min(1.0, middle + half)


def paired_gain(first: np.ndarray, second: np.ndarray, groups: Sequence[int] | np.ndarray) -> tuple[float, float, float]:
    """How many more images the second way of training names rightly than the first, and its 95 % interval.

    `first`, `second`: trainings × n booleans, on the same n images, each training's pair in the same row; `groups`: n, equal for
    images that are no evidence of their own. Two kinds of luck are added: which images were asked (over groups, with one group
    added to each kind of disagreement, as in `paired_difference`), and which trainings were made, by how far their means lie
    apart. What chance there is in one answer is in both, so the sum is rather too wide: with three trainings, subtracting it held
    the true gain in 89 % where this does in 95 (simulated). Student's quantile with the degrees of freedom of Satterthwaite 1946.
    Of a single training the second kind is unknown and left out.
    """
    d = np.asarray(second, float) - np.asarray(first, float)
    times, of_image, of_training = len(d), d.mean(axis=0), d.mean(axis=1)
    _, group = np.unique(np.asarray(groups), return_inverse=True)
    sizes = np.bincount(group)
    usual = sizes.mean()
    sums, sizes = np.r_[np.bincount(group, of_image), usual, -usual], np.r_[sizes, usual, usual]
    middle = sums.sum() / sizes.sum()
    count = len(sums)
    images = float(((sums - sizes * middle) ** 2).sum() / sizes.sum() ** 2 * count / (count - 1))
    trainings = float(of_training.var(ddof=1)) / times if times > 1 else 0.0
    error = images + trainings
    degrees = error**2 / (images**2 / (count - 1) + (trainings**2 / (times - 1) if trainings else 0.0))
    half = student(int(degrees)) * math.sqrt(error)
    return float(d.mean()), max(-1.0, float(middle - half)), min(1.0, float(middle + half))


def compare(first: Sequence[Mapping[str, Any]], second: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    """`mcnemar` of two lists of prediction rows (as in predictions_test.jsonl), on the images that are in both with the same
    label: what is in both test splits, neither has trained on. None where there are none."""
    one, other = ({(row["sha256"], row["file"], row["label"]): row for row in rows} for rows in (first, second))
    shared = [key for key in one if key in other]
    if not shared:
        return None
    right = ([rows[key]["predicted"] == rows[key]["label"] for key in shared] for rows in (one, other))
    return mcnemar(*right, groups_of([one[key] for key in shared]))


def groups_of(rows: Sequence[Mapping[str, Any]]) -> list[int]:
    """Of prediction rows: which are alike, as the import found. Where that was not written down, at least copies are known."""
    numbers: dict[Any, int] = {}
    names = (row.get("group", row.get("sha256", place)) for place, row in enumerate(rows))
    return [numbers.setdefault(name, len(numbers)) for name in names]


def holm(values: Sequence[float]) -> list[float]:
    """p-values of several comparisons, adjusted so that the chance of a single false alarm among all stays 5 % (Holm 1979)."""
    adjusted, least = [0.0] * len(values), 0.0
    for rank, place in enumerate(sorted(range(len(values)), key=values.__getitem__)):
        least = max(least, min(1.0, (len(values) - rank) * values[place]))
        adjusted[place] = least
    return adjusted
