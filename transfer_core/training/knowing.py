"""What a run's model sees in the photos it learned from, kept so that its file can tell photos of something else (`likeness`)."""

from __future__ import annotations

import io
from collections.abc import Generator
from pathlib import Path

import numpy as np
import torch
from torch import nn

from transfer_core.datasets.manifest import Manifest, spread
from transfer_core.events import Event
from transfer_core.images import Preprocessing
from transfer_core.paths import Home, replacing
from transfer_core.training.evaluate import full_float32, logits_of
from transfer_core.training.likeness import answering, last_layer, likeness, watched
from transfer_core.training.listening import units
from transfer_core.training.pipeline import ImageInputs
from transfer_core.training.prefix.answers import StoredAnswers

FILE = "likeness.npy"
MOST = 500
"""Training images whose features are kept: with EfficientNet-Lite0 2.5 MB of a file of 16."""


def collect(model: nn.Module, classes: list[str], how: Preprocessing, manifest: Manifest, home: Home, folder: Path,
            where: torch.device) -> Generator[Event, None, np.ndarray | None]:
    """Keep the features of up to `MOST` training images in the run's folder: float32 K × D, each of length 1. Returns how like
    they are to each other (see `among`); None, and no file, for a model without one last linear layer."""
    (folder / FILE).unlink(missing_ok=True)
    images = spread([image for image in manifest.of("train") if image.label in set(classes)], MOST)
    if not images or last_layer(model) is None:
        return None
    inputs = ImageInputs.of(images, classes, home, how)
    with watched(model) as features:
        if (yield from StoredAnswers(folder, model, home, where).logits(inputs)) is None:
            yield from logits_of(model, inputs, where)
        found = features(len(images))
    if found is None or not np.isfinite(found).all():
        return None
    found = units(found)
    if not _answers_both(model, how, found):
        return None
    _keep(folder, found)
    return among(found, np.array([image.group for image in images]))


def bring(model: nn.Module, how: Preprocessing, data: bytes, folder: Path) -> bool:
    """Keep what a zip says was collected, if it can be: the bytes of a file like `FILE`, which may be anybody's."""
    found, last = _read(data), last_layer(model)
    if found is None or last is None or found.shape[1] != last.in_features or not _answers_both(model, how, found):
        return False
    _keep(folder, found)
    return True


def _read(data: bytes) -> np.ndarray | None:
    """Features of length 1. What the header says is checked before memory is taken for it."""
    held = io.BytesIO(data)
    try:
        if np.lib.format.read_magic(held) != (1, 0):
            return None
        shape, fortran, dtype = np.lib.format.read_array_header_1_0(held)
        if dtype != np.float32 or fortran or len(shape) != 2 or not 0 < shape[0] <= MOST:
            return None
        found = np.frombuffer(data, np.float32, offset=held.tell()).reshape(shape)
    except (ValueError, EOFError, TypeError, SyntaxError):
        return None
    return found.copy() if np.allclose(np.linalg.norm(found, axis=1), 1, atol=1e-3) else None


def _keep(folder: Path, bank: np.ndarray) -> None:
    with replacing(folder / FILE) as part, part.open("wb") as out:
        np.save(out, bank)


@torch.inference_mode()
def _answers_both(model: nn.Module, how: Preprocessing, bank: np.ndarray) -> bool:
    """Whether the model can be made to answer both questions: in some, what the last layer gives is changed on its way out."""
    trial = torch.randn(2, 3, *how.size, generator=torch.Generator().manual_seed(0)).to(next(model.parameters()).device)
    with full_float32(), watched(model.eval()) as features:
        logits, wanted = model(trial), features(2)
        with answering(model, bank) as both:
            again, like = both(trial)
    return wanted is not None and torch.allclose(again, logits, rtol=1e-4, atol=1e-4) and np.allclose(
        like.cpu().numpy(), likeness(wanted, bank), atol=1e-4)


def among(bank: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """The likeness of each photo of the bank (float32 K × D) to the others, its own group of like photos left out: float32 K."""
    cosine = bank @ bank.T
    cosine[groups[:, None] == groups[None]] = -1
    return cosine.max(axis=1)


def kept(folder: Path) -> np.ndarray | None:
    return np.load(folder / FILE, allow_pickle=False) if (folder / FILE).is_file() else None
