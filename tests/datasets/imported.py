"""Pictures made on the spot, and what importing one archive gave: everything a test wants to look at."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from transfer_core.datasets import Manifest, Understanding, import_dataset, understand
from transfer_core.errors import StudioError
from transfer_core.events import Event, Note, Progressed
from transfer_core.paths import Home
from transfer_core.store import Store

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"


def photo(seed: int, size: tuple[int, int] = (48, 40), format: str = "PNG") -> bytes:  # noqa: A002
    """Coarse coloured noise: no two seeds are near-duplicates."""
    blocks = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(blocks).resize(size, Image.Resampling.BICUBIC).save(buffer, format)
    return buffer.getvalue()


@dataclass
class Outcome:
    home: Home
    events: list[Event]
    error: StudioError | None
    understanding: Understanding | None
    manifest: Manifest | None
    summary: dict

    @property
    def notes(self) -> str:
        return "\n".join(event.message.say("en") for event in self.events if isinstance(event, Note))

    @property
    def progress(self) -> list[Progressed]:
        return [event for event in self.events if isinstance(event, Progressed)]

    def quarantined(self, file: str) -> dict | None:
        return next((row for row in self.summary.get("quarantined", []) if row["file"] == file), None)


def import_archive(path: Path, root: Path, answers: dict | None = None) -> Outcome:
    home = Home(root)
    store = Store(home)
    events: list[Event] = []
    error, understanding, manifest, summary = None, None, None, {}
    try:
        understanding = understand(path, answers)
        events.extend(import_dataset(path, path.stem, store, answers=answers))
        summary = events[-1].summary
        manifest = Manifest.read(home, summary["dataset"], 1)
    except StudioError as problem:
        error = problem
    store.close()
    return Outcome(home, events, error, understanding, manifest, summary)
