"""A trained model over one split of its dataset: every prediction on disk, and a report with intervals."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from transfer_core import metrics
from transfer_core.datasets.manifest import Image, Manifest, Split
from transfer_core.errors import TrainingFailed
from transfer_core.events import Evaluated, Event, Progressed
from transfer_core.images import Preprocessing
from transfer_core.paths import Home, replacing
from transfer_core.predictor import softmax
from transfer_core.training.pipeline import ImageInputs, in_order
from transfer_core.training.prefix.answers import StoredAnswers

BATCH = 32


def probabilities(model: nn.Module, images: ImageInputs, device: torch.device | str = "cpu",
                  stage: str = "evaluating") -> Generator[Event, None, np.ndarray]:
    """Progress events; returns the probabilities, float32 images × classes. The model is left in eval mode on `device`."""
    device, total = torch.device(device), len(images.images)
    model = model.eval().to(device, memory_format=torch.channels_last)
    parts, done = [], 0
    yield Progressed(stage=stage, done=0, total=total)
    with torch.inference_mode(), full_float32():
        for batch, _labels in images.batches(in_order(total, BATCH), epoch=0):
            logits = model(batch.to(device, memory_format=torch.channels_last))
            parts.append(logits.float().softmax(dim=-1).cpu().numpy())
            done += len(batch)
            yield Progressed(stage=stage, done=done, total=total)
    return np.concatenate(parts)


@contextmanager
def full_float32() -> Iterator[None]:
    """No TF32: its 10-bit mantissa moves probabilities by 1e-3, and the exported file would disagree with what was measured."""
    cudnn, matmul = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = cudnn, matmul


def evaluate(model: nn.Module, classes: Sequence[str], how: Preprocessing, manifest: Manifest, split: Split, home: Home,
             out: Path, device: torch.device | str = "cpu", stored: StoredAnswers | None = None) -> Iterator[Event]:
    """Measure one split that has images; last event: `Evaluated`. Writes `predictions_<split>.jsonl` into `out`.

    `stored` answers from stored activations where it can, the same to 1e-6. The report counts the classes of `classes`;
    images of a class the model does not know are not among the split.
    """
    known = set(classes)
    images = [image for image in manifest.of(split) if image.label in known]
    inputs = ImageInputs.of(images, classes, home, how)
    logits = (yield from stored.logits(inputs)) if stored else None
    found = (yield from probabilities(model, inputs, device)) if logits is None else softmax(logits)
    if not np.isfinite(found).all():
        raise TrainingFailed("model_gives_nan")
    write_predictions(predictions_file(out, split), images, found, classes)
    counts = Counter(image.label for image in manifest.of("train"))
    yield Evaluated(split=split, report=metrics.report(inputs.labels.numpy(), found, classes, counts))


def predictions_file(folder: Path, split: str) -> Path:
    return folder / f"predictions_{split}.jsonl"


def write_predictions(file: Path, images: Sequence[Image], found: np.ndarray, classes: Sequence[str]) -> None:
    with replacing(file) as part, part.open("w", encoding="utf-8") as lines:
        for image, given in zip(images, found, strict=True):
            row = {"sha256": image.sha256, "file": image.file, "label": image.label,
                   "predicted": classes[int(given.argmax())], "probabilities": [float(f"{p:.7g}") for p in given]}
            lines.write(json.dumps(row, ensure_ascii=False) + "\n")


def read_predictions(file: Path) -> list[dict[str, Any]]:
    """The rows of `predictions_<split>.jsonl`; an empty list when there are none."""
    if not file.exists():
        return []
    with file.open(encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]
