"""From the bytes of a stranger's file to the array a model sees. One path for training, evaluation, prediction and demos.

`open_image` decodes, `preprocess` makes the input. Because every caller goes through here, what a page shows and what a
downloaded model answers cannot differ by their preprocessing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from PIL import Image

MAX_PIXELS = 100_000_000
"""An image that claims more is refused before it is decoded (100 megapixels are 300 MB as RGB)."""

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


def fit_to(image: Image.Image, how: Preprocessing) -> Image.Image:
    """Resize and crop an RGB image to `how.size`, with timm's evaluation geometry."""
    height, width = how.size
    filter_ = _FILTERS[how.interpolation]
    scaled = (round_down(height / how.crop_share), round_down(width / how.crop_share))
    if how.crop_mode == "squash":
        image = image.resize((scaled[1], scaled[0]), filter_)
    else:
        # One factor for both edges: the shorter (center) or the longer one (border) reaches its target.
        factors = (scaled[0] / image.height, scaled[1] / image.width)
        factor = min(factors) if how.crop_mode == "border" else max(factors)
        image = image.resize((max(1, round_down(image.width * factor)), max(1, round_down(image.height * factor))), filter_)
    left, top = round((image.width - width) / 2), round((image.height - height) / 2)
    return image.crop((left, top, left + width, top + height))


def round_down(value: float) -> int:
    """`int`, but safe from 223.99999."""
    return int(value + 1e-6)


def normalise(image: Image.Image, how: Preprocessing) -> np.ndarray:
    """RGB image → float32 array 3 × H × W, (value / 255 − mean) / std."""
    pixels = np.asarray(image, dtype=np.float32) / np.float32(255)
    pixels = (pixels - np.asarray(how.mean, np.float32)) / np.asarray(how.std, np.float32)
    return np.ascontiguousarray(pixels.transpose(2, 0, 1))


def preprocess(image: Image.Image, how: Preprocessing) -> np.ndarray:
    """An upright RGB image → float32 array 3 × H × W, ready for the model."""
    return normalise(fit_to(image, how), how)
