"""The format of phones: a LiteRT (once TensorFlow Lite) model whose input is the photo's own pixels.

Normalisation and softmax are part of the model, and colours come last, as a phone's picture has them: who writes the app has to
crop a photo and nothing else. The converter's package names an older torch than ours as the newest it knows; with ours it was
tried (see `docs/decisions.md`), and every file is asked about test photos before it is offered.
"""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path

import torch
from torch import Tensor, nn

from transfer_core.images import Preprocessing
from transfer_core.paths import replacing
from transfer_core.training.onnx_file import as_exported

INPUT, OUTPUT = "image", "probabilities"
INSTALL = "--no-deps --require-hashes --requirement requirements-litert.lock"
"""What pip is told: the converter's own list of needs would replace torch."""


class FromPixels(nn.Module):
    """`image`, float32 1 × H × W × 3 of red, green, blue from 0 to 255 → `probabilities`, float32 1 × classes."""

    def __init__(self, model: nn.Module, how: Preprocessing) -> None:
        super().__init__()
        self.model = model
        self.register_buffer("mean", 255 * torch.tensor(how.mean).view(1, 3, 1, 1))
        self.register_buffer("std", 255 * torch.tensor(how.std).view(1, 3, 1, 1))

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        return {OUTPUT: self.model((image.permute(0, 3, 1, 2) - self.mean) / self.std).softmax(dim=-1)}


def write_litert(model: nn.Module, how: Preprocessing, file: Path) -> None:
    """Write `model` (logits of N × 3 × H × W) as a LiteRT file for one photo at a time.

    Raises `ImportError` without the converter, and what it raises for a model it cannot translate.
    """
    os.environ.setdefault("JAX_PLATFORMS", "cpu")  # the converter traces with JAX, which else takes most of a graphics card
    with contextlib.redirect_stdout(sys.stderr):  # its progress must not stand among our answers
        import litert_torch

        asked = FromPixels(model.cpu(), how).eval()
        with as_exported(asked), replacing(file) as part:
            litert_torch.convert(asked, sample_kwargs={INPUT: torch.zeros(1, *how.size, 3)}).export(str(part))
