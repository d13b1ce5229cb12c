"""A photo as a trained run sees it: its answer, which places speak for it, and a picture of both."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import torch
from PIL import Image

from transfer_core.errors import NotFound
from transfer_core.framing import seen
from transfer_core.images import open_image, preprocess
from transfer_core.training.explain.heat import METHOD, Heat, heat_of
from transfer_core.training.explain.overlay import Box, overlay
from transfer_core.training.models import load_run


@dataclass(frozen=True)
class Explained:
    """Why a run says of a photo what it says."""

    label: str
    """The class that is explained."""
    probabilities: Mapping[str, float]
    map: Heat
    box: Box
    """Left, top, right, bottom of the map in the upright photo's pixels."""
    picture: Image.Image
    """The map over the photo."""

    def to_dict(self) -> dict[str, Any]:
        """As the command line prints it; heat is 0 to 1, row by row from the top."""
        heat = [[round(float(value), 3) for value in row] for row in self.map.heat]
        return {"label": self.label, "probabilities": dict(self.probabilities), "method": METHOD, "layer": self.map.layer,
                "grid": list(self.map.evidence.shape), "box": [round(side, 1) for side in self.box], "heat": heat}


class Explainer:
    """A trained run that can be asked about many photos, on the processor. Raises `NotFound` (no trained model)."""

    def __init__(self, run_folder: Path | str) -> None:
        self.model, self.classes, self.how = load_run(Path(run_folder))

    def __call__(self, photo: Path | bytes | BinaryIO, label: str | None = None) -> Explained:
        """For the class `label`, or the one the run names. Raises `NotFound` (no such class), `BadImage`, `Unavailable`
        (`no_heat_map`: this model shows no places)."""
        if label is not None and label not in self.classes:
            raise NotFound("no_class", name=label, known=", ".join(self.classes))
        image = open_image(photo)
        inputs = torch.from_numpy(preprocess(image, self.how))[None]
        found = heat_of(self.model, inputs, None if label is None else self.classes.index(label))
        box = seen(image.size, self.how)
        probabilities = {name: float(p) for name, p in zip(self.classes, found.probabilities, strict=True)}
        return Explained(self.classes[found.target], probabilities, found, box, overlay(image, found.heat, box))


def explain(run_folder: Path | str, photo: Path | bytes | BinaryIO, label: str | None = None) -> Explained:
    """One photo. Raises what `Explainer` raises."""
    return Explainer(run_folder)(photo, label)
