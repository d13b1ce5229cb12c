"""From a manifest to batches: decode, vary or preprocess, stack. Memory stays flat: at most three batches exist at once.

Threads, not worker processes: Pillow decodes and resizes without Python's lock, a thread costs no second import of torch,
needs no shared memory (64 MB in a container), and ends with the generator. Every view draws its chance from
(seed, epoch, image), so neither the number of threads nor a resume changes a pixel.
"""

from __future__ import annotations

import os
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from PIL import Image as Pillow
from torch import Tensor

from transfer_core.datasets.manifest import Image
from transfer_core.decode import decode
from transfer_core.errors import NotFound
from transfer_core.estimate import SMALLEST_VIEW
from transfer_core.images import Preprocessing, normalise, open_image, preprocess
from transfer_core.paths import Home
from transfer_core.recipe import Recipe
from transfer_core.training.augment import vary

_AHEAD = 2
"""Batches prepared while the model works on one."""
Batch = tuple[Tensor, Tensor]
"""Images float32 N × 3 × H × W, labels int64 N."""


class Inputs(Protocol):
    """What an epoch draws batches from."""

    labels: Tensor

    def batches(self, order: Sequence[Sequence[int]], epoch: int) -> Iterator[Batch]: ...


@dataclass
class ImageInputs:
    """The images of one split. `augmentation` "none" is exactly what evaluation, prediction and the exported file do."""

    images: Sequence[Image]
    labels: Tensor
    home: Home
    how: Preprocessing
    augmentation: str = "none"
    flip: bool = False
    seed: int = 0

    @classmethod
    def of(cls, images: Sequence[Image], classes: Sequence[str], home: Home, how: Preprocessing,
           recipe: Recipe | None = None) -> ImageInputs:
        """Inputs for evaluation, or for training when a `recipe` says how to vary them."""
        number = {name: index for index, name in enumerate(classes)}
        labels = torch.tensor([number[image.label] for image in images], dtype=torch.long)
        if recipe is None:
            return cls(images, labels, home, how)
        return cls(images, labels, home, how, recipe.views, recipe.flip, recipe.seed)

    def one(self, index: int, epoch: int) -> np.ndarray:
        """float32 3 × H × W. Raises `BadImage`, or `NotFound` when the file has gone from the home."""
        if self.augmentation == "none":
            return self.plain(index)
        return self.varied(index, np.random.default_rng((self.seed, epoch, index)))

    def plain(self, index: int) -> np.ndarray:
        """As evaluation sees it."""
        return preprocess(open_image(self.path(index)), self.how)

    def varied(self, index: int, chance: np.random.Generator) -> np.ndarray:
        return normalise(vary(self.small(index), self.how, self.augmentation, self.flip, chance), self.how)

    @property
    def digests(self) -> list[str]:
        """SHA-256 of each image, as the store knows it."""
        return [image.sha256 for image in self.images]

    @property
    def loosest(self) -> int:
        """Pixels of the shorter edge below which a varied view would have to be enlarged: it may be half the photo's area."""
        return int(max(self.how.size) / SMALLEST_VIEW**0.5)

    def small(self, index: int) -> Pillow.Image:
        """The whole photo, decoded as small as `loosest` allows."""
        return decode(self.path(index), draft=self.loosest).image

    def path(self, index: int) -> Path:
        image = self.images[index]
        path = self.home.image(image.sha256)
        if not path.is_file():
            raise NotFound("image_gone", file=image.file)
        return path

    def batches(self, order: Sequence[Sequence[int]], epoch: int) -> Iterator[Batch]:
        """One batch for each list of indices in `order`, prepared ahead in threads."""
        with ThreadPoolExecutor(threads(), thread_name_prefix="decode") as pool:
            waiting: deque[tuple[Sequence[int], list[Future[np.ndarray]]]] = deque()
            try:
                for indices in order:
                    waiting.append((indices, [pool.submit(self.one, index, epoch) for index in indices]))
                    if len(waiting) > _AHEAD:
                        yield self._stacked(*waiting.popleft())
                while waiting:
                    yield self._stacked(*waiting.popleft())
            finally:
                pool.shutdown(wait=True, cancel_futures=True)

    def _stacked(self, indices: Sequence[int], futures: list[Future[np.ndarray]]) -> Batch:
        return torch.from_numpy(np.stack([future.result() for future in futures])), self.labels[list(indices)]


def threads() -> int:
    """Decoding threads: the cores there are, at most 8 (beyond that Python's lock eats the gain)."""
    return min(8, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)


def in_order(count: int, batch_size: int) -> list[list[int]]:
    return in_batches(range(count), batch_size)


def in_batches(places: Sequence[int], batch_size: int) -> list[list[int]]:
    return [list(places[start:start + batch_size]) for start in range(0, len(places), batch_size)]


def shuffled(labels: Tensor, batch_size: int, seed: int, epoch: int, balanced: bool) -> list[list[int]]:
    """The training batches of one epoch. `balanced` draws with replacement so that every class comes equally often.

    A last batch of one image joins none: batch statistics of one image are its own values, and normalise to zero.
    """
    chance = np.random.default_rng((seed, epoch, 1 << 20))
    count = len(labels)
    if balanced:
        often = Counter(labels.tolist())
        share = np.array([1 / (len(often) * often[label]) for label in labels.tolist()])
        order = chance.choice(count, size=count, p=share)
    else:
        order = chance.permutation(count)
    batches = [order[start:start + batch_size].tolist() for start in range(0, count, batch_size)]
    return batches[:-1] if len(batches) > 1 and len(batches[-1]) == 1 and batch_size > 1 else batches


def class_weights(labels: Tensor, num_classes: int) -> Tensor:
    """Weight of each class by its effective number of images (Cui et al. 2019, arXiv:1901.05555, eq. 2, β = 0.999).

    Near 1 / count for small classes, flattening for large ones; scaled so that the mean over the images is 1.
    """
    counts = torch.bincount(labels, minlength=num_classes).double()
    weights = torch.where(counts > 0, (1 - 0.999) / (1 - 0.999**counts), torch.zeros(()).double())
    return (weights * counts.sum() / (weights * counts).sum()).float()
