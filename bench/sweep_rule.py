"""Which λ should a sweep recommend? Rules that see validation photos only, judged on test photos.

    python bench/sweep_rule.py --log rule.jsonl --known ants_bees.zip pets_labelled_120.zip -- clothing_10.zip digits_mnist.zip
    python bench/sweep_rule.py --log rule.jsonl --table

For every dataset, number of photos and seed the product's own grid of λ is trained, a sweep of one repeat each; photos, settings
and the log are those of `terms.py`. Rules: the λ that names most validation photos right; the one that keeps most within the
standard error of that one's score; and the product's, within the standard error of the difference, photo by photo. A rule's price
is what its λ names less on test photos than that of the first rule, its gain what it keeps more. Intervals resample sweeps.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from common import imported
from terms import SIZES, Study, Trial, read_log

from transfer_core.events import Swept
from transfer_core.paths import Home
from transfer_core.recipe import Recipe
from transfer_core.sweeping import Tried, choose, grid, tried

TERMS = ("lwf", "features", "ewc", "l2_sp", "l1_sp")
RESAMPLED = 5000
Rule = Callable[[Sequence[Tried]], Tried]


def by_scores(known: Sequence[Tried]) -> Tried:
    return choose([replace(each, right=None) for each in known])[0]


RULES: dict[str, Rule] = {
    "most right": lambda known: max(known, key=lambda each: (each.accuracy, each.kept or 0.0)),
    "within a score's error": by_scores,
    "within the difference's error": lambda known: choose(known)[0],
}


def main() -> None:
    asked = _asked()
    if not asked.table:
        os.environ.setdefault("TRANSFER_STUDIO_CACHE_BYTES", str(60_000_000_000))
        with tempfile.TemporaryDirectory() as place:
            _train(asked, Home(Path(asked.home or Path(place) / "home")))
    print(table(read_log(asked.log)))


def _asked() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("zips", nargs="*", type=Path)
    parser.add_argument("--log", type=Path, required=True)
    parser.add_argument("--known", nargs="+", type=Path, default=[], help="labelled photos ImageNet has classes for")
    parser.add_argument("--table", action="store_true", help="only the table of what is in the log")
    parser.add_argument("--home", type=Path, help="where activations stay from one call to the next")
    parser.add_argument("--freeze", type=int, default=7, help="layer groups that are frozen")
    parser.add_argument("--size", type=int, default=128, help="pixels")
    parser.add_argument("--seeds", type=int, default=4)
    return parser.parse_args()


def _train(asked: argparse.Namespace, home: Home) -> None:
    known = [image for photos in asked.known for image in imported(photos, home).images]
    manifests = {photos.stem: imported(photos, home) for photos in asked.zips}
    study = Study(home, known, manifests, asked.log, asked.freeze, asked.size)
    for seed in range(asked.seeds):  # seed by seed, so that what is broken off is a whole study with fewer seeds
        for dataset in manifests:
            for each in SIZES:
                study.every(Trial("rule", dataset, term, value, each, seed) for term in TERMS
                            for value in grid(Recipe(dataset="none", freeze=asked.freeze, **study.terms[term])))


def sweeps(rows: Sequence[dict]) -> dict[tuple, list[dict]]:
    """Rows of one sweep each; those that are not whole are left out."""
    found: dict[tuple, list[dict]] = {}
    for row in rows:
        if row["stage"] == "rule":
            found.setdefault((row["dataset"], row["term"], row["each"], row["seed"]), []).append(row)
    most = {term: max(len(own) for key, own in found.items() if key[1] == term) for term in {key[1] for key in found}}
    return {key: own for key, own in found.items() if len(own) == most[key[1]]}


def taken(rows: Sequence[dict], rule: Rule) -> dict:
    """The row whose λ a rule takes."""
    points = [Swept(value=row["value"], seed=row["seed"], turn=0, accuracy=row["validation"], low=0, high=1, n=row["validated"],
                    kept=row["kept_here"], right=row["named"], run="") for row in rows]
    value = rule(tried(points)).value
    return next(row for row in rows if row["value"] == value)


def table(rows: Sequence[dict]) -> str:
    found = sweeps(rows)
    datasets, sizes, seeds = (sorted({key[place] for key in found}) for place in (0, 2, 3))
    what = f"{', '.join(datasets)}; {', '.join(map(str, sizes))} photos a class; {len(seeds)} seeds"
    lines = [f"**{len(found)} sweeps: {what}**", "",
             "| term | rule | right on test photos | price, points (95 %) | dearest sweep | keeps more, points (95 %) |",
             "|---|---|---|---|---|---|"]
    for term in ("all", *(term for term in TERMS if any(key[1] == term for key in found))):
        own = [each for key, each in found.items() if term in ("all", key[1])]
        first = [taken(each, RULES["most right"]) for each in own]
        for name, rule in RULES.items():
            chosen = [taken(each, rule) for each in own]
            price, gain = (np.array([100 * (a[field] - b[field]) for a, b in zip(*pair, strict=True)])
                           for field, pair in (("accuracy", (first, chosen)), ("agreement", (chosen, first))))
            mean = 100 * np.mean([each["accuracy"] for each in chosen])
            lines.append(f"| {term} | {name} | {mean:.1f} % | {_told(price)} | {price.max():.1f} | {_told(gain)} |")
    return "\n".join(lines)


def _told(values: np.ndarray) -> str:
    drawn = np.random.default_rng(0).choice(values, (RESAMPLED, len(values))).mean(1)
    low, high = np.percentile(drawn, [2.5, 97.5])
    return f"{values.mean():+.1f} ({low:+.1f} to {high:+.1f})"


if __name__ == "__main__":
    main()
