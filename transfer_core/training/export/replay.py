"""A trained run as its folder tells it, and how an exported file is compared with what was measured."""

from __future__ import annotations

import json
from collections.abc import Callable, Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from timm.layers import set_layer_config
from torch import nn

from transfer_core.errors import TrainingFailed
from transfer_core.events import Event, Progressed
from transfer_core.images import Preprocessing
from transfer_core.measured import predictions
from transfer_core.paths import Home
from transfer_core.training.models import load_run

MOST = 400
"""Images a file is replayed on, unless a run says otherwise: some ten seconds a file."""
TOLERANCE = 1e-3
"""Largest difference of a probability at which a file still counts as the model that was measured. float32 in another
order of additions gives about 1e-5; a wrong crop or class order gives 0.1 and more."""
RECORDS = "exports.json"
Rows = list[dict[str, Any]]


@dataclass(frozen=True)
class Run:
    """A trained run's folder, read."""

    folder: Path
    home: Home
    name: str
    model: nn.Module
    classes: list[str]
    how: Preprocessing
    recipe: dict[str, Any]
    report: dict[str, Any]
    averaged: dict[str, Any] | None = None
    """What its weights are an average of, where they were not trained (see `events.Averaged`)."""
    most: int = MOST

    @property
    def rows(self) -> Rows:
        """Measured predictions to replay, evenly spread: of the test split, else of validation."""
        rows = predictions(self.folder, "test") or predictions(self.folder, "validation")
        places = np.linspace(0, len(rows) - 1, min(self.most, len(rows))).round().astype(int)
        return [rows[place] for place in places]


@dataclass(frozen=True)
class Replay:
    replayed: int = 0
    same: int = 0
    largest_difference: float = 0.0
    right: int | None = None
    """Images named rightly by this file, where it is not meant to answer exactly as the model does."""
    right_before: int | None = None
    """The same images named rightly by the model."""

    @classmethod
    def of(cls, record: dict[str, Any]) -> Replay:
        """That of another file, which holds the same model."""
        return cls(record["replayed"], record["same"], record["largest_difference"])


def open_run(folder: Path, home: Home, name: str) -> Run:
    """Raises `NotFound` when the folder holds no trained model."""
    with set_layer_config(exportable=True):
        model, classes, how = load_run(folder)
    return Run(folder, home, name, model, classes, how, read_json(folder / "recipe.json"), read_json(folder / "report.json"),
               read_json(folder / "info.json").get("averaged"))


def replayed(format: str, rows: Rows, classes: list[str], answer: Callable[[Rows], np.ndarray],  # noqa: A002
             tolerance: float | None = TOLERANCE) -> Generator[Event, None, Replay]:
    """Ask a file about these images and compare with what was measured. With a `tolerance` of None it may answer otherwise, and
    what it names rightly is counted."""
    same, right, before, largest = 0, 0, 0, 0.0
    for start in range(0, len(rows), 16):
        yield Progressed(stage="replaying", done=start, total=len(rows))
        part = rows[start : start + 16]
        measured, found = np.array([row["probabilities"] for row in part]), answer(part)
        if found.ndim == 2 and found.shape[1] == measured.shape[1] + 1:  # this file knows how like an image is, too
            measured = np.column_stack([measured, [row.get("likeness", np.nan) for row in part]])
        difference = np.abs(found - measured).max() if found.shape == measured.shape else np.inf
        largest = max(largest, float(difference) if np.isfinite(difference) else 1.0)
        if found.shape == measured.shape:
            named = [classes[int(given[: len(classes)].argmax())] for given in found]
            same += sum(name == row["predicted"] for name, row in zip(named, part, strict=True))
            right += sum(name == row["label"] for name, row in zip(named, part, strict=True))
            before += sum(row["predicted"] == row["label"] for row in part)
    if tolerance is None:
        return Replay(len(rows), same, largest, right, before)
    # An answer may flip only where two classes were equal within the tolerance; the difference says so already.
    if largest > tolerance:
        raise TrainingFailed("export_differs", format=format, same=same, replayed=len(rows), difference=f"{largest:.2g}")
    return Replay(len(rows), same, largest)


def read_json(file: Path) -> dict[str, Any]:
    """A JSON object on disk; empty when there is none yet."""
    return json.loads(file.read_text("utf-8")) if file.is_file() else {}
