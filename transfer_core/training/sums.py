"""Running means of a pass over images."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from transfer_core.events import Losses
from transfer_core.training.objective import Parts


class Sums:
    """Means over samples, kept on the device so that a step waits for no number."""

    def __init__(self, num_classes: int, device: torch.device) -> None:
        self.values: dict[str, Tensor] = {}
        self.count = 0
        self.confusion = torch.zeros(num_classes, num_classes, dtype=torch.long, device=device)
        self._right: list[Tensor] = []

    def add(self, parts: Parts, labels: Tensor) -> None:
        self.count += len(labels)
        for name in ("total", "target", "source", "penalty"):
            if (value := getattr(parts, name)) is not None:
                self.values[name] = self.values.get(name, 0) + value.detach().float() * len(labels)
        guess = parts.logits.detach().argmax(-1)
        self._right.append(guess == labels)
        size = len(self.confusion)
        self.confusion += torch.bincount(labels * size + guess, minlength=size * size).view(size, size)

    def count_source(self, loss: float, lambda_target: float) -> None:
        """Add the mean source loss of other images, and what it changes in the total: (L_source + λ · L_target) / (1 + λ)."""
        if not self.count:
            return
        target = self.values["target"]
        self.values["source"] = torch.as_tensor(loss * self.count)
        self.values["total"] = self.values["total"] + (self.values["source"] - target) / (1 + lambda_target)

    @property
    def losses(self) -> Losses:
        return Losses(**{name: float(value) / self.count for name, value in self.values.items()})

    @property
    def right(self) -> np.ndarray:
        """Of each image, in the order they came: was it named rightly?"""
        return torch.cat(self._right).cpu().numpy() if self._right else np.zeros(0, bool)

    @property
    def accuracy(self) -> float:
        return float(self.confusion.trace()) / max(1, self.count)
