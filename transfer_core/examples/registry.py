"""The example datasets and their facts. An entry draws one picture from its class, its number and a seed."""

from __future__ import annotations

import numpy as np
from PIL import Image

from transfer_core.examples.cloth import cloth_picture
from transfer_core.examples.digits import digit_picture
from transfer_core.examples.leaves import leaf_picture
from transfer_core.registry import Registry

EXAMPLES: Registry = Registry("example")
"""Facts of an entry: `classes` (folder names), `images_per_class` (how many by default), `most` (per class, None: no end),
`licence` (SPDX), `attribution` (to be shown with it, "" if none is owed), `difficulty` (easy, middling, hard), `edge` (pixels).
Titles, descriptions and class names for people: `examples.<name>.*` in the words."""


@EXAMPLES.add("leaves", classes=("ginkgo", "maple", "oak", "willow"), images_per_class=40, most=None, licence="CC0-1.0",
              attribution="", difficulty="easy", edge=320)
def leaves(label: str, number: int, seed: int) -> Image.Image:
    """Drawn leaves of four trees, in all seasons, on soil, paper, grass and stone."""
    return leaf_picture(label, _generator(seed, "leaves", label, number))


@EXAMPLES.add("cloth", classes=("hole", "ok", "pulled thread", "stain"), images_per_class=40, most=None, licence="CC0-1.0",
              attribution="", difficulty="hard", edge=320)
def cloth(label: str, number: int, seed: int) -> Image.Image:
    """Woven cloth, whole or with a hole, a stain or a pulled thread."""
    return cloth_picture(label, _generator(seed, "cloth", label, number))


@EXAMPLES.add("digits", classes=tuple("0123456789"), images_per_class=60, most=174, licence="CC-BY-4.0",
              attribution="E. Alpaydin and C. Kaynak, Optical Recognition of Handwritten Digits, UCI Machine Learning "
                          "Repository, 1998, doi:10.24432/C50P49; 8 × 8 version as shipped with scikit-learn; enlarged.",
              difficulty="middling", edge=64)
def digits(label: str, number: int, seed: int) -> Image.Image:
    """Handwritten digits, 8 by 8 points each."""
    return digit_picture(label, number, seed)


def _generator(seed: int, *names: str | int) -> np.random.Generator:
    """One generator a picture, so that asking for more pictures leaves the first ones as they were."""
    return np.random.default_rng([seed, *"/".join(map(str, names)).encode()])
