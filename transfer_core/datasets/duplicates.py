"""Pictures that are the same, or nearly: they form groups, and a group never straddles a split."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from transfer_core.datasets.check import Checked

NEAR = 4
"""Largest Hamming distance of two 64-bit perceptual hashes. Alone it also joins different simple pictures (digits) …"""
ALIKE = 0.985
"""… so the grey miniatures must correlate at least this much, …"""
APART = 12.0
"""… and differ by at most this root mean square (grey levels of 255), brightness taken out.

Measured, pairs joined with hash alone → with all three: MNIST digits 152 (8 of them across classes) → 2 (0), 8 × 8 digits
104 → 0, coins 28 (4) → 8 (0), brain scans 23 → 21 besides the 25 exact copies, clothing 0 → 0. Photos saved again at
quality 50, at half or a third of the size, or 10 % brighter: 60 of 60 are still found."""
_ROWS, _COLUMNS = 128, 16_384
"""Hashes that are compared at a time: 16 MB, however many there are."""
_PAIRS = 20_000


def find_groups(images: Sequence[Checked]) -> Iterator[int | np.ndarray]:
    """Yield the number of images compared so far, and at last the array of group numbers, in order of first appearance.

    Exact copies (equal SHA-256) and near-duplicates (pHash and miniature agree) are joined transitively. Every pair of
    distinct hashes is compared: 30,000 images are 450 million XORs, about two seconds.
    """
    first: dict[str, int] = {}
    copy_of = np.array([first.setdefault(image.sha256, i) for i, image in enumerate(images)], dtype=np.int64)
    unique = np.flatnonzero(copy_of == np.arange(len(images)))
    hashes = np.array([int(images[i].perceptual_hash, 16) for i in unique], dtype=np.uint64)
    small = np.array([np.frombuffer(images[i].signature, np.uint8) for i in unique]).reshape(len(unique), -1)
    root = np.arange(len(unique))
    for start in range(0, len(unique), _ROWS):
        yield start
        rows = hashes[start:start + _ROWS, None]
        for column in range(start, len(unique), _COLUMNS):
            left, right = np.nonzero(np.bitwise_count(rows ^ hashes[None, column:column + _COLUMNS]) <= NEAR)
            left, right = left + start, right + column
            _join(root, left[left < right], right[left < right], small)
    group_of_unique = np.empty(len(images), dtype=np.int64)
    group_of_unique[unique] = root
    raw = group_of_unique[copy_of]
    _, first_seen, number = np.unique(raw, return_index=True, return_inverse=True)
    order = np.argsort(np.argsort(first_seen))
    yield order[number]


def joined(groups: np.ndarray, pairs: Iterable[tuple[int, int]]) -> np.ndarray:
    """Groups (int N) after those of each pair of images were made one: the smaller number stays. Transitive."""
    above = {int(group): int(group) for group in groups}

    def root(group: int) -> int:
        while above[group] != group:
            above[group] = group = above[above[group]]
        return group

    for one, other in pairs:
        low, high = sorted((root(int(groups[one])), root(int(groups[other]))))
        above[high] = low
    return np.array([root(int(group)) for group in groups], int)


def _join(root: np.ndarray, left: np.ndarray, right: np.ndarray, small: np.ndarray) -> None:
    for start in range(0, len(left), _PAIRS):
        a, b = left[start:start + _PAIRS], right[start:start + _PAIRS]
        apart = root[a] != root[b]  # what is one group already need not be compared
        a, b = a[apart], b[apart]
        same = alike(small[a], small[b])
        for one, other in zip(a[same], b[same], strict=True):
            if root[one] != root[other]:
                low, high = sorted((root[one], root[other]))
                root[root == high] = low


def alike(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """For each row of two stacks of miniatures (N × P uint8): are they one picture, up to re-encoding and resizing?"""
    a, b = a.astype(np.float32), b.astype(np.float32)
    a, b = a - a.mean(1, keepdims=True), b - b.mean(1, keepdims=True)
    close = np.sqrt(((a - b) ** 2).mean(1)) <= APART
    norm = np.sqrt((a * a).sum(1) * (b * b).sum(1))
    flat = (a * a).sum(1) + (b * b).sum(1) < 1.0  # two plain areas of one colour
    return close & (flat | ((a * b).sum(1) >= ALIKE * np.maximum(norm, 1e-6)))
