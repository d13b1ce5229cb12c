"""Varied views of one image for training. Pure Pillow, all chance from one generator: equal seeds give equal pixels.

Levels: light = crop and mirror; medium = light and colour; strong = medium and one random distortion
(TrivialAugment, Müller & Hutter 2021, arXiv:2103.10158, wide ranges).
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageEnhance, ImageOps

from transfer_core.estimate import SMALLEST_VIEW
from transfer_core.images import Preprocessing

_FILTERS = {"bilinear": Image.Resampling.BILINEAR, "nearest": Image.Resampling.NEAREST,
            "lanczos": Image.Resampling.LANCZOS}
_GREY = (128, 128, 128)
_ENHANCERS = (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color)


def vary(image: Image.Image, how: Preprocessing, level: str, flip: bool, chance: np.random.Generator,
         shape: tuple[int, int] | None = None) -> Image.Image:
    """An upright RGB image → a view of `how.size`. `level` is light, medium or strong.

    `shape`: width and height of the photo, when `image` is that photo squeezed into another shape.
    """
    view = _crop(image, how, chance, shape or image.size)
    if flip and chance.random() < 0.5:
        view = view.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    if level in ("medium", "strong"):
        for enhancer in _ENHANCERS:
            view = enhancer(view).enhance(chance.uniform(0.8, 1.2))
    if level == "strong":
        distort = _DISTORTIONS[chance.integers(len(_DISTORTIONS))]
        view = distort(view, chance.uniform(-1, 1))
    return view


def _crop(image: Image.Image, how: Preprocessing, chance: np.random.Generator, shape: tuple[int, int]) -> Image.Image:
    """A random part of the image, resized in one call (crop then resize would copy the pixels once more)."""
    (height, width), (wide, high) = how.size, shape
    area = wide * high * chance.uniform(SMALLEST_VIEW, 1)
    ratio = math.exp(chance.uniform(math.log(3 / 4), math.log(4 / 3))) * width / height
    w, h = min(wide, math.sqrt(area * ratio)), min(high, math.sqrt(area / ratio))
    left, top = chance.uniform(0, wide - w), chance.uniform(0, high - h)
    x, y = image.width / wide, image.height / high
    box = (left * x, top * y, min((left + w) * x, image.width), min((top + h) * y, image.height))
    return image.resize((width, height), _FILTERS.get(how.interpolation, Image.Resampling.BICUBIC), box, reducing_gap=2)


def _move(image: Image.Image, matrix: tuple[float, ...]) -> Image.Image:
    return image.transform(image.size, Image.Transform.AFFINE, matrix, Image.Resampling.BILINEAR, fillcolor=_GREY)


def _enhance(enhancer: Callable[[Image.Image], ImageEnhance._Enhance]) -> Callable[[Image.Image, float], Image.Image]:
    return lambda image, strength: enhancer(image).enhance(1 + 0.99 * strength)


_DISTORTIONS: tuple[Callable[[Image.Image, float], Image.Image], ...] = (
    lambda image, strength: image,
    lambda image, strength: _move(image, (1, 0.99 * strength, 0, 0, 1, 0)),
    lambda image, strength: _move(image, (1, 0, 0, 0.99 * strength, 1, 0)),
    lambda image, strength: _move(image, (1, 0, image.width * strength / 7, 0, 1, 0)),
    lambda image, strength: _move(image, (1, 0, 0, 0, 1, image.height * strength / 7)),
    lambda image, strength: image.rotate(135 * strength, Image.Resampling.BILINEAR, fillcolor=_GREY),
    *(_enhance(enhancer) for enhancer in (*_ENHANCERS, ImageEnhance.Sharpness)),
    lambda image, strength: ImageOps.posterize(image, 8 - round(6 * abs(strength))),
    lambda image, strength: ImageOps.solarize(image, 255 - round(255 * abs(strength))),
    lambda image, strength: ImageOps.autocontrast(image),
    lambda image, strength: ImageOps.equalize(image),
)
