"""Do our shortcuts change the scores? The same test photos, asked of trainings that differ in one thing.

    python bench/scores.py views ants_bees.zip sign_language_digits.zip   # stored views against fresh ones
    python bench/scores.py storage --freeze 5 --epochs 5 ants_bees.zip    # activations stored in two ways, and not at all

With as many stored views as epochs no epoch sees a view twice: that row is “fresh”, at the price the store saves. Rows are
compared photo by photo and seed by seed. The interval is a bootstrap over both, each dataset by itself: two trainings that differ
in a rounding only end a point apart, so few seeds say little, however many photos there are.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from common import difference, imported, stored_in_halves

from transfer_core import datasets
from transfer_core.events import Cached
from transfer_core.measured import predictions
from transfer_core.paths import Home
from transfer_core.recipe import Recipe
from transfer_core.training.evaluate import evaluate
from transfer_core.training.export.replay import open_run
from transfer_core.training.fit import choose_device, fit
from transfer_core.training.prefix.answers import StoredAnswers

MODEL = "tf_efficientnet_lite0.in1k"
Row = dict[str, object]
"""Recipe settings; or `cache` and `float16`, which are none."""


def studies(epochs: int) -> dict[str, dict[str, Row]]:
    """Study → its rows; all are compared with the last, and with the first."""
    light: Row = {"augmentation": "light"}
    stored: dict[str, Row] = {str(count): {**light, "stored_views": count} for count in (1, 2, 4, 8)}
    return {"views": {"none": {"augmentation": "none"}, **stored, "fresh": {**light, "stored_views": epochs}},
            "storage": {"float16": {"augmentation": "none", "float16": True}, "float32": {"augmentation": "none"},
                        "nothing stored": {"augmentation": "none", "cache": False}}}


Seen = dict[str, list[np.ndarray]]
"""Row → for each dataset, whether each test photo was right: seeds × photos."""


def main() -> None:
    asked = _asked()
    os.environ.setdefault("TRANSFER_STUDIO_CACHE_BYTES", str(60_000_000_000))  # nothing is to be removed between two rows
    rows = studies(asked.epochs)[asked.study]
    with tempfile.TemporaryDirectory() as place:
        home = Home(Path(place) / "home")
        manifests = [imported(zip_file, home) for zip_file in asked.zips]
        settings = {"epochs": asked.epochs, "freeze": asked.freeze if asked.freeze == "all" else int(asked.freeze)}
        seen, cost = measure(manifests, rows, home, Path(place), asked.seeds, settings)
    print(table(seen, cost, [manifest.dataset for manifest in manifests], asked))


def _asked() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study", choices=studies(1))
    parser.add_argument("zips", nargs="+", type=Path)
    parser.add_argument("--epochs", type=int, default=16)
    parser.add_argument("--freeze", default="all", help="layer groups that are frozen; “all” is head only")
    parser.add_argument("--seeds", type=int, default=5)
    return parser.parse_args()


def measure(manifests: Iterable[datasets.Manifest], rows: dict[str, Row], home: Home, folder: Path, seeds: int,
            settings: Row) -> tuple[Seen, dict[str, list[float]]]:
    """Answers of every row on every dataset, and the seconds its first run spent on the frozen layers."""
    seen: Seen = {row: [] for row in rows}
    cost: dict[str, list[float]] = {row: [] for row in rows}
    for manifest in manifests:
        for row, changes in rows.items():
            right, seconds = [], []
            for seed in range(seeds):
                given = {"model": MODEL, "patience": 0, **settings, **changes, "dataset": manifest.dataset, "seed": seed}
                took, out = _train(given, manifest, home, folder / f"{manifest.dataset}-{row}-{seed}")
                seconds.append(took)
                right.append(_right(out, manifest, home))
            cost[row].append(seconds[0])
            seen[row].append(np.stack(right))
            each = " ".join(f"{100 * one.mean():.1f}" for one in right)
            print(f"{time.strftime('%H:%M:%S')} {manifest.dataset} {row}: {each} % of {len(right[0])}, {cost[row][-1]:.0f} s",
                  flush=True)
    return seen, cost


def _train(given: Row, manifest: datasets.Manifest, home: Home, out: Path) -> tuple[float, Path]:
    cache, seconds = given.pop("cache", True), 0.0
    with stored_in_halves(bool(given.pop("float16", False))):
        for event in fit(Recipe(**given), manifest, home, out, cache=bool(cache)):
            seconds = event.seconds if isinstance(event, Cached) else seconds
    return seconds, out


def _right(out: Path, manifest: datasets.Manifest, home: Home) -> np.ndarray:
    run = open_run(out, home, "views")
    stored = StoredAnswers(out, run.model, home, choose_device("cpu"))
    for _ in evaluate(run.model, run.classes, run.how, manifest, "test", home, out, "cpu", stored):
        pass
    answers = predictions(out, "test")
    return np.array([answer["label"] == answer["predicted"] for answer in answers], float)


def table(seen: Seen, cost: dict[str, list[float]], names: list[str], asked: argparse.Namespace) -> str:
    first, last = next(iter(seen)), list(seen)[-1]
    lines = [f"**{asked.study}; frozen: {asked.freeze}; {asked.epochs} epochs, {asked.seeds} seeds, "
             f"{sum(each.shape[1] for each in seen[first])} test photos of {', '.join(names)}**", "",
             f"| row | right, mean over seeds | against {last}, points (95 %) | against {first} | frozen layers, more |",
             "|---|---|---|---|---|"]
    for row, right in seen.items():
        gaps = [difference(right, seen[other]) if row != other else None for other in (last, first)]
        told = [f"{100 * gap[0]:+.1f} ({100 * gap[1]:+.1f} to {100 * gap[2]:+.1f})" if gap else "" for gap in gaps]
        mean = 100 * np.concatenate([each.mean(0) for each in right]).mean()
        lines.append(f"| {row} | {mean:.1f} % | {told[0]} | {told[1]} | {sum(cost[row]):.0f} s |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
