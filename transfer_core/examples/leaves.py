"""One leaf on some ground, in some season, in some light. Only the outline and the veins know which tree it is."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from PIL import Image, ImageDraw

from transfer_core.examples.grounds import GROUNDS
from transfer_core.examples.species import SPECIES, Leaf
from transfer_core.examples.texture import SIZE, blur, colour, fractal, mix, noise, photographed, relief

SEASONS = (  # blade, second colour that spreads over it, veins
    ("4f8a35", "79ad4a", "a9cf7c"), ("2f6b35", "4c8a44", "8fb87a"), ("6fa03c", "b6bf4a", "cdd88f"),
    ("d9a52b", "eec75a", "f6e3a0"), ("e0b93c", "8fa43e", "f3e6a8"), ("cf7a24", "e3a63f", "f2cf92"),
    ("bf4a22", "dd7f2f", "eeb98a"), ("a32a26", "cf5a33", "e3a08a"), ("7a2430", "a8433b", "cf9a90"),
    ("8a5a34", "b08350", "d3b58a"), ("6a4a34", "94704f", "bfa07c"),
)
_TWICE = 2 * SIZE
"""Shapes are drawn at twice the size and averaged, which gives smooth edges."""


def leaf_picture(label: str, rng: np.random.Generator) -> Image.Image:
    """A picture of a leaf of the tree `label`; ground, season, light, turn, size and cover do not depend on the tree."""
    light = rng.uniform(0, 2 * np.pi)
    ground = GROUNDS[rng.integers(len(GROUNDS))]
    season = SEASONS[rng.integers(len(SEASONS))]
    image = ground(rng, light) * rng.uniform(0.85, 1.08)
    for _ in range(rng.choice([0, 0, 1, 2])):  # other litter, partly under the leaf, never of the four trees
        image = _litter(rng, image, light)
    image = _laid(rng, image, SPECIES[label](rng), season, light)
    if rng.random() < 0.4:
        image = _litter(rng, image, light)
    return photographed(rng, image, light)


def _laid(rng: np.random.Generator, image: np.ndarray, leaf: Leaf, season: tuple[str, ...], light: float) -> np.ndarray:
    """The image with the leaf on it, and its soft shadow."""
    place = _placement(rng, leaf)
    stalk = np.stack([np.linspace(0, rng.normal(0, 0.10), 8) * np.linspace(0, 1, 8), np.linspace(0.02, -leaf.petiole, 8)], 1)
    blade = _filled(place(leaf.outline))
    midrib = rng.uniform(6, 8.5)
    veins = _lines([(place(path), width * midrib) for path, width in leaf.veins])
    petiole = _lines([(place(stalk), midrib * 1.25)], taper=0.95)
    whole = np.maximum(blade, petiole)

    image = _shadowed(rng, image, whole, light)
    # Relief: the blade falls off towards its edge, billows, and the veins stand a little proud.
    dome = blur(blade, 7)
    height = 9 * dome + 2.4 * noise(rng, 5) * blade + 1.5 * blur(veins, 0.7) + 0.16 * fractal(rng, 45, 2)
    shade = 0.42 + 0.58 * relief(height, light, rng.uniform(0.5, 0.8))
    surface = _coloured(rng, season, veins, dome)
    image = mix(image, colour(season[2]) * 0.78, petiole) * (1 - 0.3 * petiole + 0.3 * petiole * blur(petiole, 1))
    return mix(image, surface * shade, blade * (1 - _holes(rng)))


def _placement(rng: np.random.Generator, leaf: Leaf):
    """Leaf units → pixels at twice the size: bend, view from aside, turn, size and place."""
    length = rng.uniform(0.5, 0.86) * _TWICE / leaf.extent
    turn, bend = rng.uniform(0, 2 * np.pi), rng.normal(0, 0.12)
    tilt, tilt_axis = rng.uniform(0.78, 1.0), rng.uniform(0, np.pi)
    centre = _TWICE / 2 + rng.uniform(-0.11, 0.11, 2) * _TWICE
    wave, wave_phase = rng.uniform(0, 0.018), rng.uniform(0, 6)
    axis = np.array([np.cos(tilt_axis), np.sin(tilt_axis)])

    def place(points: np.ndarray) -> np.ndarray:
        x, y = points[:, 0], points[:, 1] - 0.5
        x = x + bend * (y * y - 0.1) * 2 + wave * np.sin(9 * y + wave_phase)
        flat = np.stack([x * np.cos(turn) - y * np.sin(turn), x * np.sin(turn) + y * np.cos(turn)], 1)
        flat = flat - (1 - tilt) * (flat @ axis)[:, None] * axis
        return flat * length + centre

    return place


def _coloured(rng: np.random.Generator, season: tuple[str, ...], veins: np.ndarray, dome: np.ndarray) -> np.ndarray:
    """The surface of the blade, 3 × H × W: two colours that run into each other, veins, dry edges, spots."""
    base, second, pale = (colour(tone) * rng.normal(1, 0.05, (3, 1, 1)).astype(np.float32) for tone in season)
    spread = 0.5 + 0.45 * noise(rng, 3) + rng.uniform(-1.2, 1.2) * (0.8 - dome)
    surface = mix(base, second, spread) * (1 + 0.05 * fractal(rng, 20, 3))
    near_veins = blur(veins, 5)
    surface = mix(surface, pale if rng.random() < 0.6 else base * 0.8, 0.9 * near_veins)
    if rng.random() < 0.5:  # dry edge
        surface = mix(surface, colour("7a5230"), (0.93 - dome) * rng.uniform(0.4, 1.5) * np.clip(0.6 + 0.6 * noise(rng, 8), 0, 1))
    if rng.random() < 0.5:  # spots
        spots = np.clip((noise(rng, rng.uniform(18, 45)) - rng.uniform(1.7, 2.3)) * 3, 0, 1)
        surface = mix(surface, colour("4a3020"), 0.75 * spots)
    return mix(surface, pale, 0.8 * veins)


def _holes(rng: np.random.Generator) -> np.ndarray:
    """Where something ate the leaf, 1; in one leaf of five."""
    if rng.random() > 0.2:
        return np.zeros((SIZE, SIZE), np.float32)
    return np.clip((noise(rng, rng.uniform(14, 26)) - rng.uniform(2.3, 2.8)) * 8, 0, 1)


def _shadowed(rng: np.random.Generator, image: np.ndarray, mask: np.ndarray, light: float) -> np.ndarray:
    """A contact shadow and a wide one, falling away from the light."""
    far = rng.uniform(3, 9)
    shift = (round(-far * np.sin(light)), round(-far * np.cos(light)))
    wide = blur(np.roll(mask, shift, (0, 1)), far * 0.75)
    near = blur(np.roll(mask, (round(shift[0] / 3), round(shift[1] / 3)), (0, 1)), 1.6)
    return image * (1 - np.maximum(rng.uniform(0.3, 0.6) * wide, 0.45 * near))


def _litter(rng: np.random.Generator, image: np.ndarray, light: float) -> np.ndarray:
    """A twig, a blade of dry grass, a pebble, or a petal: covers a part of what lies below."""
    kind, at, angle = rng.integers(4), rng.uniform(0.12, 0.88, 2) * _TWICE, rng.uniform(0, 2 * np.pi)
    t = np.linspace(-1, 1, 24)
    along, across = np.array([np.cos(angle), np.sin(angle)]), np.array([-np.sin(angle), np.cos(angle)])
    if kind <= 1:
        reach, bend = rng.uniform(90, 420), rng.normal(0, 0.12)
        path = at + reach * (t[:, None] * along + (bend * t**2)[:, None] * across)
        mask = _lines([(path, rng.uniform(7, 15))], taper=0.75 if kind == 0 else 0.1)
        tone = rng.choice(["5b4331", "3f3026", "7a6248"] if kind == 0 else ["c9b27a", "8fa45a", "dfd0a0", "5f7f3f"])
    else:
        around = np.linspace(0, 2 * np.pi, 40)
        wobble = 1 + 0.10 * np.sin(2 * around + rng.uniform(0, 6)) + 0.05 * np.sin(3 * around + rng.uniform(0, 6))
        wide, high = rng.uniform(20, 55), rng.uniform(16, 40)
        path = at + (wide * wobble * np.cos(around))[:, None] * along + (high * wobble * np.sin(around))[:, None] * across
        mask = _filled(path)
        tone = rng.choice(["8a8782", "a69b8c", "6b6a6c", "c4bbad"] if kind == 2 else ["e7b7c0", "f1e3d6", "d98c6a", "b8506a"])
    image = _shadowed(rng, image, mask, light)
    height = (8 if kind == 2 else 4) * blur(mask, 5) + 0.3 * fractal(rng, 40, 2)
    shade = 0.45 + 0.55 * relief(height, light, 0.8)
    return mix(image, colour(str(tone)) * (1 + 0.06 * noise(rng, 40)) * shade, mask)


def _filled(points: np.ndarray) -> np.ndarray:
    """Mask of a polygon given at twice the size."""
    canvas = Image.new("L", (_TWICE, _TWICE))
    ImageDraw.Draw(canvas).polygon([tuple(point) for point in points.tolist()], fill=255)
    return np.asarray(canvas.reduce(2), np.float32) / 255


def _lines(paths: list[tuple[np.ndarray, float]], taper: float = 0.3) -> np.ndarray:
    """Mask of lines given at twice the size, each with its width at the start; `taper` is the share left at the end."""
    canvas = Image.new("L", (_TWICE, _TWICE))
    draw = ImageDraw.Draw(canvas)
    for path, width in paths:
        steps = np.linspace(0, len(path) - 1, max(len(path), 9))
        index = np.arange(len(path))
        dense = np.stack([np.interp(steps, index, path[:, 0]), np.interp(steps, index, path[:, 1])], 1).tolist()
        for k, (here, there) in enumerate(pairwise(dense)):
            local = width * (1 - (1 - taper) * k / len(dense))
            draw.line([tuple(here), tuple(there)], fill=255, width=max(1, round(local)))
            if local > 5:
                draw.ellipse([there[0] - local / 2, there[1] - local / 2, there[0] + local / 2, there[1] + local / 2], fill=255)
    return np.asarray(canvas.reduce(2), np.float32) / 255
