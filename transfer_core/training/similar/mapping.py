"""All photos of a run's dataset as a map: what its model finds alike lies side by side."""

from __future__ import annotations

import threading
import time
from collections.abc import Generator
from pathlib import Path
from typing import Any

import numpy as np

from transfer_core.datasets.manifest import SPLITS, Manifest, spread
from transfer_core.errors import NotFound
from transfer_core.events import Event, Progressed
from transfer_core.paths import Home
from transfer_core.training.similar.arranging import Arranged, arrange
from transfer_core.training.similar.features import Eye

MOST = 5000
"""Photos on a map; classes in proportion."""
_EVERY = 1.0
"""Seconds between two looks at whether the photos are arranged; a wish to stop is heard there."""


def photo_map(run_folder: Path | str, manifest: Manifest, home: Home, *,
              device: str = "auto") -> Generator[Event, None, dict[str, Any]]:
    """Returns `{"classes", "points": [{"x", "y", "label", "predicted", "probability", "split", "sha256", "file"}], "method",
    "trust", "shown", "of", "wrong", "seconds"}`; x and y are 0 to 1, see `arrange`. `of` counts the photos in a split, also those
    whose file is gone. Training photos lie apart better than new ones would: the model was fitted to them.

    Raises `NotFound` (no trained model, no photo left).
    """
    began, eye = time.monotonic(), Eye(run_folder, home, device)
    images = [image for split in SPLITS for image in manifest.of(split)]
    chosen = spread(eye.known(images), MOST)
    if not chosen:
        raise NotFound("no_training_photos")
    features, probabilities = yield from eye.see(chosen)
    arranged = yield from _arranged(features)
    points = []
    for image, place, given in zip(chosen, arranged.places, probabilities, strict=True):
        said = int(given.argmax())
        points.append({"x": round(float(place[0]), 4), "y": round(float(place[1]), 4), "label": image.label,
                       "predicted": eye.classes[said], "probability": round(float(given[said]), 4), "split": image.split,
                       "sha256": image.sha256, "file": image.file})
    return {"classes": eye.classes, "points": points, "method": arranged.method, "trust": arranged.trust, "shown": len(points),
            "of": len(images), "wrong": sum(point["label"] != point["predicted"] for point in points),
            "seconds": round(time.monotonic() - began, 2)}


def _arranged(features: np.ndarray) -> Generator[Event, None, Arranged]:
    """t-SNE cannot be asked to stop. It runs beside, and whoever stops does not wait for it: it ends by itself, with one thread,
    within a minute."""
    made: list[Arranged | BaseException] = []

    def work() -> None:
        try:
            made.append(arrange(features))
        except BaseException as error:  # noqa: BLE001  told where it is waited for
            made.append(error)

    thread = threading.Thread(target=work, name="arranging", daemon=True)
    thread.start()
    yield Progressed(stage="arranging", done=0)
    while thread.is_alive():
        thread.join(_EVERY)
        if thread.is_alive():
            yield Progressed(stage="arranging", done=0)
    if isinstance(made[0], BaseException):
        raise made[0]
    return made[0]
