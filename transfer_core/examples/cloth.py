"""A piece of woven cloth, whole or with one fault. Weave, yarn, colours, folds and light say nothing about the fault."""

from __future__ import annotations

from math import cos, sin

import numpy as np
from PIL import Image, ImageDraw

from transfer_core.examples.texture import SIZE, blur, colour, fractal, mix, noise, photographed, relief

YARNS = ("e8e2d4", "cfc3ab", "a98f6d", "6f5a44", "2f4a6b", "5f7f9f", "8a2f35", "c0563f", "3f5f4a", "8a9a6a", "d0a040",
         "5a5a60", "a0a4a8", "2a2c33", "7a4f72", "d8b0a8")
_Y, _X = np.mgrid[0:SIZE, 0:SIZE].astype(np.float32)


def cloth_picture(label: str, rng: np.random.Generator) -> Image.Image:
    """A picture of cloth with the fault `label`: ok, hole, stain or pulled thread."""
    light, turn = rng.uniform(0, 2 * np.pi), rng.uniform(0, np.pi)
    period = rng.uniform(7, 13)
    at = rng.uniform(0.25, 0.75, 2) * SIZE
    u = ((_X - SIZE / 2) * cos(turn) + (_Y - SIZE / 2) * sin(turn)) / period + 200
    v = ((_Y - SIZE / 2) * cos(turn) - (_X - SIZE / 2) * sin(turn)) / period + 200
    u, v = u + 0.22 * noise(rng, 3), v + 0.22 * noise(rng, 3)  # no cloth lies straight
    at_u, at_v = (float(field[int(at[1]), int(at[0])]) for field in (u, v))
    pulled = None
    if label == "pulled thread":
        v, pulled = _pucker(rng, u, v, at_u, at_v)

    cloth, height = _woven(rng, u, v, pulled)
    folds = 6 * noise(rng, 2) + rng.uniform(0, 3) * noise(rng, 4)
    if label == "hole":
        cloth, height = _with_hole(rng, cloth, height, u, v, at_u, at_v, period)
    if label == "stain":
        cloth = _stained(rng, cloth, at)
    image = cloth * (0.35 + 0.65 * relief(height * period / 9 + folds, light, rng.uniform(0.5, 0.9)))
    if label == "pulled thread":
        image = _with_loop(rng, image, at, turn, period)
    if rng.random() < 0.5:
        image = _lint(rng, image)
    return photographed(rng, image, light)


