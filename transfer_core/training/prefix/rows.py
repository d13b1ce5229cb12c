"""Between tensors alive across the cut and rows on disk: one row for each image, as the numbers lie in memory.

A row must come back with the strides it had, or a convolution behind the cut would take another path and round differently.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from transfer_core.training.prefix.cut import Live


def to_rows(tensors: Sequence[Tensor], live: Sequence[Live]) -> tuple[np.ndarray, ...]:
    """Tensors of a batch → arrays images × `Live.shape`, float32."""
    return tuple(_to_rows(tensor.detach().float().cpu(), facts) for tensor, facts in zip(tensors, live, strict=True))


def _to_rows(tensor: Tensor, facts: Live) -> np.ndarray:
    if facts.channels_last:
        tensor = tensor.permute(0, 2, 3, 1)
    return tensor.reshape(tensor.shape[0] // facts.merged, *facts.shape).contiguous().numpy()


def from_rows(rows: Sequence[np.ndarray], live: Sequence[Live], device: torch.device | str = "cpu") -> tuple[Tensor, ...]:
    """The reverse: float32 tensors with the shapes and strides the suffix expects."""
    return tuple(_from_rows(array, facts, device) for array, facts in zip(rows, live, strict=True))


def _from_rows(array: np.ndarray, facts: Live, device: torch.device | str) -> Tensor:
    tensor = torch.from_numpy(array).to(device, non_blocking=True).float()
    if facts.merged > 1:
        tensor = tensor.flatten(0, 1)
    return tensor.permute(0, 3, 1, 2) if facts.channels_last else tensor
