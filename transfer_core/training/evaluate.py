"""A trained model over one split of its dataset: every prediction on disk, and a report with intervals."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from torch import nn

from transfer_core import metrics
from transfer_core.datasets.manifest import Manifest, Split
from transfer_core.errors import TrainingFailed
from transfer_core.events import Evaluated, Event, Progressed
from transfer_core.images import Preprocessing
from transfer_core.measured import predictions_file, write_predictions
from transfer_core.paths import Home
from transfer_core.predictor import softmax
from transfer_core.training.pipeline import ImageInputs, in_order
from transfer_core.training.prefix.answers import StoredAnswers

BATCH = 32


def probabilities(model: nn.Module, images: ImageInputs, device: torch.device | str = "cpu",
                  stage: str = "evaluating") -> Generator[Event, None, np.ndarray]:
    """Progress events; returns the probabilities, float32 images × classes. The model is left in eval mode on `device`."""
    return softmax((yield from logits_of(model, images, device, stage)))


def logits_of(model: nn.Module, images: ImageInputs, device: torch.device | str = "cpu",
              stage: str = "evaluating") -> Generator[Event, None, np.ndarray]:
    """The same before softmax."""
    device, total = torch.device(device), len(images.images)
    model = model.eval().to(device, memory_format=torch.channels_last)
    parts, done = [], 0
    yield Progressed(stage=stage, done=0, total=total)
    with torch.inference_mode(), full_float32():
        for batch, _labels in images.batches(in_order(total, BATCH), epoch=0):
            logits = model(batch.to(device, memory_format=torch.channels_last))
            parts.append(logits.float().cpu().numpy())
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
             out: Path, device: torch.device | str = "cpu", stored: StoredAnswers | None = None,
             settle: Callable[[np.ndarray, np.ndarray], float] | None = None,
             alike: Callable[[int], np.ndarray | None] | None = None) -> Iterator[Event]:
    """Measure one split that has images; last event: `Evaluated`. Writes `predictions_<split>.jsonl` into `out`.

    `stored` answers from stored activations where it can, the same to 1e-6. `settle` is told the logits and labels, and gives the
    temperature by which the model's logits are divided from then on. `alike` is asked afterwards how like the images just seen,
    so many, are to those the model learned from (see `likeness`). The report counts the classes of `classes`; images of a class
    the model does not know are not among the split.
    """
    known = set(classes)
    images = [image for image in manifest.of(split) if image.label in known]
    inputs = ImageInputs.of(images, classes, home, how)
    logits = (yield from stored.logits(inputs)) if stored else None
    logits = (yield from logits_of(model, inputs, device)) if logits is None else logits
    if not np.isfinite(logits).all():
        raise TrainingFailed("model_gives_nan")
    found = softmax(logits / np.float32(settle(logits, inputs.labels.numpy()) if settle else 1.0))
    write_predictions(predictions_file(out, split), images, found, classes, alike(len(images)) if alike else None)
    counts = Counter(image.label for image in manifest.of("train"))
    yield Evaluated(split=split, report=metrics.report(inputs.labels.numpy(), found, classes, counts,
                                                             groups=[image.group for image in images]))
