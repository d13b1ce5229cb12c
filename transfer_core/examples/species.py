"""The outlines and veins of four leaves, in leaf units: the petiole joins at (0, 0), the tip is near (0, 1).

Each function returns a `Leaf`; every number in it varies a little from leaf to leaf, as it does on one tree.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

Path = np.ndarray
"""Points × 2: x across, y along the leaf."""


@dataclass(frozen=True)
class Leaf:
    outline: Path
    veins: tuple[tuple[Path, float], ...]
    """Each vein with its width at the start, as a share of the midrib's."""
    petiole: float
    """Length of the stalk in leaf units."""
    extent: float
    """Length in leaf units of the longest side: what the drawn size refers to."""


def ginkgo(rng: np.random.Generator) -> Leaf:
    """A fan, often cleft in the middle, with veins that fork and never cross."""
    half = np.radians(rng.uniform(52, 88))
    angles = np.linspace(-half, half, 181)
    share = angles / half
    radius = 0.96 - 0.10 * share**2 + 0.02 * np.sin(rng.uniform(5, 9) * share * np.pi + rng.uniform(0, 6))
    radius += 0.022 * np.interp(share, np.linspace(-1, 1, 23), rng.normal(0, 1, 23))
    cleft, width = rng.uniform(0.0, 0.55) * (rng.random() < 0.8), rng.uniform(0.025, 0.07)
    radius -= cleft * np.exp(-(((share - rng.normal(0, 0.05)) / width) ** 2))
    for _ in range(rng.integers(0, 4)):
        radius -= rng.uniform(0.04, 0.16) * np.exp(-(((share - rng.uniform(-0.9, 0.9)) / 0.025) ** 2))
    rim = np.stack([radius * np.sin(angles), radius * np.cos(angles)], 1)
    # The two sides run in a hollow curve from the stalk to the corners of the fan.
    left = _curve([(0, -0.02), (rim[0, 0] * 0.28, rim[0, 1] * 0.28 + 0.09), tuple(rim[0])], 20)
    right = _curve([tuple(rim[-1]), (rim[-1, 0] * 0.28, rim[-1, 1] * 0.28 + 0.09), (0, -0.02)], 20)
    veins = []
    for k in np.linspace(-0.97, 0.97, 33):
        end = 0.97 * np.interp(k, share, radius)
        start = rng.uniform(0.02, 0.10)
        fork = rng.uniform(0.35, 0.7) * end
        mid = 0.93 * k * half
        for spread in (-0.014, 0.014):
            a = k * half + spread * half
            points = [(start * np.sin(mid), start * np.cos(mid)), (fork * np.sin(mid), fork * np.cos(mid)),
                      (end * np.sin(a), end * np.cos(a))]
            veins.append((np.array(points), 0.34))
    return Leaf(np.concatenate([left, rim, right]), tuple(veins), rng.uniform(0.5, 0.95), 1.35)


_MAPLE = ((0, 1.0), (7, 0.77), (15, 0.76), (13.5, 0.60), (22, 0.37), (33, 0.58), (37, 0.72), (42, 0.70), (53, 0.95),
          (59, 0.72), (70, 0.71), (67, 0.56), (80, 0.33), (93, 0.48), (107, 0.62), (114, 0.46), (127, 0.43), (132, 0.30),
          (163, 0.24), (180, 0.06))
"""Half a maple leaf as (degrees from the tip, radius): tips, side teeth and the bays between three lobes."""


def maple(rng: np.random.Generator) -> Leaf:
    """Five pointed lobes like a hand, with pointed side teeth."""
    deep, slim = rng.uniform(0.8, 1.2), rng.uniform(0.92, 1.08)
    sides, tips = [], []
    for sign in (-1, 1):
        points = []
        for degrees, radius in _MAPLE:
            radius = radius if radius > 0.5 else radius * deep
            radius, degrees = radius * (1 + rng.normal(0, 0.035)), degrees * slim + rng.normal(0, 1.2) * (0 < degrees < 180)
            points.append((radius * np.sin(np.radians(degrees)) * sign, radius * np.cos(np.radians(degrees))))
        points[-1] = (0, -0.02)
        if sign == 1:
            points[0] = sides[0][0]
        sides.append(points)
        tips += [points[8], points[14]]
    outline = sides[1] + sides[0][::-1][1:-1]
    # Edges between teeth sag a little towards the centre.
    curves = []
    for here, there in zip(outline, outline[1:] + outline[:1], strict=True):
        middle = (np.add(here, there) / 2) * 0.965
        curves.append(_curve([here, tuple(middle), there], 6)[:-1])
    veins = [(np.array([(0, 0), np.multiply(tip, 0.97)]), 1.0 if k == 0 else 0.85) for k, tip in enumerate([sides[0][0], *tips])]
    for main, _ in tuple(veins):
        end = main[1]
        length, direction = np.hypot(*end), np.arctan2(end[1], end[0])
        for share in np.linspace(0.3, 0.85, 5) + rng.normal(0, 0.02):
            for side in (-1, 1):
                reach = length * 0.30 * (1.05 - share)
                a = direction + side * np.radians(42)
                veins.append((np.array([end * share, end * share + reach * np.array([np.cos(a), np.sin(a)])]), 0.4))
    return Leaf(np.concatenate(curves), tuple(veins), rng.uniform(0.45, 0.9), 1.5)


