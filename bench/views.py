"""What do stored views cost, and what do they give? Against none, and against views that are fresh in every epoch.

    python bench/views.py ants_bees.zip sign_language_digits.zip          # head only; prints a table
    python bench/views.py --freeze 5 --seeds 3 ants_bees.zip

With as many stored views as epochs no epoch sees a view twice: that row is “fresh”, at the price the store saves. Test photos
are the same for all rows, so rows are compared photo by photo: the mean difference over seeds, its interval by a bootstrap over
photos, each dataset resampled by itself.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

os.environ.setdefault("TRANSFER_STUDIO_CACHE_BYTES", str(60_000_000_000))

import numpy as np

from transfer_core import datasets
from transfer_core.events import Cached, Imported
from transfer_core.paths import Home
from transfer_core.recipe import Recipe
from transfer_core.store import Store
from transfer_core.training.evaluate import evaluate, predictions_file
from transfer_core.training.fit import choose_device, fit
from transfer_core.training.prefix.answers import StoredAnswers
from transfer_core.training.replay import open_run

EPOCHS = 16
MODEL = "tf_efficientnet_lite0.in1k"
ROWS: dict[str, dict[str, object]] = {
    "none": {"augmentation": "none"},
    **{str(views): {"augmentation": "light", "stored_views": views} for views in (1, 2, 4, 8)},
    "fresh": {"augmentation": "light", "stored_views": EPOCHS},
}
RESAMPLED = 5000
Seen = dict[str, list[np.ndarray]]
"""Row → for each dataset, how often each test photo was right, over the seeds."""


def main() -> None:
    asked = _asked()
    with tempfile.TemporaryDirectory() as place:
        home = Home(Path(place) / "home")
        manifests = [imported(zip_file, home) for zip_file in asked.zips]
        seen, cost = measure(manifests, home, Path(place), asked.freeze, asked.seeds)
    print(table(seen, cost, [manifest.dataset for manifest in manifests], asked))


def _asked() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("zips", nargs="+", type=Path)
    parser.add_argument("--freeze", default="all", help="layer groups that are frozen; “all” is head only")
    parser.add_argument("--seeds", type=int, default=5)
    return parser.parse_args()


def imported(file: Path, home: Home) -> datasets.Manifest:
    made = None
    for event in datasets.import_dataset(file, file.stem, Store(home)):
        made = event if isinstance(event, Imported) else made
    return datasets.Manifest.read(home, made.dataset, made.version)


def measure(manifests: Iterable[datasets.Manifest], home: Home, folder: Path, freeze: str, seeds: int,
            **settings: object) -> tuple[Seen, dict[str, list[float]]]:
    """Answers of every row on every dataset, and the seconds its first run spent on the frozen layers."""
    seen: Seen = {row: [] for row in ROWS}
    cost: dict[str, list[float]] = {row: [] for row in ROWS}
    for manifest in manifests:
        for row, views in ROWS.items():
            right: list[np.ndarray] = []
            for seed in range(seeds):
                recipe = Recipe(**{"dataset": manifest.dataset, "model": MODEL, "epochs": EPOCHS, "seed": seed, "patience": 0,
                                   "freeze": freeze if freeze == "all" else int(freeze), **views, **settings})
                out = folder / f"{manifest.dataset}-{row}-{seed}"
                seconds = 0.0
                for event in fit(recipe, manifest, home, out):
                    seconds = event.seconds if isinstance(event, Cached) else seconds
                if seed == 0:
                    cost[row].append(seconds)
                right.append(_right(out, manifest, home))
            seen[row].append(np.mean(right, axis=0))
            print(f"{time.strftime('%H:%M:%S')} {manifest.dataset} {row}: {100 * seen[row][-1].mean():.1f} % of "
                  f"{len(seen[row][-1])}, {cost[row][-1]:.0f} s", flush=True)
    return seen, cost


def _right(out: Path, manifest: datasets.Manifest, home: Home) -> np.ndarray:
    run = open_run(out, home, "views")
    stored = StoredAnswers(out, run.model, home, choose_device("cpu"))
    for _ in evaluate(run.model, run.classes, run.how, manifest, "test", home, out, "cpu", stored):
        pass
    answers = [json.loads(line) for line in predictions_file(out, "test").read_text().splitlines()]
    return np.array([answer["label"] == answer["predicted"] for answer in answers], float)


def difference(one: list[np.ndarray], other: list[np.ndarray]) -> tuple[float, float, float]:
    """Mean over all photos of one − other, and its 95 % interval."""
    gaps, chance = [a - b for a, b in zip(one, other, strict=True)], np.random.default_rng(0)
    n = sum(map(len, gaps))
    means = [sum(chance.choice(gap, len(gap)).sum() for gap in gaps) / n for _ in range(RESAMPLED)]
    return sum(gap.sum() for gap in gaps) / n, *np.quantile(means, (0.025, 0.975))


def table(seen: Seen, cost: dict[str, list[float]], names: list[str], asked: argparse.Namespace) -> str:
    lines = [f"**frozen: {asked.freeze}; {EPOCHS} epochs, {asked.seeds} seeds, "
             f"{sum(map(len, seen['none']))} test photos of {', '.join(names)}**", "",
             "| views | right, mean over seeds | against fresh, percentage points (95 %) | against none | frozen layers, more |",
             "|---|---|---|---|---|"]
    for row, right in seen.items():
        share = 100 * np.concatenate(right).mean()
        gaps = [difference(right, seen[other]) if row != other else None for other in ("fresh", "none")]
        told = [f"{100 * gap[0]:+.1f} ({100 * gap[1]:+.1f} to {100 * gap[2]:+.1f})" if gap else "" for gap in gaps]
        lines.append(f"| {row} | {share:.1f} % | {told[0]} | {told[1]} | {sum(cost[row]):.0f} s |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
