"""Many numbers a photo as two: places in a square, so that what is alike lies side by side."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

SEED = 0
FEW = 10
"""Photos below which there are no neighbourhoods to keep: their two main directions are drawn."""
_PERPLEXITY = 30.0
_KEPT = 50
"""Main directions that t-SNE is given (van der Maaten & Hinton 2008 take 30)."""
_ROWS = 512
_SAME = 1e-6
"""What differs by less is rounding: photos that are all the same lie in one place."""


@dataclass(frozen=True)
class Arranged:
    places: np.ndarray
    """float64 N × 2, within 0 to 1; one scale for both axes."""
    method: str
    """ "t-sne" or "pca"."""
    trust: float | None
    """See `trustworthiness`; None where there are too few photos."""


def arrange(features: np.ndarray) -> Arranged:
    """Places of `features` (float N × D, N ≥ 1); the same for the same input.

    The main 50 directions (PCA), then t-SNE (van der Maaten & Hinton 2008; Barnes–Hut, van der Maaten 2014), which begins with
    the first two of them (Kobak & Berens 2019): what is far apart as a whole then stays so more often. Perplexity 30, or a third
    of the photos. With one thread: sums of several are added in whatever order they come, and the last digit moves all.
    """
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1):
        main = _main_directions(features.astype(np.float64))
        if len(main) < FEW or np.ptp(main[:, 0]) == 0:
            method, places = "pca", main[:, :2]
        else:
            method, places = "t-sne", _tsne(main)
        return Arranged(_in_square(places), method, trustworthiness(features, places))


def _main_directions(features: np.ndarray) -> np.ndarray:
    """At most 50 columns, at least two. The covariance's eigenvectors: memory D², whatever the number of photos."""
    from sklearn.decomposition import PCA

    if np.ptp(features, axis=0).max() < _SAME:
        return np.zeros((len(features), 2))
    found = PCA(min(_KEPT, *features.shape), svd_solver="covariance_eigh").fit_transform(features)
    found = np.where(np.abs(found).max(0) > _SAME, found, 0.0)
    return np.pad(found, ((0, 0), (0, max(0, 2 - found.shape[1]))))


def _tsne(main: np.ndarray) -> np.ndarray:
    from sklearn.manifold import TSNE

    perplexity = min(_PERPLEXITY, (len(main) - 1) / 3)
    begin = main[:, :2] / main[:, 0].std() * 1e-4  # as init="pca" does, and one PCA is enough
    return TSNE(2, perplexity=perplexity, init=begin.astype(np.float32), learning_rate="auto", random_state=SEED,
                n_jobs=1).fit_transform(main.astype(np.float32)).astype(np.float64)


def _in_square(places: np.ndarray) -> np.ndarray:
    low, high = places.min(0), places.max(0)
    span = float((high - low).max())
    return 0.5 + (places - (low + high) / 2) / span if span else np.full_like(places, 0.5)


def trustworthiness(features: np.ndarray, places: np.ndarray, k: int = 10) -> float | None:
    """How far neighbours on the map are neighbours in truth: 1 when the k nearest there are the k nearest of the features.

    1 − 2 / (N k (2 N − 3 k − 1)) · Σᵢ Σⱼ max(0, rank of j among i's neighbours in features − k), j over the k nearest on the map
    (Venna & Kaski 2001, eq. 1). About 0.5 for a map that knows nothing. As scikit-learn's, but some rows at a time: there, 5,000
    photos take 600 MB. k is at most what the formula allows (below N / 2); None with three photos or fewer.
    """
    count = len(features)
    k = min(k, (count - 1) // 2)
    if count < 4:
        return None
    features, penalty = features.astype(np.float64), 0.0
    for start in range(0, count, _ROWS):
        rows = np.arange(start, min(count, start + _ROWS))
        near = np.argpartition(_apart(places, rows), k - 1, axis=1)[:, :k]
        order = np.argsort(_apart(features, rows), axis=1, kind="stable")
        ranks = np.empty_like(order)
        np.put_along_axis(ranks, order, np.arange(1, count + 1)[None], axis=1)
        penalty += np.maximum(0, np.take_along_axis(ranks, near, axis=1) - k).sum()
    return float(1 - penalty * 2 / (count * k * (2 * count - 3 * k - 1)))


def _apart(points: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Squared distances of some rows to all; to themselves ∞."""
    length = (points ** 2).sum(1)
    found = length[rows, None] + length[None] - 2 * points[rows] @ points.T
    found[np.arange(len(rows)), rows] = np.inf
    return found
