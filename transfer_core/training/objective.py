"""The objective of a recipe, part by part, exactly as DESIGN §4 writes it:

    source–target form   L(θ) = ( L_source(θ) + λ · L_target(θ) ) / (1 + λ)
    regularised form     L(θ) = L_target(θ) + λ_Ω · Ω(θ)

Both may be set. L_target is cross-entropy on logits, a mean over the samples. Gradients flow through the data terms only;
Ω acts as a proximal step after the optimiser's (see `regularizers`), and its value is reported with the rest.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.optim import Optimizer

from transfer_core.errors import BadRecipe
from transfer_core.recipe import Recipe
from transfer_core.regularizers import REGULARIZERS, l2_sp
from transfer_core.source_losses import SOURCE_LOSSES
from transfer_core.training.freezing import Ladder
from transfer_core.training.layers import LayerGroup
from transfer_core.training.models import Built, features_and_logits


@dataclass
class Parts:
    """The loss of one batch. `data` is what gradients flow through; `total` adds the weighted penalties."""

    logits: Tensor
    target: Tensor
    data: Tensor
    total: Tensor
    source: Tensor | None = None
    penalty: Tensor | None = None


class Objective:
    """Make it before `freeze` and after the model is on its device: it copies the start.

    Raises `BadRecipe` when the source loss needs an original classifier and the model has none.
    """

    def __init__(self, recipe: Recipe, built: Built, ladder: Ladder, class_weights: Tensor | None = None) -> None:
        self.recipe, self.class_weights = recipe, class_weights
        self.teacher = copy.deepcopy(built.model).requires_grad_(False).eval() if _needs_teacher(recipe, ladder) else None
        """The model as it was; `shorten` puts its suffix in its place."""
        self.source = _source_term(recipe, built, ladder, self.teacher) if self.teacher else None
        self.choice = REGULARIZERS[recipe.regularizer] if recipe.regularizer and recipe.lambda_omega else None
        parameters = dict(built.model.named_parameters())
        decayed = ladder.head | ladder.parameters("train")
        # A bias or a norm's scale is one number a channel: pulling it to zero switches the channel off, so Ω leaves it out.
        self.decayed = {name: p for name, p in parameters.items() if name in decayed and p.ndim > 1} if self.choice else {}
        # An anchor pulls to the start, not to zero, so it holds every parameter; only then is λ → ∞ the same as frozen.
        self.anchored = {name: parameters[name] for name in ladder.parameters("anchor")}
        near = set(self.anchored) | ((set(self.decayed) - ladder.head) if recipe.regularizer == "l2_sp" else set())
        self.start = {name: parameters[name].detach().clone() for name in near}

    def __call__(self, network: Callable[[Tensor], Tensor], images: Tensor, labels: Tensor) -> Parts:
        """`network` is the model (or its head, when `images` are features). Labels int64 N."""
        if self.source is None:
            logits, source = network(images), None
        else:
            logits, source = self.source(network, self.teacher, images)
        target = self._cross_entropy(logits.float(), labels)
        weight = self.recipe.lambda_target
        data = target if source is None else (source + weight * target) / (1 + weight)
        penalty, weighted = self._penalties()
        total = data.detach() if weighted is None else data.detach() + weighted
        return Parts(logits, target, data, total, source, penalty)

    def _cross_entropy(self, logits: Tensor, labels: Tensor) -> Tensor:
        smoothing = self.recipe.label_smoothing
        if self.class_weights is None:
            return cross_entropy(logits, labels, label_smoothing=smoothing)
        # PyTorch's weighted mean divides by the weights in the batch, which differ from batch to batch; a plain mean does not.
        each = cross_entropy(logits, labels, reduction="none", label_smoothing=smoothing)
        return (each * self.class_weights[labels]).mean()

    @torch.no_grad()
    def _penalties(self) -> tuple[Tensor | None, Tensor | None]:
        """The penalties' sum, unweighted and weighted by their λ."""
        plain, weighted = [], []
        if self.decayed:
            plain.append(self.choice(self.decayed, self.start))
            weighted.append(self.recipe.lambda_omega * plain[-1])
        if self.anchored:
            plain.append(l2_sp(self.anchored, self.start))
            weighted.append(self.recipe.lambda_anchor * plain[-1])
        return (sum(plain), sum(weighted)) if plain else (None, None)

    @torch.no_grad()
    def pull(self, optimizer: Optimizer) -> None:
        """After the optimiser's step: the proximal step of each penalty, as strong as learning rate × λ."""
        for group in optimizer.param_groups:
            anchored = group["position"] == "anchor"
            if anchored:
                step, strength = REGULARIZERS["l2_sp"].facts["step"], self.recipe.lambda_anchor
            elif self.choice:
                step, strength = self.choice.facts["step"], self.recipe.lambda_omega
            else:
                continue
            held = self.anchored if anchored else self.decayed
            for name in group["names"]:
                if name in held:
                    step(held[name], self.start.get(name), group["lr"] * strength)


