"""Noisy squares of one colour a class, stored in a home like an import stores images."""

from __future__ import annotations

import hashlib
import io

import numpy as np
from PIL import Image as Picture

from transfer_core.datasets.manifest import Image, Manifest
from transfer_core.paths import Home

COLOURS = {"blue": (40, 60, 200), "green": (40, 180, 60), "red": (200, 50, 40)}


def draw(home: Home, label: str, number: int, split: str, side: int = 40) -> Image:
    """A noisy square of the class's colour, stored like an import stores it."""
    noise = np.random.default_rng((number, *COLOURS[label])).integers(-30, 30, (side, side, 3))
    pixels = np.clip(np.array(COLOURS[label]) + noise, 0, 255).astype(np.uint8)
    stream = io.BytesIO()
    Picture.fromarray(pixels).save(stream, "PNG")
    content = stream.getvalue()
    sha256 = hashlib.sha256(content).hexdigest()
    home.image(sha256).write_bytes(content)
    return Image(sha256, f"{label}/{number}.png", label, split, number, side, side)


def drawn(home: Home, train: int = 8, validation: int = 4, test: int = 0) -> Manifest:
    """So many images of each colour in each split."""
    splits = ["train"] * train + ["validation"] * validation + ["test"] * test
    images = [draw(home, label, number, split) for label in COLOURS for number, split in enumerate(splits)]
    return Manifest.of_images("colours", 1, images)
