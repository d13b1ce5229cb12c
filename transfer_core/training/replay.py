"""Is an exported file the model that was measured? It is opened the way a stranger would, and asked about test images."""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Callable, Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import timm
import torch
from timm.layers import set_layer_config
from torch import nn

from transfer_core.errors import TrainingFailed
from transfer_core.events import Event, Progressed
from transfer_core.images import Preprocessing, open_image, preprocess
from transfer_core.paths import Home
from transfer_core.predictor import Predictor
from transfer_core.training.evaluate import full_float32, predictions_file, read_predictions
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
        test, validation = (predictions_file(self.folder, split) for split in ("test", "validation"))
        rows = read_predictions(test) or read_predictions(validation)
        places = np.linspace(0, len(rows) - 1, min(self.most, len(rows))).round().astype(int)
        return [rows[place] for place in places]


@dataclass(frozen=True)
class Replay:
    replayed: int = 0
    same: int = 0
    largest_difference: float = 0.0


def open_run(folder: Path, home: Home, name: str) -> Run:
    """Raises `NotFound` when the folder holds no trained model."""
    with set_layer_config(exportable=True):
        model, classes, how = load_run(folder)
    return Run(folder, home, name, model, classes, how, read_json(folder / "recipe.json"), read_json(folder / "report.json"),
               read_json(folder / "info.json").get("averaged"))


def check_safetensors(run: Run, _file: Path) -> Generator[Event, None, Replay]:
    """As a stranger: `timm.create_model("local-dir:…", pretrained=True)`. Every tensor must be equal bit for bit; the answers
    are then compared on 64 images (same code, same numbers: more images say nothing new, and cost 70 ms each)."""
    model = timm.create_model(f"local-dir:{run.folder}", pretrained=True).eval()
    ours = run.model.state_dict()
    if any(not torch.equal(tensor, ours[name]) for name, tensor in model.state_dict().items()):
        raise TrainingFailed("export_differs", format="safetensors", same=0, replayed=0, difference="–")

    def answer(rows: Rows) -> np.ndarray:
        images = np.stack([preprocess(open_image(run.home.image(row["sha256"])), run.how) for row in rows])
        with torch.inference_mode(), full_float32():
            return model(torch.from_numpy(images)).softmax(dim=-1).numpy()

    rows = run.rows[:: max(1, len(run.rows) // 64)][:64]
    return (yield from _replayed("safetensors", rows, run.classes, answer))


def check_onnx(run: Run, file: Path) -> Generator[Event, None, Replay]:
    """Through `Predictor`, from the bytes of each image: the very path of the Predict page."""
    predictor = Predictor(file)
    if predictor.classes != run.classes or predictor.preprocessing != run.how:
        raise TrainingFailed("export_differs", format="onnx", same=0, replayed=0, difference="–")

    def answer(rows: Rows) -> np.ndarray:
        return np.array([one.probabilities for one in predictor.predict_files([run.home.image(row["sha256"]) for row in rows])])

    return (yield from _replayed("onnx", run.rows, run.classes, answer))


def check_zip(run: Run, file: Path) -> Generator[Event, None, Replay]:
    """The models inside are, byte for byte, the files that were replayed: their result is this one's."""
    yield Progressed(stage="replaying", done=0)
    records = read_json(run.folder / RECORDS)
    with zipfile.ZipFile(file) as packed:
        if packed.testzip() is not None:
            raise TrainingFailed("export_failed", format="zip", detail="CRC")
        for member in ("model.onnx", "model.safetensors"):
            if member in packed.namelist():
                with packed.open(member) as inside, (run.folder / member).open("rb") as outside:
                    if hashlib.file_digest(inside, "sha256").digest() != hashlib.file_digest(outside, "sha256").digest():
                        raise TrainingFailed("export_differs", format="zip", same=0, replayed=0, difference="–")
    checked = records.get("onnx") or records["safetensors"]
    return Replay(checked["replayed"], checked["same"], checked["largest_difference"])


def _replayed(format: str, rows: Rows, classes: list[str],  # noqa: A002
              answer: Callable[[Rows], np.ndarray]) -> Generator[Event, None, Replay]:
    same, largest = 0, 0.0
    for start in range(0, len(rows), 16):
        yield Progressed(stage="replaying", done=start, total=len(rows))
        part = rows[start : start + 16]
        measured, found = np.array([row["probabilities"] for row in part]), answer(part)
        difference = np.abs(found - measured).max() if found.shape == measured.shape else np.inf
        largest = max(largest, float(difference) if np.isfinite(difference) else 1.0)
        if found.shape == measured.shape:
            same += sum(classes[int(given.argmax())] == row["predicted"] for given, row in zip(found, part, strict=True))
    # An answer may flip only where two classes were equal within the tolerance; the difference says so already.
    if largest > TOLERANCE:
        raise TrainingFailed("export_differs", format=format, same=same, replayed=len(rows), difference=f"{largest:.2g}")
    return Replay(len(rows), same, largest)


def read_json(file: Path) -> dict[str, Any]:
    """A JSON object on disk; empty when there is none yet."""
    return json.loads(file.read_text("utf-8")) if file.is_file() else {}
