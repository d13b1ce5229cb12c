"""A trained model's answers through the store: what its frozen layers said during the training is not computed again."""

from __future__ import annotations

import json
from collections.abc import Generator
from pathlib import Path

import numpy as np
import torch
from torch import nn

from transfer_core.activations import Shelf, make_room
from transfer_core.events import Event
from transfer_core.paths import Home
from transfer_core.recipe import Recipe
from transfer_core.training.freezing import climb, freeze
from transfer_core.training.layers import layer_groups
from transfer_core.training.models import in_fast_layout
from transfer_core.training.pipeline import ImageInputs, in_order
from transfer_core.training.prefix.cut import CannotCut, Cut, cut
from transfer_core.training.prefix.engine import Eager, choose
from transfer_core.training.prefix.fill import Counted, fill
from transfer_core.training.prefix.inputs import StoredInputs
from transfer_core.training.prefix.plan import fingerprint
from transfer_core.training.prefix.shorten import CHECKED, CHOICE, agrees, read_choice, spec_of
from transfer_core.training.prefix.views import View

_BATCH = 64


class StoredAnswers:
    """The model of a run's folder, cut as it was for its training. None of it is used when the run went the long way.

    Rounded activations (float16) are good enough to learn from, not to be measured by: such runs are measured in full, too.
    """

    def __init__(self, folder: Path, model: nn.Module, home: Home, device: torch.device) -> None:
        self.folder, self.model, self.home, self.device = folder, model, home, device

    def logits(self, inputs: ImageInputs) -> Generator[Event, None, np.ndarray | None]:
        """Progress; returns float32 images × classes, or None where the whole model has to be asked."""
        choice = read_choice(self.folder / CHOICE)
        if choice.get("dtype") != "float32" or not len(inputs.labels):
            return None
        try:
            recipe, parts, mark = self._cut(inputs)
        except (CannotCut, OSError, ValueError):
            return None
        spec = spec_of(recipe, inputs.how, parts, mark, choice["engine"], View(None), "float32")
        images, shelf = inputs.digests, Shelf(self.home)
        entry = shelf.entry(spec)
        missing = len(entry.missing(images))
        trial = np.stack([inputs.plain(place) for place in range(min(CHECKED, len(images)))])
        eager = Eager(parts, self.device, torch.no_grad, _BATCH)
        engine = choose(parts, eager, trial, missing, self.home, mark, choice["engine"])
        if engine.name != choice["engine"] or not make_room(shelf, missing * spec.bytes_per_image, frozenset({spec.key})):
            return None
        try:
            yield from fill(entry, images, inputs.plain, engine, Counted(len(images)))
        except OSError:  # the disk is full; the predictions need that room now
            shelf.remove(spec.key)
            return None
        rows = entry.rows(images)
        if not agrees(self.model, parts, torch.from_numpy(trial), rows, "float32", self.device):
            return None
        self.model.eval()
        stored = StoredInputs((rows,), inputs.labels, parts.live)
        with torch.inference_mode():
            given = [parts.suffix(*(tensor.to(self.device) for tensor in tensors)).float().cpu()
                     for tensors, _ in stored.batches(in_order(len(images), _BATCH), epoch=0)]
        return torch.cat(given).numpy()

    def _cut(self, inputs: ImageInputs) -> tuple[Recipe, Cut, str]:
        recipe = Recipe(**json.loads((self.folder / "recipe.json").read_text("utf-8")))
        info = json.loads((self.folder / "info.json").read_text("utf-8"))
        model = in_fast_layout(self.model).to(self.device)
        ladder = climb(recipe, model, layer_groups(model), 0)
        freeze(model, ladder)
        parts = cut(model, ladder, inputs.how.size)
        return recipe, parts, fingerprint(parts, info["architecture"], info["arguments"])
