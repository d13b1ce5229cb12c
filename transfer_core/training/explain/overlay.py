"""A heat map over the photo it was made of, as a picture.

Warm places are drawn in colours whose lightness rises with the heat (inferno, Smith and van der Walt 2015), so that they read the
same to colour-blind eyes and on grey paper; cold places show the photo. A line runs around what is at least half as hot as the
hottest place. What the model was not shown is dark and hatched.
"""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

from transfer_core.framing import Size

LONGEST = 1200
"""Pixels of the longer edge; a heat map has a few dozen cells, and a camera's photo would make a file of 30 MB."""
HALF = 0.5
"""Heat at which the line is drawn."""
_STRONGEST = 0.75
"""Of the colour at the hottest place: below it the photo must stay visible."""
_INFERNO = np.array([(0, 0, 4), (40, 11, 84), (101, 21, 110), (159, 42, 99), (212, 72, 66), (245, 125, 21), (250, 193, 39),
                     (252, 255, 164)], np.float32)
"""Every seventh of the table."""
Box = tuple[float, float, float, float]


def overlay(photo: Image.Image, heat: np.ndarray, box: Box) -> Image.Image:
    """`photo`: upright RGB. `heat`: rows × columns, 0 to 1. `box`: left, top, right, bottom of the map in the photo's pixels, as
    `framing.seen` gives them. RGB, at most `LONGEST` wide and high."""
    share = min(1, LONGEST / max(photo.size))
    size = max(1, round(photo.width * share)), max(1, round(photo.height * share))
    small = photo if share == 1 else photo.resize(size, Image.Resampling.BICUBIC, reducing_gap=2)
    spread = spread_out(heat, box, photo.size, small.size)
    unseen, warm = np.isnan(spread), np.nan_to_num(spread)
    pixels = np.asarray(small, np.float32)
    strength = _STRONGEST * warm[..., None]
    drawn = (1 - strength) * pixels + strength * _coloured(warm)
    drawn[unseen] *= 0.35
    drawn[unseen & _stripes(spread.shape)] += 60
    inner, outer = _outline(warm >= HALF)
    drawn[outer], drawn[inner] = 0, 255  # white beside black: to be seen on every photo
    return Image.fromarray(drawn.clip(0, 255).round().astype(np.uint8))


def as_png(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def spread_out(heat: np.ndarray, box: Box, photo: Size, drawn: Size | None = None) -> np.ndarray:
    """The map on the photo's own pixels (or on a copy of it of the size `drawn`): float32 height × width, between cells linear.
    NaN where a pixel's centre lies outside the box: the model has not seen it."""
    width, height = drawn or photo
    rows = _along(height, photo[1] / height, box[1], box[3], heat.shape[0])
    columns = _along(width, photo[0] / width, box[0], box[2], heat.shape[1])
    lines = _between(heat.astype(np.float32), rows)
    return _between(lines.T, columns).T


def _along(pixels: int, scale: float, start: float, end: float, cells: int) -> np.ndarray:
    """Where each pixel's centre lies among the cells along one edge, 0 to `cells`; NaN outside."""
    place = ((np.arange(pixels) + 0.5) * scale - start) / (end - start) * cells
    return np.where((place >= 0) & (place <= cells), place, np.nan)


def _between(values: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Rows of `values` at these places, which count from the upper edge; beyond the centre of an end row, that row."""
    centre = np.nan_to_num(places - 0.5).clip(0, len(values) - 1)
    before = np.floor(centre).astype(int)
    after, share = np.minimum(before + 1, len(values) - 1), (centre - before)[:, None].astype(np.float32)
    mixed = (1 - share) * values[before] + share * values[after]
    mixed[np.isnan(places)] = np.nan
    return mixed


def _coloured(warm: np.ndarray) -> np.ndarray:
    steps = np.linspace(0, 1, len(_INFERNO))
    return np.stack([np.interp(warm, steps, channel) for channel in _INFERNO.T], -1)


def _stripes(shape: tuple[int, int]) -> np.ndarray:
    rows, columns = np.indices(shape, sparse=True)
    return (rows + columns) % 12 < 3


def _outline(hot: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pixels along the inner and along the outer side of a region's edge."""
    return hot & _grown(~hot), ~hot & _grown(hot)


def _grown(region: np.ndarray) -> np.ndarray:
    wide = np.pad(region, 1)
    return wide[:-2, 1:-1] | wide[2:, 1:-1] | wide[1:-1, :-2] | wide[1:-1, 2:]
