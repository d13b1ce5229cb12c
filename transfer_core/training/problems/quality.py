"""Photos that show little: blurred, dark, washed out, empty, tiny. Measured on small versions, held against the dataset."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from PIL import Image as Pillow

from transfer_core.datasets.manifest import Image
from transfer_core.decode import decode
from transfer_core.errors import NotFound
from transfer_core.events import Progressed
from transfer_core.paths import Home
from transfer_core.training.pipeline import threads
from transfer_core.training.problems.leaks import row

SIDE = 256
"""Pixels of the longer side at which photos are measured; smaller ones as they are."""
LIMITS: dict[str, tuple[str, float]] = {
    "dark": ("white", 80),
    "bright": ("ink", 55),
    "empty": ("contrast", 6),
    "blurred": ("sharpness", 60),
    "tiny": ("side", 64),
}
"""What is wrong → the measure, and the limit below which it is wrong. The first that holds is said.

`sharpness`: variance of the Laplacian. Grey levels of 255: photos of six sets measured 62 and more, blurred with a radius of
2 in 320 pixels 5 to 130 (median 13 to 82, hands 367), with 4 at most 61. `white`: the 99th percentile, and `ink`: 255 minus the
1st, so that a black background or a white one alone is nothing wrong; of 460 photos none was below 117 or 123. `contrast`:
standard deviation; the plainest drawn leaf has 7.4."""
APART = 2.5
"""Robust z-score a photo must be away from its dataset's median besides: night photos are dark, and meant so."""
_LEAST_SPREAD = 0.1
"""Of logarithms: in a set of equal pictures a tenth more or less is still nothing."""
_STEP = 50


def poor(images: Sequence[Image], home: Home) -> Generator[Progressed, None, list[dict[str, Any]]]:
    """Photos beyond a limit, and far from the rest of the dataset; the farthest first. Each is a `row` with `what`, the measured
    `value`, and `apart`, its z-score. Raises `NotFound` when a file has gone, `BadImage` when it is no picture any more."""
    measured: list[dict[str, float]] = []
    with ThreadPoolExecutor(threads(), thread_name_prefix="quality") as pool:
        for start in range(0, len(images), _STEP):
            yield Progressed(stage="quality", done=start, total=len(images))
            measured += pool.map(lambda image: measures(small(image, home)) | {"side": float(max(image.width, image.height))},
                                 images[start:start + _STEP])
    found = [{**row(image), **fault} for image, fault in zip(images, faults(measured), strict=True) if fault]
    return sorted(found, key=lambda each: -each["apart"])


def small(image: Image, home: Home) -> Pillow.Image:
    thumbnail, original = home.thumbnail(image.sha256), home.image(image.sha256)
    file = thumbnail if thumbnail.is_file() else original
    if not file.is_file():
        raise NotFound("image_gone", file=image.file)
    return decode(file, draft=SIDE).image


def measures(picture: Pillow.Image) -> dict[str, float]:
    """Of one photo: see `LIMITS`."""
    grey = picture.convert("L")
    grey.thumbnail((SIDE, SIDE))
    pixels = np.asarray(grey, np.float32)
    around = np.pad(pixels, 1, mode="edge")
    laplacian = 4 * pixels - around[:-2, 1:-1] - around[2:, 1:-1] - around[1:-1, :-2] - around[1:-1, 2:]
    black, white = np.quantile(pixels, (0.01, 0.99))
    return {"sharpness": float(laplacian.var()), "contrast": float(pixels.std()),
            "ink": 255 - float(black), "white": float(white)}


def faults(measured: Sequence[dict[str, float]]) -> list[dict[str, Any] | None]:
    """For each photo `{"what", "value", "apart"}`, or None. Ratios count, not differences: z-scores are of logarithms."""
    found: list[dict[str, Any] | None] = [None] * len(measured)
    for what, (measure, limit) in reversed(LIMITS.items() if measured else ()):
        values = np.array([of[measure] for of in measured])
        logs = np.log(values + 1)
        middle = np.median(logs)
        apart = (middle - logs) / max(1.4826 * float(np.median(np.abs(logs - middle))), _LEAST_SPREAD)
        for place in np.flatnonzero((values < limit) & (apart > APART)):
            found[place] = {"what": what, "value": round(float(values[place]), 1), "apart": round(float(apart[place]), 2)}
    return found
