"""From the bytes of a stranger's file to the array a model sees. One path for training, evaluation, prediction and demos.

`open_image` decodes, `preprocess` makes the input. Because every caller goes through here, what a page shows and what a
downloaded model answers cannot differ by their preprocessing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from PIL import Image

from transfer_core.decode import MAX_PIXELS, decode
from transfer_core.framing import frame_of

__all__ = ["MAX_PIXELS", "Preprocessing", "fit_to", "normalise", "open_image", "preprocess"]

_FILTERS = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC,
            "lanczos": Image.Resampling.LANCZOS, "nearest": Image.Resampling.NEAREST}


@dataclass(frozen=True)
class Preprocessing:
    """What timm's `resolve_model_data_config` says of a model, as plain data. Stored inside every exported file."""

    size: tuple[int, int] = (224, 224)
    """Height, width in pixels."""
    crop_share: float = 0.875
    """The image is resized so that this share of it remains after the crop (timm's `crop_pct`)."""
    crop_mode: str = "center"
    """"center" resizes the shorter edge, "squash" both edges, "border" the longer edge and pads."""
    interpolation: str = "bicubic"
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> Preprocessing:
        return cls(**{name: tuple(value) if isinstance(value, list) else value for name, value in fields.items()})

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def open_image(source: Path | bytes | BinaryIO) -> Image.Image:
    """A picture file, whatever its format → an upright RGB image; transparent parts white, the first frame of an animation.

    Raises `BadImage` when it cannot be one (see `decode.decode`).
    """
    return decode(source).image


def fit_to(image: Image.Image, how: Preprocessing) -> Image.Image:
    """Resize and crop an RGB image to `how.size`: timm's evaluation geometry, rounding for rounding (see `framing`).

    (timm `transforms_imagenet_eval`; a test compares every crop mode with it on odd sizes.)
    """
    frame = frame_of(image.size, how)
    if frame.kept != (0, 0, *image.size):
        image = image.crop(frame.kept)
    if frame.size != image.size:
        image = image.resize(frame.size, _FILTERS[how.interpolation])
    return _center(image, how, tuple(round(255 * value) for value in how.mean) if how.crop_mode == "border" else (0, 0, 0))


def _center(image: Image.Image, how: Preprocessing, fill: tuple[int, ...]) -> Image.Image:
    """The middle `how.size` of an image; where it is smaller, a border of `fill`, the odd pixel at the far side."""
    height, width = how.size
    if image.width < width or image.height < height:
        wide, high = max(image.width, width), max(image.height, height)
        padded = Image.new("RGB", (wide, high), fill)
        padded.paste(image, ((wide - image.width) // 2, (high - image.height) // 2))
        image = padded
    left, top = round((image.width - width) / 2), round((image.height - height) / 2)
    return image.crop((left, top, left + width, top + height))


def normalise(image: Image.Image, how: Preprocessing) -> np.ndarray:
    """RGB image → float32 array 3 × H × W, (value / 255 − mean) / std."""
    pixels = np.asarray(image)
    planes = np.empty((3, image.height, image.width), np.float32)
    for plane, values, mean, std in zip(planes, pixels.transpose(2, 0, 1), how.mean, how.std, strict=True):
        np.divide(values, np.float32(255), out=plane, dtype=np.float32)  # in place: whole images would be copied
        plane -= np.float32(mean)
        plane /= np.float32(std)
    return planes


def preprocess(image: Image.Image, how: Preprocessing) -> np.ndarray:
    """An upright RGB image → float32 array 3 × H × W, ready for the model."""
    return normalise(fit_to(image, how), how)
