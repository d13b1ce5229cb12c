"""Stored views: an image varied V times, once and for all, so that epochs differ and the prefix still runs V times only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from transfer_core.training.pipeline import ImageInputs


@dataclass(frozen=True)
class View:
    """Number `number` of the views of every image; None is the image as it is evaluated."""

    number: int | None
    level: str = "none"
    flip: bool = False

    def spec(self) -> dict[str, Any]:
        """What of it changes numbers; nothing for an image as it is."""
        return {} if self.number is None else {"number": self.number, "level": self.level, "flip": self.flip}

    def prepare(self, inputs: ImageInputs, place: int) -> np.ndarray:
        """float32 3 × H × W. Chance hangs on the picture and the number alone, so that all runs and seeds share the view."""
        if self.number is None:
            return inputs.plain(place)
        return inputs.varied(place, np.random.default_rng((self.number, int(inputs.images[place].sha256[:15], 16))))


def views_of(inputs: ImageInputs, count: int) -> Sequence[View]:
    if inputs.augmentation == "none" or count == 0:
        return (View(None),)
    return tuple(View(number, inputs.augmentation, inputs.flip) for number in range(count))
