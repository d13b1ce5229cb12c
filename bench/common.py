"""What several of the measuring scripts do."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from unittest import mock

import numpy as np

from transfer_core import datasets
from transfer_core.events import Imported
from transfer_core.paths import Home
from transfer_core.store import Store
from transfer_core.training.prefix import plan


def imported(photos: Path, home: Home) -> datasets.Manifest:
    """A zip or a folder as a dataset of this home."""
    made = None
    for event in datasets.import_dataset(photos, photos.stem, Store(home)):
        made = event if isinstance(event, Imported) else made
    return datasets.Manifest.read(home, made.dataset, made.version)


@contextmanager
def stored_in_halves(really: bool) -> Iterator[None]:
    """Activations are kept in float16, however few they are."""
    with mock.patch.object(plan, "FLOAT32_BYTES", 0 if really else plan.FLOAT32_BYTES):
        yield


RESAMPLED = 5000


def difference(one: Sequence[np.ndarray], other: Sequence[np.ndarray]) -> tuple[float, float, float]:
    """Mean over all photos and seeds of one − other, and its 95 % interval: a bootstrap over both, each dataset by itself.

    Both hold, for each dataset, whether each photo was right: seeds × photos.
    """
    gaps, chance = [a - b for a, b in zip(one, other, strict=True)], np.random.default_rng(0)
    n = sum(gap.shape[1] for gap in gaps)

    def again(gap: np.ndarray) -> np.ndarray:
        seeds, photos = (chance.integers(0, length, length) for length in gap.shape)
        return gap[seeds][:, photos]

    means = [sum(again(gap).mean(0).sum() for gap in gaps) / n for _ in range(RESAMPLED)]
    return sum(gap.mean(0).sum() for gap in gaps) / n, *np.quantile(means, (0.025, 0.975))
