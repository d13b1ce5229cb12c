"""What does the store save at each rung of the freeze ladder? The same training with it, a second time, and without it.

    python bench/boundaries.py ants_bees.zip            # every rung, 5 epochs, 2 repeats; prints a table

The ways take turns in one process, in a new order in every repeat; “stored, nothing there” starts with an empty cache each time.
Seconds run from the recipe to the last epoch: decoding, export, frozen layers, training, validation.
"""

from __future__ import annotations

import argparse
import random
import shutil
import statistics
import tempfile
import time
from collections import defaultdict
from pathlib import Path

from common import imported

from transfer_core import catalog, datasets
from transfer_core.events import Cached
from transfer_core.paths import Home
from transfer_core.recipe import Recipe
from transfer_core.training.fit import fit

WAYS = ("stored, nothing there", "stored, a second run", "not stored")
Times = dict[tuple[int, str], list[float]]


def main() -> None:
    asked = _asked()
    groups = len(catalog.model(asked.model).groups)
    with tempfile.TemporaryDirectory() as place:
        home = Home(Path(place) / "home")
        manifest = imported(asked.zip, home)
        times, shares = measure(manifest, home, Path(place), asked, groups)
    print(table(times, shares, groups, manifest, asked))


def _asked() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("zip", type=Path)
    parser.add_argument("--model", default="tf_efficientnet_lite0.in1k")
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--repeats", type=int, default=2)
    return parser.parse_args()


def measure(manifest: datasets.Manifest, home: Home, folder: Path, asked: argparse.Namespace, groups: int,
            **settings: object) -> tuple[Times, dict[int, float]]:
    """Seconds of each (frozen groups, way), and each rung's share of the arithmetic that is frozen."""
    times: Times = defaultdict(list)
    shares: dict[int, float] = {}
    for repeat in range(asked.repeats):
        rungs = list(range(groups + 1))
        random.Random(repeat).shuffle(rungs)
        for frozen in rungs:
            for way in (WAYS if (repeat + frozen) % 2 else (WAYS[2], *WAYS[:2])):  # a second run comes after a first one
                seconds, share = _once(manifest, home, folder, asked, frozen, way, settings)
                times[frozen, way].append(seconds)
                shares[frozen] = share if share is not None else shares.get(frozen, 0.0)
                print(f"{time.strftime('%H:%M:%S')} {frozen} of {groups} frozen, {way}: {seconds:.1f} s", flush=True)
    return times, shares


def _once(manifest: datasets.Manifest, home: Home, folder: Path, asked: argparse.Namespace, frozen: int,
          way: str, settings: dict[str, object]) -> tuple[float, float | None]:
    if way == WAYS[0]:
        shutil.rmtree(home.cache, ignore_errors=True)
    recipe = Recipe(**{"dataset": manifest.dataset, "model": asked.model, "freeze": frozen, "epochs": asked.epochs,
                       "augmentation": "none", "patience": 0, **settings})
    share, began = None, time.perf_counter()
    for event in fit(recipe, manifest, home, folder / "run", cache=way != WAYS[2]):
        share = event.share if isinstance(event, Cached) else share
    return time.perf_counter() - began, share


def table(times: Times, shares: dict[int, float], groups: int, manifest: datasets.Manifest, asked: argparse.Namespace) -> str:
    images = " + ".join(str(len(manifest.of(split))) for split in ("train", "validation"))
    lines = [f"**{asked.model}, {images} photos of {manifest.dataset}, {asked.epochs} epochs, {asked.repeats} repeats**", "",
             "| frozen groups | of the arithmetic | not stored, s | stored, s | times faster | a second run, s | times faster |",
             "|---|---|---|---|---|---|---|"]
    for frozen in range(groups + 1):
        first, again, plain = (times[frozen, way] for way in WAYS)
        lines.append(f"| {frozen} of {groups} | {shares.get(frozen, 0.0):.0%} | {_range(plain)} | {_range(first)} | "
                     f"{_range([b / a for a, b in zip(first, plain, strict=True)])} | {_range(again)} | "
                     f"{_range([b / a for a, b in zip(again, plain, strict=True)])} |")
    return "\n".join(lines)


def _range(values: list[float]) -> str:
    middle = f"{statistics.median(values):.1f}"
    return middle if len(values) == 1 else f"{middle} ({min(values):.1f} – {max(values):.1f})"


if __name__ == "__main__":
    main()
