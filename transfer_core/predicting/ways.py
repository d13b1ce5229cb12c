"""One image prepared as its model wants it, and in the two ways people get wrong: what the model says of each."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from transfer_core.images import Preprocessing, fit_to, normalise, open_image
from transfer_core.predictor import Predictor

_BYTE = 1 / 255


def wrongly(how: Preprocessing) -> dict[str, Preprocessing]:
    """`own`: the model's own way. `unit`: divided by 255 and no more. `bytes`: not even that (or multiplied back)."""
    return {"own": how, "unit": replace(how, mean=(0.0,) * 3, std=(1.0,) * 3),
            "bytes": replace(how, mean=(0.0,) * 3, std=(_BYTE,) * 3)}


def answer_all_ways(predictor: Predictor, file: Path) -> dict[str, list[float]]:
    """Probabilities by way, in the order of the predictor's classes. Raises `BadImage`."""
    image = fit_to(open_image(file), predictor.preprocessing)  # the geometry is right in all of them
    ways = wrongly(predictor.preprocessing)
    answers = predictor.probabilities(np.stack([normalise(image, how) for how in ways.values()]))
    return {way: [round(float(p), 6) for p in given] for way, given in zip(ways, answers, strict=True)}
