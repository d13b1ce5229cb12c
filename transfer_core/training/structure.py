"""Another shape than a model came with: fewer layer groups, or another head (structure transfer).

Weights of what stays are the pretrained ones. A shape is recorded with the run, so that its model can be built again.
"""

from __future__ import annotations

import copy
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from typing import Any

import timm
import torch
from timm.layers import SelectAdaptivePool2d
from torch import Tensor, nn

from transfer_core.errors import BadRecipe
from transfer_core.recipe import Recipe
from transfer_core.training.layers import LayerGroup, layer_groups

_SAME = 1e-4


@dataclass(frozen=True)
class Structure:
    """What differs from timm's own shape."""

    kept_groups: int | None = None
    head: str = "linear"
    head_width: int = 256
    head_dropout: float = 0.2

    @classmethod
    def of(cls, recipe: Recipe) -> Structure:
        """What a recipe asks for; width and dropout mean something of a hidden layer only."""
        if recipe.head != "hidden":
            return cls(recipe.kept_groups, recipe.head)
        return cls(recipe.kept_groups, recipe.head, recipe.head_width, recipe.head_dropout)

    @classmethod
    def from_dict(cls, facts: Mapping[str, Any] | None) -> Structure:
        """Of a run's `info.json`; a run from before there was a choice has timm's shape."""
        return cls(**(facts or {}))

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    def fits(self, other: Structure) -> bool:
        """Whether weights of one fit the other: dropout has none."""
        return replace(self, head_dropout=0.0) == replace(other, head_dropout=0.0)

    @property
    def usual(self) -> bool:
        """Whether timm can build it by the architecture's name alone."""
        return self.kept_groups is None and self.head == "linear"


AS_IT_CAME = Structure()


def shorten(model: nn.Module, name: str, kept: int | None) -> bool:
    """Leave out every layer group behind the first `kept`, and the classifier that read them; whether there was anything to do.

    Raises `BadRecipe` where the model cannot end there; the error names where it can.
    """
    if kept is None or kept == len(layer_groups(model)):
        return False
    places = endings(name)
    if kept not in places:
        raise BadRecipe("cannot_shorten", model=name, kept=kept, allowed=", ".join(map(str, places)) or "–")
    model.prune_intermediate_layers([places[kept].place], prune_norm=False, prune_head=False)
    return True


@dataclass(frozen=True)
class Ending:
    """Where a backbone can end before its own end."""

    place: int
    """timm's number of the feature it then ends with."""
    features: int
    """Numbers a linear head is given."""
    norm: tuple[int, int] = (0, 0)
    """Parameters of the last norm, which stays without its group; and how many of them are biases."""


@lru_cache(maxsize=64)
def endings(name: str) -> dict[int, Ending]:
    """By the number of leading layer groups that are kept, in order; nothing for a model that timm cannot shorten.

    Found by trying, on a model without weights: timm's pruning says what it keeps, which need not be whole groups, and not every
    model then takes a new head.
    """
    with torch.device("meta"):
        model = timm.create_model(name).eval()
        groups, pool, size = layer_groups(model), pooling(model), model.pretrained_cfg["input_size"]
        found: dict[int, Ending] = {}
        for place in reversed(range(len(getattr(model, "feature_info", ())))):
            kept = 0
            try:
                model.prune_intermediate_layers([place], prune_norm=False, prune_head=False)
                if not (kept := _kept(model, groups)) or kept in found:
                    continue
                found[kept] = Ending(place, model.num_features, _last_norm(model, groups[-1]))
                put_head(model, AS_IT_CAME, 2, size[1:], pool)
                with torch.no_grad():
                    answered = model(torch.zeros(1, *size)).shape == (1, 2)
            except Exception:  # noqa: BLE001  a model that has no such method, or one that says no in its own way
                answered = False
            if not answered:
                found.pop(kept, None)
                break
    return dict(sorted(found.items()))


def _kept(model: nn.Module, groups: list[LayerGroup]) -> int:
    """How many leading groups are left, or 0 where what is left are not whole ones, or a single one, which would be no ladder.
    The last norm may stay without its group."""
    left = {name: parameter.ndim for name, parameter in model.named_parameters()}
    count = next((number for number, group in enumerate(groups) if not left.keys() >= set(group.parameters)), len(groups))
    behind = [name for group in groups[count:-1] for name in group.parameters if name in left]
    norms = [left[name] for name in groups[-1].parameters if name in left] if count < len(groups) else []
    if not 1 < count < len(groups) or behind or max(norms, default=1) > 1:
        return 0
    # A list with one block left is called after the list, and recipes know groups by name.
    return count if count > 2 or [group.name for group in layer_groups(model)] == [group.name for group in groups[:2]] else 0


