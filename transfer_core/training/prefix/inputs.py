"""What a training reads instead of photos: rows of the store, a different stored view of each image in each epoch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from transfer_core.activations import Rows
from transfer_core.training.models import classifiers
from transfer_core.training.prefix.cut import Cut, Live
from transfer_core.training.prefix.rows import from_rows

Batch = tuple[tuple[Tensor, ...], Tensor]
"""Tensors alive across the cut, labels int64 N."""


@dataclass
class StoredInputs:
    """The images of one split as the prefix saw them; `views` holds the same images once for each stored view."""

    views: Sequence[Rows]
    labels: Tensor
    live: tuple[Live, ...]

    def view(self, epoch: int) -> int:
        """Epoch e reads view (e − 1) modulo V."""
        return max(0, epoch - 1) % len(self.views)

    def batches(self, order: Sequence[Sequence[int]], epoch: int) -> Iterator[Batch]:
        """One batch is read ahead."""
        rows = self.views[self.view(epoch)]
        with ThreadPoolExecutor(1, thread_name_prefix="rows") as pool:
            ahead = None
            for indices in order:
                now, ahead = ahead, (indices, pool.submit(rows.take, indices))
                if now:
                    yield from_rows(now[1].result(), self.live), self.labels[list(now[0])]
            if ahead:
                yield from_rows(ahead[1].result(), self.live), self.labels[list(ahead[0])]


@dataclass
class ToldInputs:
    """Stored inputs, and behind the tensors of each batch what the original classifier says of its images: that never changes."""

    stored: StoredInputs
    said: Sequence[Tensor]
    """Logits of the source classes for each view: float32 images × source classes."""

    @property
    def labels(self) -> Tensor:
        return self.stored.labels

    def batches(self, order: Sequence[Sequence[int]], epoch: int) -> Iterator[Batch]:
        said = self.said[self.stored.view(epoch)]
        for (tensors, labels), places in zip(self.stored.batches(order, epoch), order, strict=True):
            yield (*tensors, said[list(places)]), labels


class Suffix(nn.Module):
    """The half that learns, called with the tuple a batch of `StoredInputs` is; what else a batch holds is not for it. It shares
    the model's modules and hooks."""

    def __init__(self, parts: Cut, model: nn.Module) -> None:
        super().__init__()
        self._graph, self._heads = [parts.suffix_of(model)], classifiers(model)  # lists: the model owns the parameters
        self._count = len(parts.live)

    def forward(self, tensors: tuple[Tensor, ...]) -> Tensor:
        return self._graph[0](*tensors[:self._count])

    def get_classifier(self) -> list[nn.Module]:
        """As timm's models have it, for `models.classifiers`."""
        return self._heads


def placed(images: Tensor | tuple[Tensor, ...], device: torch.device) -> Tensor | tuple[Tensor, ...]:
    """A batch on the device, images as convolutions like them best. Rows of the store keep the strides they have."""
    if isinstance(images, tuple):
        return tuple(moved(tensor, device) for tensor in images)
    images = moved(images, device)
    return images.contiguous(memory_format=torch.channels_last) if images.ndim == 4 else images


def moved(tensor: Tensor, device: torch.device) -> Tensor:
    """On the device. To a graphics card while it works: what lies in pinned memory needs no one to wait for the copy."""
    if device.type == "cuda" and tensor.device.type == "cpu":
        tensor = tensor.pin_memory()
    return tensor.to(device, non_blocking=True)
