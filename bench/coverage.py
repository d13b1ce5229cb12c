"""How often the 95 % interval of each score holds the true value: simulated models whose true scores are known.

    python bench/coverage.py [--trials 1000] [--log coverage.json] [--only "two classes, weak" --only …]

A simulated model gives each photo probabilities drawn for its class, so the score on all such photos is known from a very large
sample. Small test sets are drawn, with the classes in their proportion, and each time it is looked whether the interval of
`metrics.report` holds that score. Of 1,000 intervals that hold it with 95 %, 936 to 963 do (95 % of such simulations).
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from transfer_core import metrics
from transfer_core.predictor import softmax

MANY = 200_000


@dataclass(frozen=True)
class World:
    """Photos of classes of different sizes, and a model of a certain skill on them."""

    name: str
    shares: tuple[float, ...]
    skill: float
    """How far the true class's logit is above the others, in standard deviations of the noise."""
    frames: int = 1
    """Photos of one thing: each is so many times among them, and answered alike."""

    def sizes(self, n: int) -> list[int]:
        return [self.frames * max(1, round(n * share / self.frames)) for share in self.shares]

    def draw(self, sizes: list[int], random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        labels = np.repeat(np.arange(len(sizes)), [size // self.frames for size in sizes])
        logits = random.normal(size=(len(labels), len(sizes)))
        logits[np.arange(len(labels)), labels] += self.skill * (1 - 0.4 * labels / len(sizes))  # some classes are harder
        return np.repeat(labels, self.frames), np.repeat(softmax(2 * logits), self.frames, axis=0)


WORLDS = (World("two classes, good", (0.5, 0.5), 2.5), World("two classes, weak", (0.7, 0.3), 0.8),
          World("five classes, good", (0.2,) * 5, 3.0), World("five unequal classes", (0.4, 0.3, 0.15, 0.1, 0.05), 2.0),
          World("five classes, each photo twice", (0.2,) * 5, 3.0, frames=2))
SIZES = (40, 100, 300)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=1000)
    parser.add_argument("--log", type=Path)
    parser.add_argument("--only", action="append", metavar="NAME", choices=[world.name for world in WORLDS])
    asked = parser.parse_args()
    found = []
    print(f"| simulated | photos | {' | '.join(metrics.SCORES)} |\n|---|---|{'---|' * len(metrics.SCORES)}")
    for world in WORLDS:
        if asked.only and world.name not in asked.only:
            continue
        truth = _report(world, world.sizes(MANY), np.random.default_rng(1))
        for n in SIZES:
            held = np.zeros(len(metrics.SCORES))
            random = np.random.default_rng(n)
            for _ in range(asked.trials):
                told = metrics.nested(_report(world, world.sizes(n), random))
                held += [told[name]["low"] <= truth[name] <= told[name]["high"] for name in metrics.SCORES]
            found.append({"world": world.name, "n": n, **dict(zip(metrics.SCORES, held / asked.trials, strict=True))})
            print(f"| {world.name} | {n} | {' | '.join(f'{100 * share:.1f} %' for share in held / asked.trials)} |", flush=True)
    if asked.log:
        asked.log.write_text(json.dumps(found, indent=1), "utf-8")


def _report(world: World, sizes: list[int], random: np.random.Generator) -> dict:
    labels, given = world.draw(sizes, random)
    if len(labels) < 10_000:
        return metrics.report(labels, given, list(map(str, range(len(sizes)))), {},
                              groups=np.arange(len(labels)) // world.frames)
    # Of so many only the values are needed, without their intervals.
    confusion = metrics.confusion_matrix(labels, given.argmax(1), len(sizes))
    support, predicted, right = confusion.sum(1), confusion.sum(0), np.diag(confusion)
    order = metrics.orders(labels, given)
    return {"accuracy": right.sum() / len(labels), "balanced_accuracy": metrics.balanced_accuracy(right, support),
            "macro_f1": metrics.macro_f1(right, predicted, support), "log_loss": metrics.log_loss(labels, given),
            "weighted_f1": metrics.weighted_f1(right, predicted, support), "auc": order[0], "average_precision": order[1]}


if __name__ == "__main__":
    main()
