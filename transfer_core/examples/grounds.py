"""What a leaf can lie on: soil, paper, grass, stone. Each is one function of the generator and the light; 3 × H × W in 0…1."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw

from transfer_core.examples.texture import SIZE, blur, colour, fractal, mix, noise, planes, relief


def soil(rng: np.random.Generator, light: float) -> np.ndarray:
    """Crumbly earth with small stones and bits of straw."""
    dark, pale = [("2b2019", "6d533d"), ("3a2c20", "8a6b4c"), ("32241f", "7c5444"), ("2a2724", "6a625a")][rng.integers(4)]
    crumbs = np.abs(fractal(rng, 14, 4, falloff=0.75))
    damp = noise(rng, 3)
    ground = mix(colour(dark), colour(pale), 0.35 + 0.22 * crumbs + 0.12 * damp)
    ground *= relief(crumbs, light, 1.5) * 0.5 + 0.5
    scattered = Image.new("RGBA", (SIZE * 2, SIZE * 2))
    draw = ImageDraw.Draw(scattered)
    for _ in range(rng.integers(8, 40)):
        x, y = rng.uniform(0, 2 * SIZE, 2)
        length, angle = rng.uniform(8, 46), rng.uniform(0, np.pi)
        tone = rng.choice(["c7ab7a", "9b8158", "5a4531", "d8c59c"])
        end = (x + length * np.cos(angle), y + length * np.sin(angle))
        draw.line([(x + 3, y + 3), (end[0] + 3, end[1] + 3)], fill=(0, 0, 0, 90), width=4)
        draw.line([(x, y), end], fill=f"#{tone}", width=int(rng.integers(2, 4)))
    for _ in range(rng.integers(4, 18)):
        x, y = rng.uniform(0, 2 * SIZE, 2)
        wide, high = rng.uniform(4, 14, 2)
        grey = int(rng.uniform(110, 190))
        draw.ellipse([x - wide + 3, y - high + 4, x + wide + 3, y + high + 4], fill=(0, 0, 0, 110))
        draw.ellipse([x - wide, y - high, x + wide, y + high], fill=(grey, int(grey * 0.94), int(grey * 0.86), 255))
        draw.ellipse([x - wide * 0.6, y - high * 0.7, x + wide * 0.3, y + high * 0.1], fill=(255, 255, 250, 40))
    return over(ground, scattered)


def paper(rng: np.random.Generator, light: float) -> np.ndarray:
    """A sheet with fibres, sometimes creased or ruled."""
    tones = ["f3efe4", "e6ddca", "d9d6cf", "c9a77c", "b9c6cf", "e9d9d2", "cfd8c4", "4d5964", "a8876a"]
    sheet = colour(tones[rng.integers(len(tones))])
    fibres = fractal(rng, 60, 3, falloff=0.8) * 0.35 + noise(rng, 5) * 0.8
    sheet = sheet * (1 + 0.014 * fibres)
    if rng.random() < 0.35:
        gap, first = rng.uniform(18, 34), rng.uniform(0, 18)
        rows = np.abs((np.arange(SIZE) - first + gap / 2) % gap - gap / 2)
        line = np.clip(1.2 - rows, 0, 1)
        grid = np.maximum(line[:, None], line[None, :]) if rng.random() < 0.5 else np.repeat(line[:, None], SIZE, 1)
        sheet = mix(sheet, colour("7c93ae"), 0.45 * grid)
    y, x = np.mgrid[0:SIZE, 0:SIZE].astype(np.float32)
    height = np.zeros((SIZE, SIZE), np.float32)
    for _ in range(rng.integers(0, 4)):
        angle, place = rng.uniform(0, np.pi), rng.uniform(0.2, 0.8) * SIZE
        across = (x - SIZE / 2) * np.cos(angle) + (y - SIZE / 2) * np.sin(angle) + SIZE / 2 - place
        height += rng.choice([-1, 1]) * rng.uniform(1, 4) * np.exp(-np.abs(across) / rng.uniform(6, 30))
    return sheet * (0.5 + 0.5 * relief(height, light, 0.5))


def grass(rng: np.random.Generator, light: float) -> np.ndarray:
    """A lawn from above: blades from dark, deep ones to light ones on top."""
    low, high = [("16260f", "7fa548"), ("1d2a12", "a3b45a"), ("122415", "5f9460"), ("2c2a14", "b8a860")][rng.integers(4)]
    low, high = colour(low).ravel(), colour(high).ravel()
    size = SIZE * 2
    lawn = Image.new("RGB", (size, size), tuple(int(255 * part) for part in low))
    draw = ImageDraw.Draw(lawn)
    count = 900
    starts, angles = rng.uniform(-60, size + 60, (count, 2)), rng.normal(rng.uniform(0, 2 * np.pi), rng.uniform(0.7, 1.6), count)
    lengths, widths, bends = rng.uniform(50, 150, count), rng.uniform(2.5, 7, count), rng.normal(0, 0.5, count)
    depth = np.arange(count) / count
    tones = low + (high - low) * (0.12 + 0.75 * depth * rng.uniform(0.55, 1.15, count))[:, None]
    along = np.stack([np.cos(angles), np.sin(angles)], 1)
    bent = np.stack([np.cos(angles + bends), np.sin(angles + bends)], 1)
    side = np.stack([-along[:, 1], along[:, 0]], 1) * widths[:, None] / 2
    middles = starts + along * lengths[:, None] / 2
    tips = middles + bent * lengths[:, None] / 2
    whole = np.concatenate([starts - side, middles - side, tips, middles + side, starts + side], 1).tolist()
    lit = np.concatenate([starts, middles, tips, middles + side, starts + side], 1).tolist()
    plain, bright = (np.clip(tones * 255 * gain, 0, 255).astype(int).tolist() for gain in (1.0, 1.16))
    for k in range(count):
        draw.polygon(whole[k], fill=tuple(plain[k]))
        if k > count / 2:  # the lit half of a blade
            draw.polygon(lit[k], fill=tuple(bright[k]))
    return planes(lawn.reduce(2)) * (1 + 0.08 * noise(rng, 3))


def stone(rng: np.random.Generator, light: float) -> np.ndarray:
    """A slab: speckled granite or layered slate, sometimes with a joint or cracks."""
    tones = [("6f7072", "a5a4a0"), ("857868", "bdb09b"), ("4d5359", "7c858c"), ("8d7a70", "c2aba0"), ("a3a096", "d6d3c8")]
    dark, pale = tones[rng.integers(len(tones))]
    rough = fractal(rng, 7, 5, falloff=0.7)
    slab = mix(colour(dark), colour(pale), 0.5 + 0.2 * rough + 0.15 * noise(rng, 3))
    speckle = noise(rng, rng.uniform(90, 150))
    slab = slab * (1 - 0.2 * (speckle > 1.5) + 0.12 * (speckle < -1.6))
    joints = Image.new("L", (SIZE, SIZE))
    draw = ImageDraw.Draw(joints)
    if rng.random() < 0.45:
        angle, place = rng.uniform(0, np.pi), rng.uniform(0.15, 0.85, 2) * SIZE
        along = np.array([np.cos(angle), np.sin(angle)]) * 500
        draw.line([tuple(place - along), tuple(place + along)], fill=255, width=int(rng.integers(4, 9)))
    for _ in range(rng.integers(0, 3)):
        walk = np.cumsum(rng.normal(0, 5, (40, 2)) + rng.normal(0, 5, 2), axis=0) + rng.uniform(0, SIZE, 2)
        draw.line([tuple(point) for point in walk], fill=170, width=1)
    cut = blur(np.asarray(joints, np.float32) / 255, 0.8)
    slab = slab * (1 - 0.62 * cut)
    return slab * (0.55 + 0.45 * relief(rough * 0.9 - 4 * cut, light, 0.8))


def over(image: np.ndarray, layer: Image.Image) -> np.ndarray:
    """`image` with an RGBA layer drawn at twice its size laid on top."""
    small = planes(layer.reduce(2))
    return mix(image, small[:3], small[3])


GROUNDS = (soil, paper, grass, stone)
