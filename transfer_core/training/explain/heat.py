"""Which places of an image speak for a class: HiResCAM, gradient × activation at the last layer that tells places apart.

Why this one of the Grad-CAM family: Grad-CAM (Selvaraju et al. 2017) averages gradients over all places before it multiplies, and
may so light up places the answer does not depend on. HiResCAM (Draelos & Carin 2021, arXiv:2011.08891) multiplies place by place.
Where pooling and a linear layer follow (or a linear layer alone, the head “flatten”), it is exact: the map adds up to the answer
without its bias. Where more follows, it is the answer's linear part; `linear.Linear` makes that part complete for
normalisation and attention, so that transformers are told of by the same rule.

Explained is a class's logit above the mean of all logits. What is added to all of them alike changes no probability, so it must
not change the map either.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from transfer_core.errors import Unavailable
from transfer_core.training.evaluate import full_float32
from transfer_core.training.explain.layout import places
from transfer_core.training.explain.linear import Linear
from transfer_core.training.explain.untouched import untouched
from transfer_core.training.layers import LayerGroup, layer_groups

METHOD = "hirescam"


@dataclass(frozen=True)
class Heat:
    """What an image's places say for one class."""

    target: int
    """Number of the class."""
    layer: str
    """Path of the module whose output was looked at."""
    evidence: np.ndarray
    """float32 rows × columns; adds up to the class's logit above the mean logit, as far as the model is linear behind `layer`."""
    probabilities: np.ndarray

    @property
    def heat(self) -> np.ndarray:
        """0 to 1: what speaks for the class, as a share of the place that says most. What speaks against it is 0."""
        for_it = self.evidence.clip(min=0)
        return for_it / (for_it.max() or 1)


def heat_of(model: nn.Module, image: Tensor, target: int | None = None) -> Heat:
    """The map of one preprocessed image, float32 1 × 3 × H × W, for a class; for the likeliest one without `target`.

    Gradients are those of activations, so frozen weights do not matter. The model is left as it was: its mode, its weights'
    flags, its hooks. Raises `Unavailable` (`no_heat_map`) where no layer of the model's second half tells places apart and has
    all that the answer depends on pass through it.
    """
    with torch.inference_mode(False), torch.enable_grad(), full_float32(), untouched(model):
        image = image.detach().clone().requires_grad_()
        logits, spatial = _look(model, image, _units(layer_groups(model)))
        target = int(logits.argmax()) if target is None else target
        evidence, layer = _best(model, image, target, spatial)
        return Heat(target, layer, evidence, logits.softmax(-1).numpy())


def _units(groups: Sequence[LayerGroup]) -> dict[str, nn.Module]:
    """Where to look. In front of the middle a model tells edges apart, not things."""
    late = groups[len(groups) // 2:]
    return {name: module for group in late for name, module in zip(group.module_names, group.modules, strict=True)}


def _look(model: nn.Module, image: Tensor, units: dict[str, nn.Module]) -> tuple[Tensor, list[tuple[str, nn.Module]]]:
    """The logits, and which of these modules give places, in the order they ran in. One that runs twice is no place to cut."""
    ran: list[str] = []

    def keep(name: str, output: Any) -> None:
        if sum(places(tensor, model, image) is not None for tensor in _tensors(output)) == 1:
            ran.append(name)

    hooks = [unit.register_forward_hook(lambda _unit, _given, output, name=name: keep(name, output))
             for name, unit in units.items()]
    try:
        with torch.no_grad():
            logits = model(image)[0].float().cpu()
    finally:
        for hook in hooks:
            hook.remove()
    return logits, [(name, units[name]) for name in ran if ran.count(name) == 1]


def _best(model: nn.Module, image: Tensor, target: int, spatial: Sequence[tuple[str, nn.Module]]) -> tuple[np.ndarray, str]:
    """Evidence at the last of these modules where more than one place has a say.

    Behind the last block of a model that answers by its class token, for instance, no gradient reaches any place.
    """
    for name, unit in reversed(spatial):
        found = _evidence(model, image, target, unit)
        if found is not None:
            return found, name
    raise Unavailable("no_heat_map", model=getattr(model, "pretrained_cfg", {}).get("architecture", type(model).__name__))


def _evidence(model: nn.Module, image: Tensor, target: int, unit: nn.Module) -> np.ndarray | None:
    """Gradient × activation of a module's output, summed over channels; None where the answer comes past it or its places."""
    cut: list[Tensor] = []

    def replace(_unit: nn.Module, _given: Any, output: Any) -> Any:
        cut.extend(tensor.detach().requires_grad_() for tensor in _tensors(output))
        copies = [tensor.clone() for tensor in cut]  # the next layer may write into what it is given
        return copies[0] if isinstance(output, Tensor) else type(output)(copies)

    hook = unit.register_forward_hook(replace)
    try:
        with Linear():
            logits = model(image)[0].float()
    finally:
        hook.remove()
    *slopes, past = torch.autograd.grad(logits[target] - logits.mean(), [*cut, image], allow_unused=True)
    if past is not None:
        return None
    slopes = [torch.zeros_like(tensor) if slope is None else slope for tensor, slope in zip(cut, slopes, strict=True)]
    (laid,) = (found for tensor, slope in zip(cut, slopes, strict=True) if (found := _laid(model, image, tensor, slope)))
    evidence, reached = laid
    # A head of zeros has nothing to say of any class: then the map is empty, and not the layer to blame.
    return evidence if reached > 1 or not any(slope.any() for slope in slopes) else None


def _laid(model: nn.Module, image: Tensor, tensor: Tensor, slope: Tensor) -> tuple[np.ndarray, int] | None:
    """Evidence by place, and how many places the answer depends on; None of a tensor without places."""
    found = places(tensor * slope, model, image)
    if found is None:
        return None
    reached = places(slope, model, image).any(-1).sum()
    return found[0].sum(-1).detach().float().cpu().numpy(), int(reached)


def _tensors(output: Any) -> list[Tensor]:
    """Of a tensor, or of a list of nothing but tensors (PiT gives its places and its class token side by side)."""
    parts = [output] if isinstance(output, Tensor) else list(output) if isinstance(output, (tuple, list)) else []
    return parts if all(isinstance(part, Tensor) for part in parts) else []
