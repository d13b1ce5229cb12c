"""A process that helps with trainings (see `test_ranks`): one line of JSON on stdin each, one line on stdout when it is done."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import timm
import torch

from transfer_core.datasets.manifest import Manifest
from transfer_core.paths import Home
from transfer_core.recipe import Recipe
from transfer_core.training import freezing, models, weights
from transfer_core.training.ranks import helping
from transfer_core.training.step import train_step


def tensors(_name: str) -> dict[str, torch.Tensor]:
    """As the fixture `hub_free` has them."""
    torch.manual_seed(3)
    return timm.create_model("test_resnet").state_dict()


def at(step: int, what: str):
    """A step that goes wrong once."""
    made = 0

    def stepped(training, images, labels):
        nonlocal made
        made += 1
        if made == step and what == "die":
            os._exit(9)
        if made == step and what == "full":
            return train_step(training, None, labels)  # as when there was no room for the images
        return train_step(training, images, labels)

    return stepped


def say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def main() -> None:
    weights.fetch, models.pretrained_state_dict = (lambda _name: iter(())), tensors
    say("ready")
    for line in sys.stdin:
        told = json.loads(line)
        freezing.SMALL_BATCH = freezing.FEW_IMAGES = 0 if told["moving"] else 10**6
        helping.train_step = at(*told["wrong"]) if told["wrong"] else train_step
        home, recipe = Home(Path(told["home"])), Recipe(**told["recipe"])
        try:
            for _ in helping.help_with(recipe, Manifest.read(home, recipe.dataset, recipe.version), home, Path(told["out"]),
                                       Path(told["folder"]), "127.0.0.1", lambda: True, device="cpu"):
                pass
            say("done")
        except Exception as error:
            say(repr(error))


if __name__ == "__main__":
    main()