def _last_norm(model: nn.Module, last: LayerGroup) -> tuple[int, int]:
    left = {name: parameter.numel() for name, parameter in model.named_parameters() if name in set(last.parameters)}
    return sum(left.values()), sum(count for name, count in left.items() if name.endswith("bias"))


def pooling(model: nn.Module) -> str | None:
    """How the model makes one vector of its last features, as `reset_classifier` wants it; None where it takes no such word."""
    if pools := _pools(model):
        return pools[0][1].pool_type or None
    kind = getattr(model, "global_pool", None)
    return kind if isinstance(kind, str) else None


def put_head(model: nn.Module, structure: Structure, num_classes: int, size: tuple[int, int], pool: str | None = None) -> None:
    """A new head of random weights. `pool` brings back the pooling that a shortened model has lost.

    Raises `BadRecipe` where the model's head cannot have this form.
    """
    if pool is None:
        model.reset_classifier(num_classes)
    else:
        model.reset_classifier(num_classes, pool)
    if structure.head == "linear":
        return
    path, last = _linear(model, structure)
    before = [group.name for group in layer_groups(model)]
    if structure.head == "hidden":
        width = structure.head_width
        layers = {"hidden": nn.Linear(last.in_features, width), "act": nn.ReLU(), "drop": nn.Dropout(structure.head_dropout),
                  "out": nn.Linear(width, num_classes)}
        model.set_submodule(path, nn.Sequential(OrderedDict(layers)).to(last.weight.device))
    else:
        _flatten(model, path, num_classes, size, structure)
    if [group.name for group in layer_groups(model)] != before:  # a few models find their groups by the head's own name
        raise BadRecipe("head_unfit", head=structure.head, model=type(model).__name__)


def reshape(model: nn.Module, name: str, structure: Structure, num_classes: int, size: tuple[int, int]) -> None:
    """Give a model as timm makes it this shape, with a new head. Raises `BadRecipe`."""
    if not structure.usual:
        pool = pooling(model)
        shorten(model, name, structure.kept_groups)
        put_head(model, structure, num_classes, size, pool)


def _linear(model: nn.Module, structure: Structure) -> tuple[str, nn.Linear]:
    head = model.get_classifier()
    if not isinstance(head, nn.Linear):
        raise BadRecipe("head_unfit", head=structure.head, model=type(model).__name__)
    return next(path for path, module in model.named_modules() if module is head), head


def _pools(model: nn.Module) -> list[tuple[str, SelectAdaptivePool2d]]:
    return [(path, module) for path, module in model.named_modules() if isinstance(module, SelectAdaptivePool2d)]


def _flatten(model: nn.Module, path: str, num_classes: int, size: tuple[int, int], structure: Structure) -> None:
    """The classifier reads every place of the last features: what lies between them and it must be pooling and nothing else."""
    pools, device = _pools(model), next(model.parameters()).device
    if len(pools) != 1 or not pools[0][1].pool_type:
        raise BadRecipe("head_unfit", head=structure.head, model=type(model).__name__)
    place, pool = pools[0]
    images = torch.linspace(-1, 1, 3 * size[0] * size[1], device=device).view(1, 3, *size)
    model.set_submodule(path, nn.Identity())
    pooled = _seen(model, images)
    model.set_submodule(place, SelectAdaptivePool2d(pool_type="", flatten=False, input_fmt=getattr(pool, "input_fmt", "NCHW")))
    plain = _seen(model, images)
    again = pool(plain).flatten(1) if plain.ndim == 4 else None
    if again is None or again.shape != pooled.flatten(1).shape or not torch.allclose(again, pooled.flatten(1), atol=_SAME):
        raise BadRecipe("head_unfit", head=structure.head, model=type(model).__name__)
    layers = {"flat": nn.Flatten(1), "out": nn.Linear(plain[0].numel(), num_classes)}
    model.set_submodule(path, nn.Sequential(OrderedDict(layers)).to(device))


@torch.no_grad()
def _seen(model: nn.Module, images: Tensor) -> Tensor:
    training = model.training
    try:
        return model.eval()(images)
    finally:
        model.train(training)


def behind_pooling(heads: list[nn.Module], model: nn.Module) -> list[nn.Module]:
    """Classifiers that read what the model pools, as they read what it does not pool any more. Call it before it changes."""
    pools = [copy.deepcopy(pool) for _, pool in _pools(model)[:1]]
    return [nn.Sequential(*pools, nn.Flatten(1), head) for head in heads]
