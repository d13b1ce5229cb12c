"""The formulas the Learn page shows, as functions of numbers small enough to be worked out by hand. Pure numpy."""

from __future__ import annotations

import math

import numpy as np


def shares(value: float) -> tuple[float, float]:
    """What the source and the target loss count in (L_source + λ · L_target) / (1 + λ); they sum to 1."""
    return 1 / (1 + value), value / (1 + value)


def lowest(best: float, towards: float, value: float, *, absolute: bool, curvature: float = 1.0) -> float:
    """Where ½ a (θ − θ*)² + λ Ω(θ) is lowest, with Ω = ½ (θ − c)², or |θ − c| when `absolute`.

    `best` is θ*, `towards` is c, `curvature` is a > 0. Of the square it is a weighted mean; of the absolute value the
    soft threshold (Tibshirani 1996), which is exactly c from λ = a · |θ* − c| on.
    """
    if not absolute:
        return (curvature * best + value * towards) / (curvature + value)
    away = best - towards
    return towards + math.copysign(max(abs(away) - value / curvature, 0.0), away)


def passes(images: int, epochs: int, frozen: float, views: int = 1) -> tuple[float, float]:
    """Work of the forward passes of a training, in passes of one image through the whole model: without storing what frozen
    layers say, and with it. `frozen` is their share of a pass; `views` how many variations of each image are stored."""
    return float(epochs * images), images * (views * frozen + epochs * (1 - frozen))


def luckiest(tries: int, n: int, share: float) -> float:
    """What the best of so many equally good models scores on average, each right with probability `share` on each of `n` images.

    E[max] = Σ_j (1 − F(j)^k) with F of the binomial distribution, for draws independent of each other. Models that make the
    same mistakes spread less: for them it is an upper bound.
    """
    if n == 0 or share in (0.0, 1.0):
        return share
    right = np.arange(n + 1)
    factorial = np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, n + 1)))])
    log = factorial[n] - factorial - factorial[::-1] + right * math.log(share) + (n - right) * math.log1p(-share)
    below = np.cumsum(np.exp(log)).clip(0, 1)
    return float((1 - below[:-1] ** tries).sum() / n)
