"""How the groups that train may learn: all their weights, only the norms, only the biases, or a change of low rank."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase

from transfer_core.errors import BadRecipe
from transfer_core.recipe import Recipe

_NORMS = (_NormBase, nn.LayerNorm, nn.GroupNorm, nn.RMSNorm)


def left_out(recipe: Recipe, model: nn.Module, trained: set[str]) -> frozenset[str]:
    """Of the `trained` parameters those that stay as they are, by the recipe's `tuning`.

    Raises `BadRecipe` where the model has nothing of that kind in the groups that train.
    """
    if recipe.tuning == "all" or not trained:
        return frozenset()
    chosen = trained & set(KINDS[recipe.tuning](model))
    if not chosen:
        raise BadRecipe("nothing_tuned", model=recipe.model, tuning=recipe.tuning)
    return frozenset(trained - chosen)


def _norms(model: nn.Module) -> Iterator[str]:
    """Scale and shift of every norm, timm's own norms included (Frankle et al. 2021, arXiv:2003.00152)."""
    for path, module in model.named_modules():
        if isinstance(module, _NORMS) or "norm" in type(module).__name__.lower():
            yield from (f"{path}.{name}" for name, _ in module.named_parameters(recurse=False))


def _biases(model: nn.Module) -> Iterator[str]:
    """Whatever is added and not multiplied (BitFit, Ben Zaken et al. 2022, arXiv:2106.10199)."""
    return (name for name, _ in model.named_parameters() if name.endswith("bias"))


def _matrices(model: nn.Module) -> Iterator[str]:
    """Weights of linear layers and of convolutions that mix channels; those of depthwise ones are of low rank anyway."""
    for path, module in model.named_modules():
        if isinstance(module, nn.Linear) or (isinstance(module, nn.Conv2d) and module.groups == 1):
            yield f"{path}.weight"


KINDS = {"norm": _norms, "bias": _biases, "lora": _matrices}
"""What may change → the names of such parameters."""


class LowRank(nn.Module):
    """W = W⁰ + B A with B out × r zero and A r × in at random: LoRA (Hu et al. 2022, arXiv:2106.09685) with α = r.

    A convolution's weight is out × (in · height · width), as in the `peft` package. The model keeps its own weights, under their
    own names, and they are always W: whatever reads weights (folding, the meter, files) needs to know nothing of this. The
    optimiser moves A and B instead, whose gradients follow from that of W: ∂L/∂B = ∂L/∂W · Aᵀ, ∂L/∂A = Bᵀ · ∂L/∂W. That keeps
    one gradient as large as W, which matters for language models and hardly for these.

    Make it with the model on its device, before the first step. Its own state dict goes into the checkpoint.
    """

    def __init__(self, weights: Mapping[str, nn.Parameter], rank: int, seed: int) -> None:
        super().__init__()
        self.weights = dict(weights)
        self._start = {name: weight.detach().clone() for name, weight in weights.items()}
        chance = torch.Generator().manual_seed(seed)
        self.first, self.second = nn.ParameterList(), nn.ParameterList()
        for weight in weights.values():
            rows, columns = weight.flatten(1).shape
            least = min(rank, rows, columns)
            bound = 1 / math.sqrt(columns)  # Kaiming's uniform with a = √5, which is what nn.Linear begins with
            first = (torch.rand(least, columns, generator=chance) * 2 - 1) * bound
            self.first.append(nn.Parameter(first.to(weight)))
            self.second.append(nn.Parameter(torch.zeros(rows, least).to(weight)))

    @property
    def named(self) -> dict[str, nn.Parameter]:
        """Factors by name."""
        pairs = zip(self.weights, self.first, self.second, strict=True)
        return {f"{name}.{which}": factor for name, first, second in pairs for which, factor in (("a", first), ("b", second))}

    @torch.no_grad()
    def gather(self) -> None:
        """After the backward pass: from the weights' gradients those of the factors."""
        for weight, first, second in zip(self.weights.values(), self.first, self.second, strict=True):
            if weight.grad is None:
                continue
            slope = weight.grad.flatten(1)
            first.grad, second.grad = second.mT @ slope, slope @ first.mT
            weight.grad = None

    @torch.no_grad()
    def write(self) -> None:
        """After the optimiser's step: the weights as the factors say."""
        for (name, weight), first, second in zip(self.weights.items(), self.first, self.second, strict=True):
            weight.copy_(self._start[name] + (second @ first).view(weight.shape))

    def load_state_dict(self, state_dict: Mapping[str, Tensor], *args, **kwargs):
        found = super().load_state_dict(state_dict, *args, **kwargs)
        self.write()
        return found


def low_rank(recipe: Recipe, model: nn.Module, learning: set[str]) -> LowRank | None:
    """`learning` are the names of the weights that learn, without the head."""
    if recipe.tuning != "lora" or not learning:
        return None
    return LowRank({name: parameter for name, parameter in model.named_parameters() if name in learning}, recipe.lora_rank,
                   recipe.seed)
