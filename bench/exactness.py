"""Do stored activations give the same training? Every family that can be cut, random weights, the loss of every single step.

    python bench/exactness.py                   # every family, 54 steps each way; writes docs/exactness.md
    python bench/exactness.py vgg densenet

The first half of a model's layer groups is frozen, and the rest trained twice from the same start and seed on 32 drawn pictures,
in float32 and without augmentation: once on what the frozen half said (with the engine the studio chooses), once the plain way.
"""

from __future__ import annotations

import os
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import timm
import torch
from cut_families import LARGEST, each

from transfer_core import catalog, datasets
from transfer_core.events import Cached, Imported, Note
from transfer_core.examples import make_example
from transfer_core.paths import Home
from transfer_core.recipe import Recipe
from transfer_core.store import Store
from transfer_core.training.fit import fit
from transfer_core.training.loop import train_step

TABLE = Path(__file__).resolve().parents[1] / "docs" / "exactness.md"
EPOCHS, BATCH, PICTURES = 9, 4, 32
ALLOWED = 1e-5


@dataclass
class Found:
    family: str
    model: str
    boundary: str = ""
    engine: str = ""
    steps: int = 0
    largest: float | None = None
    """Of the loss of a step, relative."""
    last: float = 0.0
    """The loss of the last step, the plain way: to show that something was learned."""
    reasons: list[str] = field(default_factory=list)


def compare(family: str, name: str, manifest: datasets.Manifest, home: Home, folder: Path,
            device: str = "cpu") -> Found:
    found, info = Found(family, name), catalog.model(name)
    if info.parameters > LARGEST:
        found.reasons.append(f"not tried: {info.parameters / 1e6:.0f} M weights")
        return found
    recipe = Recipe(dataset=manifest.dataset, model=name, weights="scratch", freeze=max(1, len(info.groups) // 2), epochs=EPOCHS,
                    batch_size=BATCH, augmentation="none", flip=False, regularizer=None, learning_rate=1e-4, backbone_factor=1.0,
                    patience=0, precision="float32")
    stored, plain = [], []
    for losses, cache in ((stored, True), (plain, False)):
        def noted(*given, losses=losses):
            parts = train_step(*given)
            losses.append(float(parts.total.detach()))
            return parts

        for event in fit(recipe, manifest, home, folder / f"{family} {cache}", device=device, cache=cache, step=noted):
            if isinstance(event, Cached):
                found.boundary, found.engine = event.boundary, event.engine
            elif cache and isinstance(event, Note) and event.message.key.startswith("fit.cache."):
                found.reasons.append(event.message.key.removeprefix("fit.cache."))
                return found
    found.steps, found.last = len(plain), plain[-1]
    found.largest = max(abs(one - other) / max(abs(other), 1e-12) for one, other in zip(stored, plain, strict=True))
    return found


def drawn(home: Home, folder: Path) -> datasets.Manifest:
    for _ in make_example("leaves", folder / "leaves", images_per_class=PICTURES // 4):
        pass
    made = None
    for event in datasets.import_dataset(folder / "leaves", "leaves", Store(home)):
        made = event if isinstance(event, Imported) else made
    return datasets.Manifest.read(home, made.dataset, made.version)


def main() -> None:
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        home = Home(folder / "home")
        manifest = drawn(home, folder)
        rows = each(lambda family, name: compare(family, name, manifest, home, folder), Found)
    if not sys.argv[1:]:
        TABLE.write_text(table(rows), "utf-8")


def table(rows: list[Found]) -> str:
    compared = [row for row in rows if row.largest is not None]
    same, close = sum(row.largest == 0 for row in compared), sum(row.largest <= ALLOWED for row in compared)
    lines = [
        "# Stored activations give the same training", "",
        f"Written by `python bench/exactness.py` with timm {timm.__version__} and torch {torch.__version__.split('+')[0]}. Of "
        f"{len(compared)} families that were trained both ways, the loss of every step was the same bit for bit in {same} and "
        f"within {ALLOWED:.0e} of itself in {close}.", "",
        "| family | smallest model | trained from | engine | steps | largest difference | last loss | why not |",
        "|---|---|---|---|---|---|---|---|",
    ]
    lines += [f"| {row.family} | {row.model} | {row.boundary} | {row.engine} | {row.steps or ''} | "
              f"{'' if row.largest is None else f'{row.largest:.0e}'} | {f'{row.last:.4f}' if row.steps else ''} | "
              f"{'; '.join(row.reasons).replace('|', '/')} |" for row in rows]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