def _over(rng: np.random.Generator, i: np.ndarray, j: np.ndarray) -> np.ndarray:
    """Where the warp lies on top, for a weave chosen at random: plain, basket, two twills, herringbone, satin."""
    kind = rng.integers(6)
    if kind == 0:
        return (i + j) % 2 == 0
    if kind == 1:
        return (i // 2 + j // 2) % 2 == 0
    if kind == 2:
        return (i + j) % 4 < 2
    if kind == 3:
        return (i + j) % 3 < 2
    if kind == 4:
        return np.where((i // 8) % 2 == 0, i + j, i - j) % 4 < 2
    return (2 * i + j) % 5 != 0


def _woven(rng: np.random.Generator, u: np.ndarray, v: np.ndarray, pulled: int | None) -> tuple[np.ndarray, np.ndarray]:
    """Colour (3 × H × W) and height (pixels) of the cloth; warp yarns have constant u, weft yarns constant v."""
    i, j = np.floor(u).astype(np.int32), np.floor(v).astype(np.int32)
    over = _over(rng, i, j)
    du, dv = u - i - 0.5, v - j - 0.5
    across, along = np.where(over, du, dv), np.where(over, dv, du)
    height = 3.2 * np.sqrt(np.maximum(0.02, 1 - (1.9 * across) ** 2)) - 2.2 * along**2

    warp, weft = (colour(str(tone)) for tone in rng.choice(YARNS, 2, replace=rng.random() < 0.5))
    if rng.random() < 0.4:
        weft = warp * 0.85
    stripes = rng.random(4) < 0.3
    second, gap = colour(str(rng.choice(YARNS))), int(rng.integers(5, 16))
    warp = mix(warp, second, (((i // gap) % 3 == 0) & stripes[0]) * 0.9)
    weft = mix(weft, second, (((j // gap) % 3 == 0) & stripes[1]) * 0.9)
    # Every yarn is a little thicker, darker or fluffier than the next.
    uneven = rng.normal(1, rng.uniform(0.02, 0.07), (2, 512)).astype(np.float32)
    warp, weft = warp * uneven[0][i % 512], weft * uneven[1][j % 512]
    if pulled is not None:
        weft = np.where(j == pulled, mix(weft, np.ones((3, 1, 1), np.float32), np.float32(rng.uniform(0.1, 0.3))), weft)
    twist = 0.05 * np.sin(2 * np.pi * (2.3 * along + 1.4 * across))
    gaps = np.clip((np.abs(across) - 0.36) / 0.14, 0, 1)
    cloth = np.where(over, warp, weft) * (1 + twist + 0.05 * fractal(rng, 60, 2) - 0.5 * gaps)
    return cloth, height


def _pucker(rng: np.random.Generator, u: np.ndarray, v: np.ndarray, at_u: float, at_v: float) -> tuple[np.ndarray, int]:
    """A drawn weft yarn pulls its neighbours together around (at_u, at_v) and gathers the cloth along its line."""
    near = np.exp(-(((u - at_u) / rng.uniform(5, 10)) ** 2))
    away = v - np.floor(at_v) - 0.5
    v = v + rng.uniform(0.5, 1.0) * near * np.tanh(away / 1.2) * np.exp(-((away / rng.uniform(2.5, 4.5)) ** 2))
    return v, int(np.floor(at_v))


def _with_loop(rng: np.random.Generator, image: np.ndarray, at: np.ndarray, turn: float, period: float) -> np.ndarray:
    """The yarn itself: a tight line along the weft, and a loop of it standing off the cloth with its shadow."""
    along, across = np.array([cos(turn), sin(turn)]), np.array([-sin(turn), cos(turn)])
    reach, t = rng.uniform(50, 130), np.linspace(-1, 1, 40)[:, None]
    line = at + reach * t * along + rng.normal(0, 0.4, (40, 1)) * across
    size, lean = rng.uniform(24, 54), rng.normal(0, 0.5)
    s = np.linspace(0, np.pi, 40)[:, None]
    loop = at + size * (0.45 * np.cos(s) + lean * np.sin(s) + 0.25 * np.sin(2 * s)) * along + size * np.sin(s) * across
    tone = image[:, int(at[1]), int(at[0])].reshape(3, 1, 1) * rng.uniform(1.0, 1.35) + 0.1
    for path, shift in ((line, 1), (loop, 3)):
        mask = _thread(path, period * 0.5)
        image = image * (1 - 0.5 * blur(np.roll(mask, (shift, shift), (0, 1)), 1.2))
        image = mix(image, tone * (0.75 + 0.25 * relief(2 * blur(mask, 1.2), 0.8, 1.5)), mask)
    return image


def _with_hole(rng: np.random.Generator, cloth: np.ndarray, height: np.ndarray, u: np.ndarray, v: np.ndarray, at_u: float,
               at_v: float, period: float) -> tuple[np.ndarray, np.ndarray]:
    """Yarns end in an uneven rim, each at its own length; what lies below shows, in the shadow of the edge."""
    radius = rng.uniform(16, 42) / period
    stretch = rng.uniform(0.7, 1.4)
    distance = np.hypot((u - at_u) * stretch, (v - at_v) / stretch) / radius
    ends = rng.normal(0, 0.22, (2, 512)).astype(np.float32)
    fray = np.where(noise(rng, 60) > 0, ends[0][np.floor(2 * u).astype(int) % 512], ends[1][np.floor(2 * v).astype(int) % 512])
    gone = np.clip((1 - distance + 0.18 * noise(rng, 10) + fray) * radius * period / 2, 0, 1)
    below = colour(str(rng.choice(YARNS))) * rng.uniform(0.15, 0.9) * (1 + 0.06 * fractal(rng, 40, 2))
    inside = below * (0.45 + 0.55 * np.clip(1 - distance, 0, 1))
    curl = np.exp(-(((distance - 1.1) / 0.25) ** 2))
    return mix(cloth * (1 + 0.12 * curl), inside, gone), height * (1 - gone) + 4 * curl


def _stained(rng: np.random.Generator, cloth: np.ndarray, at: np.ndarray) -> np.ndarray:
    """A spill soaked in: darker or tinted, densest at its rim, with a drop or two beside it."""
    tint = colour(str(rng.choice(["7a4a22", "5a3a1c", "6a2a34", "39404f", "8a7a2a", "4a4a3a", "96603a"])))
    soaked = np.zeros((SIZE, SIZE), np.float32)
    for k in range(rng.integers(1, 4)):
        centre = at + (rng.normal(0, 48, 2) if k else 0)
        radius = rng.uniform(28, 70) if k == 0 else rng.uniform(6, 18)
        distance = np.hypot(_X - centre[0], _Y - centre[1]) / radius + 0.16 * noise(rng, 7)
        fill = np.clip((1.0 - distance) * 7, 0, 1)
        rim = np.exp(-(((distance - 0.93) / 0.09) ** 2))
        soaked = np.maximum(soaked, fill * rng.uniform(0.45, 0.8) + 0.3 * rim * fill)
    soaked = soaked * np.clip(1 + 0.15 * noise(rng, 12), 0, 1.3)
    # A spill multiplies what it soaks; on dark cloth a pale one dries on top, or no one could see it.
    if float(cloth.mean()) < rng.uniform(0.2, 0.34):
        return mix(cloth, cloth * 0.5 + 0.3 * colour(str(rng.choice(["e8e0cc", "d8d4d0", "d9c9a0"]))), soaked)
    return mix(cloth, cloth * (0.12 + 1.0 * tint), soaked)


def _lint(rng: np.random.Generator, image: np.ndarray) -> np.ndarray:
    """Hairs and fluff that lie on any cloth and are no fault."""
    for _ in range(rng.integers(1, 4)):
        walk = np.cumsum(np.cumsum(rng.normal(0, 0.22, (30, 2)), 0) + rng.normal(0, 1.2, 2), 0) + rng.uniform(30, SIZE - 30, 2)
        mask = _thread(walk, 1.0) * rng.uniform(0.3, 0.7)
        image = mix(image, colour(str(rng.choice(["f4f1ea", "2b2622", "b8a890"]))), mask)
    return image


def _thread(path: np.ndarray, width: float) -> np.ndarray:
    """Mask of a thread of even width (pixels) with smooth edges."""
    canvas = Image.new("L", (2 * SIZE, 2 * SIZE))
    ImageDraw.Draw(canvas).line((path * 2).ravel().tolist(), fill=255, width=max(1, round(2 * width)), joint="curve")
    return np.asarray(canvas.reduce(2), np.float32) / 255
