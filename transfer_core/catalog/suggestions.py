"""The few models we recommend, each for one purpose: one block a model in `assets/models/suggested.toml`."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass

from transfer_core.catalog.models import ModelInfo, model
from transfer_core.paths import assets


@dataclass(frozen=True)
class Suggestion:
    """A model we recommend, and what for. Texts: `catalog.roles.<role>.title` and `.text`."""

    role: str
    model: ModelInfo
    top1: float | None
    """Published ImageNet-1k top-1 in percent; None for a model that was never scored so."""
    top1_size: int | None
    """Pixels at which that was measured."""
    source: str


def suggested() -> list[Suggestion]:
    """The models of `assets/models/suggested.toml`, in its order."""
    blocks = tomllib.loads((assets() / "models" / "suggested.toml").read_text("utf-8"))
    return [Suggestion(role, model(block["model"]), block.get("top1"), block.get("top1_size"), block["source"])
            for role, block in blocks.items()]
