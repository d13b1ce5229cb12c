"""The freeze ladder made real: which parameters move, which statistics move, and which are pulled back to their start."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from transfer_core.errors import BadRecipe
from transfer_core.recipe import Position, Recipe
from transfer_core.training.layers import LayerGroup, head_parameters
from transfer_core.training.tuning import LowRank, left_out

SMALL_BATCH, FEW_IMAGES = 32, 5000
"""Below either, BatchNorm's running averages of trained groups stay as they came: estimates from few images are worse
than ImageNet's (Kumar et al. 2022 fine-tune that way). With 1,000 they still are, see `docs/decisions.md`."""


@dataclass(frozen=True)
class Ladder:
    """Where each layer group stands, in forward order. The head is not on it: it always trains."""

    rungs: tuple[tuple[LayerGroup, Position], ...]
    head: frozenset[str]
    """Names of the head's parameters."""
    statistics_frozen: bool
    left_out: frozenset[str] = frozenset()
    """Parameters of groups that learn which stay as they are all the same (see `tuning`)."""

    def at(self, *positions: Position) -> list[LayerGroup]:
        return [group for group, position in self.rungs if position in positions]

    def parameters(self, position: Position) -> set[str]:
        return {name for group in self.at(position) for name in group.parameters}

    def learning(self, *positions: Position) -> set[str]:
        """Names of the parameters in groups of these positions that may change; no head."""
        return set().union(*map(self.parameters, positions)) - self.left_out

    @property
    def head_only(self) -> bool:
        return not self.at("train", "anchor")


def climb(recipe: Recipe, model: nn.Module, groups: list[LayerGroup], training_images: int) -> Ladder:
    """Put the recipe's positions onto the layer groups. Raises `BadRecipe` for a group or a number there is not."""
    names = [group.name for group in groups]
    for name in recipe.positions:
        if name not in names:
            raise BadRecipe("unknown_group", model=recipe.model, group=name, allowed=", ".join(names))
    if recipe.freeze != "all" and recipe.freeze > len(groups):
        raise BadRecipe("too_many_frozen", asked=recipe.freeze, model=recipe.model, groups=len(groups))
    rungs = tuple((group, recipe.position(group.name, i, len(groups))) for i, group in enumerate(groups))
    few = recipe.batch_size < SMALL_BATCH or training_images < FEW_IMAGES
    trained = {name for group, position in rungs if position != "freeze" for name in group.parameters}
    return Ladder(rungs, frozenset(head_parameters(model)), few, left_out(recipe, model, trained))


def freeze(model: nn.Module, ladder: Ladder) -> None:
    """Apply the ladder, for good: every later `model.train()` keeps frozen parts in eval mode.

    Without gradient alone, 147 buffers of a "frozen" EfficientNet-Lite0 still move in one training step. Frozen groups
    also lose dropout and drop-path. Anchored groups keep their statistics too, so that λ → ∞ is exactly frozen.
    """
    frozen = ladder.parameters("freeze") | ladder.left_out
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name not in frozen)
    still = _still(model, ladder)

    def train(mode: bool = True) -> nn.Module:
        # An attribute of this one instance: a deep copy would call back into this model, so copy before freezing.
        nn.Module.train(model, mode)
        for module in still:
            module.training = False
        return model

    model.train = train  # type: ignore[method-assign]
    model.train()


def _still(model: nn.Module, ladder: Ladder) -> list[nn.Module]:
    """Modules that never leave eval mode."""
    still = {part for group in ladder.at("freeze") for module in group.modules for part in module.modules()}
    quiet = [part for group in ladder.at("anchor") for module in group.modules for part in module.modules()]
    if ladder.statistics_frozen:
        quiet += [part for group in ladder.at("train") for module in group.modules for part in module.modules()]
    still |= {part for part in quiet if isinstance(part, _BatchNorm)}
    return list(still)


def still_norms(model: nn.Module, ladder: Ladder) -> list[_BatchNorm]:
    """BatchNorm modules whose running averages are to stay as they came."""
    return [module for module in _still(model, ladder) if isinstance(module, _BatchNorm)]


def has_statistics(groups: list[LayerGroup]) -> bool:
    """Whether any of the groups normalises by running averages."""
    return any(isinstance(part, _BatchNorm) for group in groups for module in group.modules for part in module.modules())


def trainable_parameters(model: nn.Module, factors: LowRank | None = None) -> int:
    """Numbers the optimiser may change: where weights change by `factors`, those are counted."""
    replaced, beside = (factors.weights, factors.named) if factors else ({}, {})
    own = [parameter for name, parameter in model.named_parameters() if name not in replaced]
    return sum(parameter.numel() for parameter in (*own, *beside.values()) if parameter.requires_grad)
