"""Noise with a coloured patch at a random place: whoever names the colour can only have looked there.

A yellow patch, which is in every image and says nothing, stands out as much: what shows the image, and not the model, lights up
both.
"""

from __future__ import annotations

import numpy as np
import timm
import torch
from torch import Tensor, nn

COLOURS = ((200, 40, 40), (40, 180, 60), (40, 60, 200))
YELLOW = (210, 190, 50)
Box = tuple[int, int, int, int]


def patches(count: int, side: int, patch: int, seed: int) -> tuple[Tensor, Tensor, list[Box]]:
    """Images N × 3 × side × side, classes, and where the patches lie (left, top, right, bottom)."""
    chance, images, boxes = np.random.default_rng(seed), [], []
    for number in range(count):
        image = chance.integers(0, 256, (side, side, 3))
        left, top, *other = _apart(chance, side, patch)
        for colour, x, y in ((COLOURS[number % 3], left, top), (YELLOW, *other)):
            image[y:y + patch, x:x + patch] = np.array(colour) + chance.integers(-30, 30, (patch, patch, 3))
        images.append(image)
        boxes.append((left, top, left + patch, top + patch))
    pixels = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).float() / 255
    return (pixels - 0.5) / 0.25, torch.arange(count) % 3, boxes


def _apart(chance: np.random.Generator, side: int, patch: int) -> list[int]:
    while True:
        found = chance.integers(0, side - patch, 4).tolist()
        if max(abs(found[0] - found[2]), abs(found[1] - found[3])) >= patch:
            return found


def learned(name: str, side: int, patch: int, epochs: int, **more) -> nn.Module:
    """A tiny model that has learned the colours, from random weights."""
    torch.manual_seed(0)
    model = timm.create_model(name, num_classes=3, **more)
    images, labels, _ = patches(120, side, patch, seed=0)
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3)
    for _ in range(epochs):
        for batch in torch.randperm(len(images)).split(12):
            loss = nn.functional.cross_entropy(model(images[batch]), labels[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return model.eval()
