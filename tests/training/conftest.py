"""A data home with drawn images, and a recipe for a tiny model: a training takes a second."""

from __future__ import annotations

import pytest
import torch
from drawn_colours import drawn

from transfer_core.datasets.manifest import Manifest
from transfer_core.paths import Home
from transfer_core.recipe import Recipe


@pytest.fixture
def home(tmp_path) -> Home:
    return Home(tmp_path / "home")


@pytest.fixture
def manifest(home) -> Manifest:
    return drawn(home)


@pytest.fixture
def recipe() -> Recipe:
    """A tiny network from random weights, everything trained, no network needed."""
    return Recipe(dataset="colours", model="test_resnet", weights="scratch", freeze=0, epochs=2, batch_size=6,
                  image_size=32, augmentation="none", learning_rate=3e-3, backbone_factor=1.0, patience=0)


@pytest.fixture
def hub_free(monkeypatch):
    """A tiny model with random weights that are the same each time: nothing is fetched."""
    from transfer_core.training import models, weights

    def tensors(_name):
        import timm

        torch.manual_seed(3)
        return timm.create_model("test_resnet").state_dict()

    monkeypatch.setattr(weights, "fetch", lambda _name: iter(()))
    monkeypatch.setattr(models, "pretrained_state_dict", tensors)
