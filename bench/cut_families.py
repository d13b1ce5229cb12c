"""Which timm models can be cut into a frozen prefix and a suffix: the smallest member of every family, random weights.

    python bench/cut_families.py            # every family; writes docs/cut-families.md
    python bench/cut_families.py vgg swin_transformer

Each is cut after its first, its middle and its last layer group, and the cut is taken when logits through it are those of the
whole model (float32, two images, training mode). Beside it stands whether torch.export can capture the model at all.
"""

from __future__ import annotations

import logging
import os
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

os.environ.setdefault("OMP_NUM_THREADS", "1")

import timm
import torch
from torch import nn

from transfer_core import catalog
from transfer_core.recipe import Recipe
from transfer_core.training.freezing import climb, freeze
from transfer_core.training.layers import is_whole, layer_groups
from transfer_core.training.models import classifiers
from transfer_core.training.prefix.cut import CannotCut, cut, difference

TABLE = Path(__file__).resolve().parents[1] / "docs" / "cut-families.md"
EXACT = 1e-5
LARGEST = 150_000_000
Row = TypeVar("Row")


@dataclass
class Found:
    family: str
    model: str
    groups: int = 0
    tried: int = 0
    worked: int = 0
    largest: float = 0.0
    reasons: list[str] = field(default_factory=list)
    export: str = ""


def smallest() -> dict[str, str]:
    """timm's module → its pretrained classifier with the least compute."""
    found: dict[str, tuple[float, str]] = {}
    for info in catalog.models():
        if not timm.is_model(info.architecture) or info.architecture.startswith("test_"):
            continue
        family = timm.model_entrypoint(info.architecture).__module__.rpartition(".")[2]
        found[family] = min(found.get(family, (float("inf"), "")), (info.gmacs, info.architecture))
    return {family: name for family, (_, name) in sorted(found.items())}


def survey(family: str, name: str) -> Found:
    found = Found(family, name)
    if catalog.model(name).parameters > LARGEST:
        found.reasons.append(f"not tried: {catalog.model(name).parameters / 1e6:.0f} M weights")
        return found
    model = timm.create_model(name, num_classes=10)
    groups, size = layer_groups(model), tuple(model.pretrained_cfg["input_size"][1:])
    found.groups = len(groups)
    if not classifiers(model) or is_whole(groups):
        found.reasons.append("one layer group")
    torch.manual_seed(0)
    images = torch.randn(2, 3, *size)
    for first in sorted({1, max(1, len(groups) // 2), len(groups)}):
        ladder = climb(Recipe(dataset="none", model=name, freeze=first), model, groups, 100)
        freeze(model, ladder)
        found.tried += 1
        try:
            wrong = difference(model, cut(model, ladder, size), images, lambda tensors: tensors)
        except (CannotCut, RuntimeError) as error:
            found.reasons.append(f"{first}/{len(groups)}: {' '.join(str(error).split())[:90]}")
            continue
        found.largest = max(found.largest, wrong)
        if wrong <= EXACT:
            found.worked += 1
        else:
            found.reasons.append(f"{first}/{len(groups)}: differs by {wrong:.0e}")
    found.export = exports(model, images)
    return found


def exports(model: nn.Module, images: torch.Tensor) -> str:
    try:
        torch.export.export(nn.Module.train(model, mode=False), (images,))
    except Exception as error:  # noqa: BLE001 — any failure is the answer
        return f"no ({type(error).__name__})"
    return "yes"


def each(look: Callable[[str, str], Row], failed: Callable[..., Row], wanted: Sequence[str] = ()) -> list[Row]:
    """Look at every family, or at those `wanted`. One that fails is a row that says why."""
    warnings.simplefilter("ignore")
    logging.disable(logging.ERROR)
    rows = []
    for family, name in smallest().items():
        if wanted and family not in wanted:
            continue
        began = time.monotonic()
        try:
            rows.append(look(family, name))
        except Exception as error:  # noqa: BLE001 — the table says so
            rows.append(failed(family, name, reasons=[f"{type(error).__name__}: {' '.join(str(error).split())[:90]}"]))
        print(rows[-1], f"{time.monotonic() - began:.1f} s", flush=True)
    return rows


def main() -> None:
    rows = each(survey, Found, sys.argv[1:])
    if not sys.argv[1:]:
        TABLE.write_text(table(rows), "utf-8")


def table(rows: list[Found]) -> str:
    whole = sum(row.tried > 0 and row.worked == row.tried for row in rows)
    lines = [
        "# Which families can be cut", "",
        f"Written by `python bench/cut_families.py` with timm {timm.__version__} and torch {torch.__version__.split('+')[0]}. "
        f"Of {len(rows)} families, {whole} can be cut wherever it was tried. Where a model cannot, the training goes the long "
        "way and says so.", "",
        "| family | smallest model | layer groups | cuts that work | largest difference | torch.export | why not |",
        "|---|---|---|---|---|---|---|",
    ]
    lines += [f"| {row.family} | {row.model} | {row.groups} | {row.worked} of {row.tried} | {row.largest:.0e} | {row.export} | "
              f"{'; '.join(row.reasons).replace('|', '/')} |" for row in rows]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
