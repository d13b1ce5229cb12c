"""What several of the measuring scripts do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest import mock

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
