"""What every arm of the benchmark shares: its task, the clock, and how it answers. Nothing here but the standard library."""

from __future__ import annotations

import json
import platform
import sys
import time
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

STAGES = {"head": None, "last2": ("blocks.5", "blocks.6", "conv_head", "bn2"), "everything": ("",)}
"""What is trained beside the classifier: the beginnings of parameter names."""
PACKAGES = ("torch", "torchvision", "timm", "onnxruntime", "fastai", "transformers", "accelerate", "autogluon.multimodal")


@dataclass(frozen=True)
class Task:
    """One job for one arm. `photos` holds train, validation and test, each with a folder a class; `weights` is a safetensors
    file of the whole model under timm's names; `home` a data home of ours; `answer` the file the result goes to."""

    arm: str
    regime: str
    epochs: int
    seed: int
    photos: str
    weights: str
    answer: str
    home: str = ""
    model: str = "tf_efficientnet_lite0"

    @classmethod
    def read(cls) -> Task:
        return cls(**json.loads(sys.argv[1]))

    def trains(self, parameter: str) -> bool:
        """Whether the regime trains this parameter of timm's model."""
        return parameter.startswith(("classifier", *(STAGES[self.regime] or ())))

    def done(self, began: float, right: int, n: int, **more: Any) -> None:
        """Write the answer. `began`: time.perf_counter() when the imports were over."""
        Path(self.answer).write_text(json.dumps({
            "seconds": time.perf_counter() - began, "right": right, "n": n, "python": platform.python_version(),
            "versions": _versions(), **more}))


def _versions() -> dict[str, str]:
    found = {}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
