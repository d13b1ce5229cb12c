"""What every drawn picture is made of: smooth noise, relief lit from one side, colours from a palette, a camera's traces.

Images are float32 arrays in 0…1, 3 × H × W (colour) or H × W (height, mask); the random generator is always an argument.
Planes first and 32 bits throughout: the same drawing with channels last and a stray float64 took twice as long.
"""

from __future__ import annotations

from math import cos, sin

import numpy as np
from PIL import Image, ImageFilter

SIZE = 320
"""Edge of a drawn image in pixels: enough for a 224-pixel crop, small enough to draw one in a few hundredths of a second."""


def resized(field: np.ndarray, size: int, how: Image.Resampling = Image.Resampling.BICUBIC) -> np.ndarray:
    return np.asarray(Image.fromarray(field.astype(np.float32)).resize((size, size), how))


def noise(rng: np.random.Generator, cells: float, size: int = SIZE) -> np.ndarray:
    """Smooth noise of about unit variance, size × size, with about `cells` bumps along an edge."""
    grid = max(2, round(cells) + 3)
    field = resized(rng.standard_normal((grid, grid), np.float32), size)
    return field / max(1e-6, float(field.std()))


def fractal(rng: np.random.Generator, cells: float, octaves: int, size: int = SIZE, falloff: float = 0.55) -> np.ndarray:
    """Octaves of noise, each twice as fine and `falloff` times as strong; about unit variance."""
    field = sum(falloff**k * noise(rng, cells * 2**k, size) for k in range(octaves))
    return field / max(1e-6, float(field.std()))


def blur(field: np.ndarray, radius: float) -> np.ndarray:
    """Gaussian blur of a field in 0…1; 8 bits are enough for masks and shadows, and wide blurs need no fine grid."""
    image, coarse = Image.fromarray((np.clip(field, 0, 1) * 255).astype(np.uint8)), 4 if radius >= 5 else 1
    image = image.reduce(coarse).filter(ImageFilter.GaussianBlur(radius / coarse))
    return np.asarray(image.resize((SIZE, SIZE), Image.Resampling.BICUBIC), np.float32) / 255


def relief(height: np.ndarray, light: float, strength: float = 1.0) -> np.ndarray:
    """Brightness, about 1 on flat ground, of a height field lit from the direction `light` (radians, image axes)."""
    down, right = np.gradient(height)
    slope = strength * cos(light) * right + strength * sin(light) * down
    return 1 + slope / np.sqrt(1 + slope * slope)


def mix(one: np.ndarray, other: np.ndarray, share: np.ndarray) -> np.ndarray:
    """`one` where share (H × W) is 0, `other` where it is 1; both are images or single colours."""
    return one + (other - one) * np.clip(share, 0, 1)


def colour(hexadecimal: str) -> np.ndarray:
    """ "c08040" → its three channels in 0…1, shaped 3 × 1 × 1."""
    return np.frombuffer(bytes.fromhex(hexadecimal), np.uint8).astype(np.float32).reshape(3, 1, 1) / 255


def planes(picture: Image.Image) -> np.ndarray:
    """A picture's channels as float32 in 0…1, C × H × W."""
    return np.ascontiguousarray(np.asarray(picture).transpose(2, 0, 1)).astype(np.float32) / 255


def photographed(rng: np.random.Generator, image: np.ndarray, light: float) -> Image.Image:
    """What a camera adds: uneven and tinted light, exposure, vignette, a little blur or grain. None of it knows the class."""
    axis = np.linspace(-1, 1, SIZE, dtype=np.float32)
    x, y = axis[None, :], axis[:, None]
    uneven = 1 - rng.uniform(0.0, 0.22) * (cos(light) * x + sin(light) * y) - rng.uniform(0, 0.14) * (x * x + y * y)
    if rng.random() < 0.35:  # shade of something out of the picture
        shade = blur((noise(rng, rng.uniform(1.5, 4)) > rng.uniform(0.2, 0.9)).astype(np.float32), rng.uniform(9, 18))
        uneven = uneven * (1 - rng.uniform(0.15, 0.36) * shade)
    warmth = rng.normal(0, 0.045)
    tint = np.array([1 + warmth, 1.0, 1 - warmth], np.float32).reshape(3, 1, 1)
    image = image * (uneven * rng.uniform(0.82, 1.14)) * tint
    image += rng.uniform(0.003, 0.016) * rng.standard_normal((SIZE, SIZE), np.float32)
    # A soft shoulder instead of clipping, so that highlights keep their colour.
    over = np.maximum(image - 0.8, 0)
    image = np.clip(image, 0, 0.8) + over / (1 + over / 0.2)
    picture = Image.fromarray(np.ascontiguousarray((image * 255).astype(np.uint8).transpose(1, 2, 0)))
    return picture.filter(ImageFilter.GaussianBlur(rng.uniform(0.3, 0.9))) if rng.random() < 0.3 else picture
