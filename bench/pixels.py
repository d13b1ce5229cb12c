"""What do stored pixels save? Batches of one dataset from files and from rows, taking turns; and what the rows cost once.

    python bench/pixels.py clothing_10.zip trees_20.zip ants_bees.zip        # prints a table; --repeats 5

Processor milliseconds a photo (all threads together): decoding, varying, normalising, stacking. No model is run.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from common import imported

from transfer_core import datasets
from transfer_core.images import Preprocessing
from transfer_core.paths import Home
from transfer_core.training.pipeline import ImageInputs, in_order
from transfer_core.training.pixels import KeptInputs, keep_pixels

BATCH = 32
MOST = 400
"""Photos of a dataset that are looked at."""
WAYS = {"as evaluated": "none", "light": "light", "strong": "strong"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("zips", nargs="+", type=Path)
    parser.add_argument("--repeats", type=int, default=3)
    asked = parser.parse_args()
    print("| photos | how they are seen | from files, ms | from rows, ms | times faster | making a row, ms |")
    print("|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as place:
        for file in asked.zips:
            home = Home(Path(place) / file.stem)
            manifest = imported(file, home)
            for name, level in WAYS.items():
                print(line(manifest, home, name, level, asked.repeats), flush=True)


def line(manifest: datasets.Manifest, home: Home, name: str, level: str, repeats: int) -> str:
    images = manifest.of("train")[:MOST]
    files = replace(ImageInputs.of(images, manifest.classes, home, Preprocessing()), augmentation=level, flip=True)
    rows, making = kept(files, home)
    what = f"{len(images)} of {manifest.dataset.rsplit('-', 1)[0]}, {images[0].width} × {images[0].height}"
    if rows is None:
        return f"| {what} | {name} | {cost(files):.1f} | small enough as they are | | |"
    times: dict[str, list[float]] = defaultdict(list)
    for repeat in range(repeats):
        for way, inputs in (("files", files), ("rows", rows)) if repeat % 2 else (("rows", rows), ("files", files)):
            times[way].append(cost(inputs))
    ratios = [one / other for one, other in zip(times["files"], times["rows"], strict=True)]
    return (f"| {what} | {name} | {statistics.median(times['files']):.1f} | {statistics.median(times['rows']):.1f} | "
            f"{statistics.median(ratios):.1f} ({min(ratios):.1f} – {max(ratios):.1f}) | {making:.1f} |")


def kept(files: ImageInputs, home: Home) -> tuple[KeptInputs | None, float]:
    """Inputs from rows; None where none are kept; and what making a row took (nothing when an earlier line made it)."""
    began, work = time.process_time(), keep_pixels([files], 100, home)
    while True:
        try:
            next(work)
        except StopIteration as end:
            inputs = end.value[0]
            return inputs if isinstance(inputs, KeptInputs) else None, 1000 * (time.process_time() - began) / len(files.images)


def cost(inputs: ImageInputs) -> float:
    began = time.process_time()
    consume(inputs.batches(in_order(len(inputs.images), BATCH), 1))
    return 1000 * (time.process_time() - began) / len(inputs.images)


def consume(batches: Iterable[object]) -> None:
    for _ in batches:
        pass


if __name__ == "__main__":
    main()
