"""Handwritten digits as scikit-learn ships them, written as pictures."""

from __future__ import annotations

from functools import cache

import numpy as np
from PIL import Image

EDGE = 64
"""8 × 8 values become 64 × 64 pixels: large enough to look at, and a model resizes them again anyway."""


def digit_picture(label: str, number: int, seed: int) -> Image.Image:
    """The `number`-th picture of the digit `label`, in an order that `seed` shuffles."""
    pictures = _by_digit()[int(label)]
    order = np.random.default_rng([seed, int(label)]).permutation(len(pictures))
    values = pictures[order[number]]
    # 0…16 → 0…255, smooth: nearest-neighbour steps would be edges that no pen drew.
    small = Image.fromarray(np.round(values * (255 / 16)).astype(np.uint8))
    return small.resize((EDGE, EDGE), Image.Resampling.BICUBIC)


@cache
def _by_digit() -> tuple[np.ndarray, ...]:
    from sklearn.datasets import load_digits  # here, so that the light half starts without it

    digits = load_digits()
    return tuple(digits.images[digits.target == digit] for digit in range(10))
