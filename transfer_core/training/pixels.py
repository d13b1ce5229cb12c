"""Photos decoded once: what a training reads in every epoch when no frozen part stands before it, kept as uint8 rows.

Two forms. As evaluation sees it: the very pixels that `images.fit_to` gives, so nothing changes but the time. Loose: the whole
photo, just large enough that the smallest varied view is not enlarged. All photos of a dataset get one shape, lying, and what
is cut out of a row is computed in the photo's own proportions.
"""

from __future__ import annotations

import math
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from statistics import mean, median

import numpy as np
import PIL
from PIL import Image as Pillow

from transfer_core.activations import Entry, Rows, Shelf, Spec, budget, make_room
from transfer_core.datasets.manifest import Image
from transfer_core.estimate import PIXEL_EPOCHS
from transfer_core.events import Event
from transfer_core.images import fit_to, normalise, open_image
from transfer_core.paths import Home
from transfer_core.training.augment import vary
from transfer_core.training.pipeline import ImageInputs
from transfer_core.training.prefix.fill import Counted, fill

WORTH = 1.5
"""Loose rows are kept of photos with so many times their pixels: a smaller file is decoded as fast as a row is read."""
SHARE = 0.5
"""Of the store's budget, for the pixels of one training."""
_PROPORTIONS = (1, 5 / 4, 4 / 3, 3 / 2, 16 / 9, 2)
"""Of a loose row, long edge to short. Cameras have these; and a few photos more do not change the shape of all."""


@dataclass
class KeptInputs(ImageInputs):
    """`ImageInputs` that read rows instead of files."""

    rows: Rows = field(kw_only=True)

    def plain(self, index: int) -> np.ndarray:
        return normalise(self._row(index), self.how)

    def varied(self, index: int, chance: np.random.Generator) -> np.ndarray:
        image, row = self.images[index], self._row(index)
        if _stands(image):
            row = row.transpose(Pillow.Transpose.TRANSPOSE)
        view = vary(row, self.how, self.augmentation, self.flip, chance, (image.width, image.height))
        return normalise(view, self.how)

    def _row(self, index: int) -> Pillow.Image:
        return Pillow.fromarray(self.rows.take([index])[0][0])


def keep_pixels(splits: Sequence[ImageInputs], epochs: int, home: Home) -> Generator[Event, None, list[ImageInputs]]:
    """Progress, then inputs of the same splits that need not decode; the given ones where it does not repay in so many epochs, or
    has no room.

    Raises `BadImage` and `NotFound` as the inputs themselves do; never for a full disk.
    """
    shelf = Shelf(home)
    plans = [_plan(inputs, epochs, shelf) for inputs in splits]
    wanted = [plan for plan in plans if plan]
    if not _room(wanted, shelf):
        return list(splits)
    counted = Counted(sum(len(plan.inputs.images) for plan in wanted), "photos")
    try:
        for plan in wanted:
            yield from fill(plan.entry, plan.inputs.digests, plan.prepare, _AsItIs(), counted)
    except OSError:  # the disk is full; the checkpoints need that room now
        shelf.forget((plan.entry, plan.inputs.digests) for plan in wanted)
        return list(splits)
    return [plan.inputs_with_rows() if plan else inputs for plan, inputs in zip(plans, splits, strict=True)]


@dataclass(frozen=True)
class _Plan:
    """One split, and the entry its pixels belong into."""

    inputs: ImageInputs
    entry: Entry

    def prepare(self, place: int) -> np.ndarray:
        inputs, (height, width, _) = self.inputs, self.entry.spec.shapes[0]
        if inputs.augmentation == "none":
            return np.asarray(fit_to(open_image(inputs.path(place)), inputs.how))
        photo = inputs.small(place)
        if _stands(inputs.images[place]):
            photo = photo.transpose(Pillow.Transpose.TRANSPOSE)
        return np.asarray(photo.resize((width, height), Pillow.Resampling.BICUBIC, reducing_gap=2))

    def inputs_with_rows(self) -> KeptInputs:
        return KeptInputs(**vars(self.inputs), rows=self.entry.rows(self.inputs.digests))


class _AsItIs:
    """What `fill` calls an engine; the pixels themselves are the rows."""

    name, at_once = "pixels", 1

    def __call__(self, images: np.ndarray) -> tuple[np.ndarray, ...]:
        return (images,)


def _plan(inputs: ImageInputs, epochs: int, shelf: Shelf) -> _Plan | None:
    if not inputs.images or epochs < PIXEL_EPOCHS[inputs.augmentation == "none"]:
        return None
    if inputs.augmentation == "none":
        shape, form = inputs.how.size, inputs.how.to_dict()
    else:
        shape = _loose(inputs)
        if mean(image.width * image.height for image in inputs.images) < WORTH * math.prod(shape):
            return None
        form = {}  # the shape says it all
    spec = Spec("pixels", f"pillow-{PIL.__version__}", form, {}, ((*shape, 3),), "uint8", "", "pixels")
    return _Plan(inputs, shelf.entry(spec))


def _loose(inputs: ImageInputs) -> tuple[int, int]:
    """Height and width of a row that holds a whole photo, lying."""
    short = inputs.loosest
    usual = median(max(image.width, image.height) / min(image.width, image.height) for image in inputs.images)
    return short, round(short * min(_PROPORTIONS, key=lambda longer: abs(longer - usual)))


def _stands(image: Image) -> bool:
    return image.height > image.width


def _room(plans: Sequence[_Plan], shelf: Shelf) -> bool:
    missing = whole = 0
    for plan in plans:
        missing += len(plan.entry.missing(plan.inputs.digests)) * plan.entry.spec.bytes_per_image
        whole += len(set(plan.inputs.digests)) * plan.entry.spec.bytes_per_image
    if not plans or whole > SHARE * budget(shelf):
        return False
    return not missing or make_room(shelf, missing, frozenset(plan.entry.spec.key for plan in plans))
