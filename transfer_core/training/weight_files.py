"""Weight files from strangers: read without running anything in them, and fitted to a model tensor by tensor."""

from __future__ import annotations

import pickle
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from transfer_core.errors import BadWeights
from transfer_core.training.layers import head_parameters
from transfer_core.words import Message, message

_WRAPPERS = ("state_dict", "model_state_dict", "model", "state_dict_ema", "model_ema", "net", "weights")
_PREFIXES = ("module.", "model.", "_orig_mod.", "backbone.", "encoder.", "net.")
_HEADS = ("classifier", "fc", "head", "head.fc", "last_linear", "head.l", "classifier.fc", "classif")
ENOUGH = 0.9
"""Share of the backbone's tensors that must fit; a file that misses more belongs to another model."""


@dataclass(frozen=True)
class WeightFile:
    """What a weight file holds, for a person to see before using it."""

    format: str
    tensors: int
    parameters: int
    bytes: int
    classes: int | None
    """How many classes its head knew, where a head is found by its usual names."""


def inspect_weights(path: Path) -> WeightFile:
    """Describe a weight file. Raises `BadWeights` when it is none, or would need its own code to run."""
    tensors = read_weights(path)
    heads = (tensors[f"{name}.weight"] for name in _HEADS if f"{name}.weight" in tensors)
    classes = next((len(head) for head in heads if head.ndim >= 2), None)
    return WeightFile(_format(path), len(tensors), sum(t.numel() for t in tensors.values()), path.stat().st_size, classes)


def read_weights(path: Path) -> dict[str, Tensor]:
    """Names → tensors, without wrappers (`{"state_dict": …}`) and without prefixes (`module.`). Never unpickles code."""
    try:
        content = load_file(path) if _format(path) == "safetensors" else torch.load(path, "cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        # torch raises this for a file that asks for anything but tensors and plain containers, and for a broken one.
        code = "weights_unsafe" if "weights_only" in str(error).lower() and "GLOBAL" in str(error) else "weights_unreadable"
        raise BadWeights(code, file=path.name) from error
    except Exception as error:  # an unpickler fed with any other file can raise anything, IndexError among it
        raise BadWeights("weights_unreadable", file=path.name) from error
    tensors = _unwrapped(content)
    if not tensors:
        raise BadWeights("weights_unreadable", file=path.name)
    return _without_prefixes(tensors)


def fit_weights(model: nn.Module, tensors: dict[str, Tensor], file: str) -> tuple[set[str], list[Message]]:
    """Load every tensor that fits into `model`; returns their names, and what was left out in words. A head of another size is.

    Raises `BadWeights` when fewer than `ENOUGH` of the backbone's tensors have their name and shape in the file.
    """
    tensors = _as_timm_names(model, tensors)
    wanted, head = model.state_dict(), head_parameters(model)
    fitting = {name: tensors[name] for name, tensor in wanted.items()
               if name in tensors and tensors[name].shape == tensor.shape}
    backbone = [name for name in wanted if name not in head]
    fits = sum(name in fitting for name in backbone)
    if fits < ENOUGH * len(backbone):
        raise BadWeights("weights_do_not_fit", file=file, model=type(model).__name__, fitting=fits, total=len(backbone))
    model.load_state_dict(fitting, strict=False)
    notes = []
    if fits < len(backbone):
        notes.append(message("fit.weights_partly", fitting=fits, total=len(backbone), file=file))
    if not head <= set(fitting):
        notes.append(message("fit.head_left_out", file=file))
    return set(fitting), notes


def _format(path: Path) -> str:
    """By content, not by name: safetensors begins with the length of its JSON header, then `{`."""
    with path.open("rb") as file:
        return "safetensors" if file.read(9)[8:9] == b"{" else "torch"


def _unwrapped(content: Any) -> dict[str, Tensor]:
    while isinstance(content, dict):
        inner = next((content[key] for key in _WRAPPERS if isinstance(content.get(key), dict)), None)
        if inner is None:
            return {str(name): value for name, value in content.items() if isinstance(value, Tensor)}
        content = inner
    return {}


def _without_prefixes(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    while prefix := next((p for p in _PREFIXES if all(name.startswith(p) for name in tensors)), None):
        tensors = {name.removeprefix(prefix): tensor for name, tensor in tensors.items()}
    return tensors


def _as_timm_names(model: nn.Module, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """timm's own translation of original checkpoints (other names, position embeddings of another size), where it has one."""
    translate = getattr(sys.modules[type(model).__module__], "checkpoint_filter_fn", None)
    if translate is None:
        return tensors
    try:
        translated = translate(dict(tensors), model)
    except Exception:  # noqa: BLE001  written for its own checkpoints; on anything else it may fail in any way
        return tensors
    return translated if isinstance(translated, dict) else tensors
