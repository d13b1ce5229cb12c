"""Tiny class folders of real image files, and datasets made of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from transfer_core.datasets import import_dataset
from transfer_core.store import Dataset, Store


def draw(folder: Path, counts: dict[str, int]) -> Path:
    """`folder/<class>/<n>.png`, 12 × 12 noise, each different."""
    rng = np.random.default_rng(7)
    for label, count in counts.items():
        (folder / label).mkdir(parents=True)
        for number in range(count):
            Image.fromarray(rng.integers(0, 256, (12, 12, 3), np.uint8)).save(folder / label / f"{number}.png")
    return folder


def dataset(store: Store, folder: Path, counts: dict[str, int], name: str = "my set") -> Dataset:
    imported = list(import_dataset(draw(folder, counts), name, store))[-1]
    return store.dataset(imported.dataset)


def param(app, key: str) -> str:
    """A key of the address (AppTest gives what a test set as a list, what a page set as text)."""
    value = app.query_params[key]
    return value[0] if isinstance(value, list) else value
