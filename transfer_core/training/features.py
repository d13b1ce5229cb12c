"""Head only, images not varied: the frozen backbone gives every image the same features, so compute them once.

The simplest case of the frozen prefix; trained epochs then cost milliseconds. Whether a model can be cut right before its
head is tried on its first batch; where it cannot, the training goes the long way.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator

import torch
from torch import Tensor, nn

from transfer_core.events import Progressed
from transfer_core.training.models import classifiers, features_and_logits
from transfer_core.training.optim import Precision
from transfer_core.training.pipeline import FeatureInputs, ImageInputs, in_order

MOST_BYTES = 1 << 30
"""Features beyond this are not held in memory (200,000 images of 1,280 numbers)."""


def compute_features(model: nn.Module, splits: list[ImageInputs], precision: Precision, device: torch.device,
                     batch_size: int) -> Generator[Progressed, None, list[FeatureInputs] | None]:
    """Features of every split, in order, reporting images done; None when this model cannot be cut or they are too many."""
    total, done = sum(len(split.labels) for split in splits), 0
    model.eval()
    found: list[list[Tensor]] = [[] for _ in splits]
    for number, images in _batches(splits, batch_size):
        images = images.to(device, non_blocking=True)
        with torch.no_grad(), precision.cast():
            if done == 0 and not can_be_cut(model, images[:2]):
                return None
            features, _ = features_and_logits(model, images)
        if features[0][0].numel() * 4 * total > MOST_BYTES:
            return None
        found[number].append(features[0].float())
        done += len(images)
        yield Progressed(stage="features", done=done, total=total)
    return [FeatureInputs(torch.cat(parts) if parts else torch.empty(0, device=device), split.labels.to(device))
            for parts, split in zip(found, splits, strict=True)]


def can_be_cut(model: nn.Module, images: Tensor) -> bool:
    """Whether head(features) are the logits: one classifier, called once, and nothing after it. Tried with a random head,
    because a head of zeros would agree with everything."""
    heads = classifiers(model)
    if len(heads) != 1:
        return False
    head = heads[0]
    kept = {name: tensor.clone() for name, tensor in head.state_dict().items()}
    try:
        with torch.random.fork_rng(devices=[]):
            for parameter in head.parameters():
                parameter.data.copy_(torch.randn(parameter.shape))
        features, logits = features_and_logits(model, images)
        return len(features) == 1 and torch.allclose(head(features[0]), logits, rtol=1e-4, atol=1e-4)
    finally:
        head.load_state_dict(kept)


def _batches(splits: list[ImageInputs], batch_size: int) -> Iterator[tuple[int, Tensor]]:
    for number, split in enumerate(splits):
        for images, _ in split.batches(in_order(len(split.labels), batch_size), epoch=0):
            yield number, images