def oak(rng: np.random.Generator) -> Leaf:
    """Longish, widest above the middle, with round lobes and round bays."""
    lobes, depth = int(rng.integers(4, 7)), rng.uniform(0.36, 0.62)
    t = np.linspace(0, 1, 241)
    body = rng.uniform(0.30, 0.40) * (np.sin(np.pi * t**1.35) ** 0.8 + 0.06 * (1 - t) * (t > 0.01))
    sides, veins = [], [(np.array([(0, 0), (0, 0.97)]), 0.8)]
    for sign in (-1, 1):
        warp = np.clip(t + 0.03 * np.interp(t, np.linspace(0, 1, 9), rng.normal(0, 0.8, 9)), 0, None)
        phase = rng.uniform(-0.12, 0.12) + 0.18 * (sign > 0)
        wave = np.abs(np.sin(np.pi * (lobes * warp**0.92 + phase))) ** 0.7
        cut = depth * np.clip(np.minimum(t / 0.12, (1 - t) / 0.10), 0, 1)
        width = body * (1 - cut * (1 - wave))
        y = t + 0.075 * (wave - 0.6) * np.sin(np.pi * t)  # lobes lean towards the tip
        sides.append(np.stack([sign * width, y], 1))
        peaks = [k for k in range(3, len(t) - 8) if wave[k] >= wave[k - 1] and wave[k] > wave[k + 1] and t[k] > 0.1]
        for k in peaks:
            tip = np.array([sign * width[k] * 0.92, y[k]])
            start = np.array([0, max(0.04, t[k] - 0.16 - 0.2 * width[k])])
            veins.append((_curve([tuple(start), tuple(start * 0.45 + tip * 0.55 - (0, 0.012)), tuple(tip)], 8), 0.42))
    return Leaf(np.concatenate([sides[0], sides[1][::-1]]), tuple(veins), rng.uniform(0.06, 0.16), 1.0)


def willow(rng: np.random.Generator) -> Leaf:
    """A narrow blade with a long tip and a finely toothed edge."""
    t = np.linspace(0, 1, 321)
    half = rng.uniform(0.07, 0.115)
    body = half * np.sin(np.pi * t ** rng.uniform(0.72, 0.95)) ** rng.uniform(0.8, 1.1)
    teeth = (t * rng.uniform(38, 52)) % 1
    veins = [(np.array([(0, 0), (0, 0.985)]), 0.85)]
    sides = []
    for sign in (-1, 1):
        width = body + 0.007 * (teeth - 0.5) * np.sin(np.pi * t)
        sides.append(np.stack([sign * width, t], 1))
        for start in np.linspace(0.06, 0.88, 17) + rng.normal(0, 0.008, 17):
            reach = min(start + 0.085, 0.99)
            edge = 0.86 * float(np.interp(reach, t, body))
            veins.append((_curve([(0, start), (sign * edge * 0.7, start + 0.03), (sign * edge, reach)], 6), 0.4))
    return Leaf(np.concatenate([sides[0], sides[1][::-1]]), tuple(veins), rng.uniform(0.05, 0.12), 1.0)


def _curve(points: list[tuple[float, float]], count: int) -> Path:
    """A quadratic Bézier curve through the first and last of three points, `count` points."""
    a, b, c = (np.array(point, float) for point in points)
    t = np.linspace(0, 1, count)[:, None]
    return (1 - t) ** 2 * a + 2 * t * (1 - t) * b + t**2 * c


SPECIES = {"ginkgo": ginkgo, "maple": maple, "oak": oak, "willow": willow}
