"""What it costs and gains to share one training between two processes of one machine.

    python bench/ranks.py ../shared/data/ants_bees.zip [--rounds 3] [--steps 12] [--batch 16]

Two cores: one process with two threads against two processes with one each (and one process with one thread, for the scale), in
turns, for the default model with all of it trained and with its last stages. Prints one JSON object: seconds an optimiser step,
the median of all rounds and each round's; and processor seconds of the first process, which change less with what else the
machine does.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path
from statistics import median

from common import imported

from transfer_core.datasets.manifest import Manifest
from transfer_core.paths import Home
from transfer_core.recipe import Recipe
from transfer_core.training.fit import fit
from transfer_core.training.ranks.crew import Crew
from transfer_core.training.ranks.helping import help_with
from transfer_core.training.step import train_step

WAYS = {"one process, one thread": (1, 1), "one process, two threads": (1, 2), "two processes, one thread each": (2, 1)}
TRAINED = {"everything": 0, "last stages": 4}
FIRST = 2
"""Steps that do not count: threads and memory are made in them."""


class Timed:
    def __init__(self) -> None:
        self.ends: list[float] = []
        self.worked: list[float] = []

    def __call__(self, training, images, labels):
        parts = train_step(training, images, labels)
        self.ends.append(time.perf_counter())
        self.worked.append(time.process_time())
        return parts


def recipe_of(dataset: str, trained: str, batch: int) -> Recipe:
    return Recipe(dataset=dataset, freeze=TRAINED[trained], batch_size=batch, epochs=50, augmentation="none", patience=0)


def measure(home: Home, recipe: Recipe, processes: int, steps: int) -> tuple[float, float]:
    """Seconds a step, the median of so many, and processor seconds."""
    manifest, timed = Manifest.read(home, recipe.dataset, 1), Timed()
    with tempfile.TemporaryDirectory() as folder:
        out, helpers = Path(folder) / "run", []

        def hire(_count: int) -> None:
            helpers.append(subprocess.Popen(
                [sys.executable, __file__, "--help-with", folder, str(home.root), recipe.model_dump_json()]))

        crew = Crew(Path(folder) / "ranks", "127.0.0.1", 1, hire, lambda: 1) if processes > 1 else None
        with closing(fit(recipe, manifest, home, out, device="cpu", step=timed, crew=crew)) as events:
            for _ in events:
                if len(timed.ends) > steps + FIRST:
                    break
        for helper in helpers:
            helper.wait(60)
    return _between(timed.ends), _between(timed.worked)


def _between(moments: list[float]) -> float:
    return median(after - before for before, after in zip(moments[FIRST:], moments[FIRST + 1:], strict=False))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("photos", type=Path, nargs="?")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--help-with", nargs=3)
    parser.add_argument("--measure", nargs=3, help="home, recipe, processes: one measurement, in a process of its own")
    given = parser.parse_args()
    if given.help_with:
        folder, home, recipe = given.help_with
        recipe, home = Recipe(**json.loads(recipe)), Home(Path(home))
        for _ in help_with(recipe, Manifest.read(home, recipe.dataset, 1), home, Path(folder) / "run", Path(folder) / "ranks",
                           "127.0.0.1", lambda: True, device="cpu"):
            pass
        return
    if given.measure:
        home, recipe, processes = given.measure
        print(*measure(Home(Path(home)), Recipe(**json.loads(recipe)), int(processes), given.steps))
        return
    with tempfile.TemporaryDirectory() as folder:
        home = Home(Path(folder))
        dataset = imported(given.photos, home).dataset
        found = {trained: {way: [] for way in WAYS} for trained in TRAINED}
        for _ in range(given.rounds):
            for trained in TRAINED:
                recipe = recipe_of(dataset, trained, given.batch).model_dump_json()
                for way, (processes, threads) in WAYS.items():
                    environment = os.environ | {"OMP_NUM_THREADS": str(threads), "OMP_WAIT_POLICY": "PASSIVE"}
                    said = subprocess.run(
                        [sys.executable, __file__, "--steps", str(given.steps), "--measure", folder, recipe, str(processes)],
                        env=environment, stdout=subprocess.PIPE, text=True, check=True)
                    found[trained][way].append(tuple(map(float, said.stdout.split()[-2:])))
                    print(trained, way, found[trained][way][-1], file=sys.stderr)
    print(json.dumps({"batch": given.batch, "a step": {trained: {way: {
        "seconds": round(median(wall for wall, _ in times), 2), "of the processor": round(median(busy for _, busy in times), 2),
        "each": [[round(number, 2) for number in pair] for pair in times]} for way, times in ways.items()}
        for trained, ways in found.items()}}, indent=1))


if __name__ == "__main__":
    main()
