"""Do stored activations give the same training? Every family that can be cut, random weights, the loss of every single step.

    python bench/exactness.py                   # every family, 54 steps each way; writes docs/exactness.md
    python bench/exactness.py vgg densenet      # those only, no table
    python bench/exactness.py --log rows.jsonl  # what the log holds is not trained again; several processes may share one

The first half of a model's layer groups is frozen, and the rest trained from the same start and seed on 32 drawn pictures of 96
pixels (of the model's own size where it takes no other), in float32 and without augmentation: once on what the frozen half said
(with the engine the studio chooses), once on the same in float16, as it is kept of very many photos, and once the plain way.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import timm
import torch
from common import imported, stored_in_halves
from cut_families import LARGEST, each

from transfer_core import catalog, datasets
from transfer_core.events import Cached, Note
from transfer_core.examples import make_example
from transfer_core.paths import Home
from transfer_core.recipe import Recipe
from transfer_core.training.fit import fit
from transfer_core.training.models import build
from transfer_core.training.step import train_step

TABLE = Path(__file__).resolve().parents[1] / "docs" / "exactness.md"
EPOCHS, BATCH, PICTURES = 9, 4, 32
SIZES = (96, None)
"""Pixels; tried in this order, None is the model's own."""
ALLOWED, RUNAWAY = 1e-5, 3.0
SMALL = 1e-3
"""A loss smaller than this part of the first one counts as so large: of next to nothing everything is a large part."""


@dataclass
class Found:
    family: str
    model: str
    boundary: str = ""
    engine: str = ""
    pixels: int = 0
    steps: int = 0
    largest: float | None = None
    """Of the loss of a step, relative."""
    half: float | None = None
    """The same with float16."""
    highest: float | None = None
    """The highest loss of the plain way. From random weights some trainings run away, and rounding with them."""
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
                    patience=0, precision="float32", image_size=next(size for size in SIZES if takes(name, size, home)))
    found.pixels = recipe.image_size or info.image_size
    losses: dict[str, list[float]] = {"stored": [], "half": [], "plain": []}
    for way, seen in losses.items():
        def noted(*given, seen=seen):
            parts = train_step(*given)
            seen.append(float(parts.total.detach()))
            return parts

        # A place of its own each time: weights, checkpoints and what was stored would fill a disk with a hundred families.
        with stored_in_halves(way == "half"), tempfile.TemporaryDirectory(dir=folder) as out:
            for event in fit(recipe, manifest, home, out, device=device, cache=way != "plain", step=noted):
                if isinstance(event, Cached):
                    found.boundary, found.engine = event.boundary, event.engine
                    assert (event.dtype == "float16") == (way == "half")
                elif way != "plain" and isinstance(event, Note) and event.message.key.startswith("fit.cache."):
                    found.reasons.append(event.message.key.removeprefix("fit.cache."))
                    return found
    found.steps, found.last, found.highest = len(losses["plain"]), losses["plain"][-1], max(losses["plain"])
    found.largest, found.half = (_apart(losses[way], losses["plain"]) for way in ("stored", "half"))
    return found


def takes(name: str, size: int | None, home: Home) -> bool:
    """Whether the model can be built for pictures of this size, and run on one."""
    if size is None:
        return True
    try:
        model = build(Recipe(dataset="-", model=name, weights="scratch", image_size=size), 2, home).model.eval()
        with torch.inference_mode():
            model(torch.zeros(1, 3, size, size))
    except Exception:  # noqa: BLE001 — whatever it says, it does not
        return False
    return True


def _apart(one: list[float], other: list[float]) -> float:
    least = SMALL * abs(other[0])
    return max(abs(a - b) / max(abs(b), least) for a, b in zip(one, other, strict=True))


def drawn(home: Home, folder: Path) -> datasets.Manifest:
    for _ in make_example("leaves", folder / "leaves", images_per_class=PICTURES // 4):
        pass
    return imported(folder / "leaves", home)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("families", nargs="*")
    parser.add_argument("--log", type=Path)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        home = Home(folder / "home")
        manifest = drawn(home, folder)
        rows = each(partial(logged, manifest, home, folder, asked.log), Found, asked.families)
    if not asked.families:
        TABLE.write_text(table(rows), "utf-8")


def logged(manifest: datasets.Manifest, home: Home, folder: Path, log: Path | None, family: str, name: str) -> Found:
    for line in log.read_text().splitlines() if log and log.is_file() else ():
        if (known := Found(**json.loads(line))).family == family:
            return known
    found = compare(family, name, manifest, home, folder)
    if log:
        with log.open("a") as file:
            file.write(json.dumps(asdict(found)) + "\n")
    return found


def table(rows: list[Found]) -> str:
    compared = [row for row in rows if row.largest is not None]
    same, close = sum(row.largest == 0 for row in compared), sum(row.largest <= ALLOWED for row in compared)
    wild = [row.family for row in compared if row.highest and row.highest > RUNAWAY]
    tame = [row.half for row in compared if row.family not in wild]
    lines = [
        "# Stored activations give the same training", "",
        f"Written by `python bench/exactness.py` with timm {timm.__version__} and torch {torch.__version__.split('+')[0]}. Of "
        f"{len(compared)} families that were trained both ways, the loss of every step was the same bit for bit in {same} and "
        f"within {ALLOWED:.0e} of itself in {close}. With float16 the largest difference was {max(tame, default=0.0):.0e}, "
        f"{statistics.median(tame or [0.0]):.0e} in the middle of the families; that leaves out "
        f"{', '.join(wild) or 'none'}, whose losses run away from random weights (above {RUNAWAY:g}), and every rounding with "
        "them.",
        "",
        "| family | smallest model | pixels | trained from | engine | steps | largest difference | in float16 | last loss | "
        "why not |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    lines += [f"| {row.family} | {row.model} | {row.pixels or ''} | {row.boundary} | {row.engine} | {row.steps or ''} | "
              f"{'' if row.largest is None else f'{row.largest:.0e}'} | {'' if row.half is None else f'{row.half:.0e}'} | "
              f"{f'{row.last:.4f}' if row.steps else ''} | "
              f"{'; '.join(row.reasons).replace('|', '/')} |" for row in rows]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
