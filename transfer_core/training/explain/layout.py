"""Where in a layer's output the places of the image lie: convolutions keep rows and columns, transformers a list of tokens."""

from __future__ import annotations

from torch import Tensor, nn


def places(output: Tensor, model: nn.Module, images: Tensor) -> Tensor | None:
    """A layer's output for N images as N × rows × columns × channels; None where it tells no places apart.

    Understood are N × C × H × W, N × H × W × C (Swin) and N × tokens × C, whose first tokens may stand for no place (class and
    distillation tokens, registers). Rows and columns must have the proportions of the images.
    """
    size = images.shape[2:]
    if len(output) != len(images):
        return None  # TNT looks into each patch as if it were an image
    if output.ndim == 3:
        return _of_tokens(output, getattr(model, "num_prefix_tokens", 0), size)
    if output.ndim != 4:
        return None
    first, last = _fits(*output.shape[1:3], size), _fits(*output.shape[2:4], size)
    if first and last:  # as many channels as rows and columns
        last = getattr(model, "output_fmt", "NCHW") != "NHWC"
    if last:
        return output.permute(0, 2, 3, 1)
    return output if first else None


def _of_tokens(output: Tensor, prefix: int, size: tuple[int, int]) -> Tensor | None:
    """Class-attention models (CaiT, XCiT) say how many they have, and add them late: so fewer are tried as well."""
    for left_out in dict.fromkeys((prefix, 0, 1, 2)):
        tokens = output[:, left_out:]
        count = tokens.shape[1]
        for rows in range(1, count + 1):
            if count % rows == 0 and _fits(rows, count // rows, size):
                return tokens.reshape(len(output), rows, count // rows, -1)
    return None


def _fits(rows: int, columns: int, size: tuple[int, int]) -> bool:
    height, width = size
    return rows * columns > 1 and abs(columns - rows * width / height) < 1