Network = Callable[[Any], Tensor]
"""The model, or the suffix of a cut one; its modules' hooks fire either way."""
Source = Callable[[Network, Network, Any], tuple[Tensor, Tensor]]


def _needs_teacher(recipe: Recipe, ladder: Ladder) -> bool:
    return recipe.source_loss is not None and not ladder.head_only


def _source_term(recipe: Recipe, built: Built, ladder: Ladder, teacher: nn.Module) -> Source:
    choice = SOURCE_LOSSES[recipe.source_loss]
    if choice.facts["needs"] == "source_logits":
        if not built.source_head:
            raise BadRecipe("no_source_head", model=recipe.model)
        return _on_source_logits(choice.function, built.source_head)
    paths = _output_paths(ladder.at("train", "anchor"))
    now = {name: built.model.get_submodule(path) for name, path in paths.items()}
    start = {name: teacher.get_submodule(path) for name, path in paths.items()}
    return _on_features(choice.function, now, start, recipe.model)


def _on_source_logits(loss: Callable[[Tensor, Tensor], Tensor], heads: list[nn.Module]) -> Source:
    def answers(model: Network, images: Any) -> tuple[Tensor, Tensor]:
        features, logits = features_and_logits(model, images)
        given = [head(feature) for head, feature in zip(heads, features, strict=True)]
        return sum(given) / len(given), logits  # distilled models average their two heads

    def term(model: Network, teacher: Network, images: Any) -> tuple[Tensor, Tensor]:
        now, logits = answers(model, images)
        with torch.no_grad():
            start, _ = answers(teacher, images)
        return logits, loss(now.float(), start.float())

    return term


def _on_features(loss: Callable[[dict, dict], Tensor], now_units: dict[str, nn.Module], start_units: dict[str, nn.Module],
                 name: str) -> Source:
    def term(model: Network, teacher: Network, images: Any) -> tuple[Tensor, Tensor]:
        with _watching(now_units) as now:
            logits = model(images)
        if not now:  # no group's last module gives a plain tensor
            raise BadRecipe("no_feature_groups", model=name)
        with torch.no_grad(), _watching(start_units) as start:
            teacher(images)
        return logits, loss(now, start)

    return term


def _output_paths(groups: list[LayerGroup]) -> dict[str, str]:
    """Layer group → path of the module whose output is the group's: the last one that has parameters."""
    found = {}
    for group in groups:
        paths = [path for path, module in zip(group.module_names, group.modules, strict=True)
                 if next(module.parameters(), None) is not None]
        if paths:
            found[group.name] = paths[-1]
    return found


@contextmanager
def _watching(units: dict[str, nn.Module]) -> Iterator[dict[str, Tensor]]:
    """Collect the outputs of some modules during one forward pass."""
    seen: dict[str, Tensor] = {}

    def keep(name: str) -> Callable[..., None]:
        def hook(_module: nn.Module, _inputs: Any, output: Any) -> None:
            if isinstance(output, Tensor):
                seen[name] = output.float()

        return hook

    hooks = [unit.register_forward_hook(keep(name)) for name, unit in units.items()]
    try:
        yield seen
    finally:
        for hook in hooks:
            hook.remove()
