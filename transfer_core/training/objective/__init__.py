"""The objective of a recipe, part by part, exactly as DESIGN §4 writes it:

    source–target form   L(θ) = ( L_source(θ) + λ · L_target(θ) ) / (1 + λ)
    regularised form     L(θ) = L_target(θ) + λ_Ω · Ω(θ)

Both may be set. L_target is cross-entropy on logits, a mean over the samples. Gradients flow through the data terms, and through
an Ω of features. An Ω of weights acts as a proximal step after the optimiser's (see `regularizers`), and its value is reported
with the rest.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
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
from transfer_core.training.models import Built, classifiers, new_head
from transfer_core.training.objective.terms import Answers, Importance, Joint, Network, Relation, Term, Views
from transfer_core.training.tuning import LowRank

_NEAR_START = ("l2_sp", "l1_sp")


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

    `source_classes` are those of the source dataset, for a source loss that needs one; `factors` stand in Ω for weights that
    change by them.
    Raises `BadRecipe` when the source loss needs an original classifier and the model has none.
    """

    def __init__(self, recipe: Recipe, built: Built, ladder: Ladder, class_weights: Tensor | None = None,
                 source_classes: Sequence[str] = (), factors: LowRank | None = None) -> None:
        self.recipe, self.class_weights = recipe, class_weights
        self.source = None if recipe.source_loss is None or ladder.head_only else _term(recipe, built, ladder, source_classes)
        chosen = REGULARIZERS[recipe.regularizer] if recipe.regularizer and recipe.lambda_omega else None
        of_features = chosen is not None and chosen.facts.get("of") == "features"
        self.of_features = chosen if of_features and not ladder.head_only else None
        self.of_weights = None if of_features else chosen
        self.classifiers = classifiers(built.model)
        # A change of low rank starts at zero: to pull its factors there is to pull the weights to their start.
        beside = dict(factors.named) if factors else {}
        parameters = {**dict(built.model.named_parameters()), **beside}
        decayed = ladder.head | (set(beside) if factors else ladder.learning("train"))
        # A bias or a norm's scale is one number a channel: pulling it to zero switches the channel off, so Ω leaves it out.
        self.decayed = {name: p for name, p in parameters.items() if name in decayed and p.ndim > 1} if self.of_weights else {}
        # An anchor pulls to the start, not to zero, so it holds every parameter; only then is λ → ∞ the same as frozen.
        self.anchored = {name: parameters[name] for name in ladder.learning("anchor")}
        starts = set(self.decayed) - ladder.head - set(beside) if recipe.regularizer in _NEAR_START else set()
        near = set(self.anchored) | starts
        self.start = {name: parameters[name].detach().clone() for name in near}

    def __call__(self, network: Network, images: Any, labels: Tensor) -> Parts:
        """`network` is the model (or its head, when `images` are features). Labels int64 N."""
        with self._features() as features:
            logits, source = self.source(network, images, labels) if self.source else (network(images), None)
        target = self._cross_entropy(logits.float(), labels)
        weight = self.recipe.lambda_target
        data = target if source is None else (source + weight * target) / (1 + weight)
        spectral = None
        if self.of_features:
            spectral = sum(self.of_features(feature[:len(labels)]) for feature in features)
            data = data + self.recipe.lambda_omega * spectral
        penalty, weighted = self._penalties(None if spectral is None else spectral.detach())
        total = data.detach() if weighted is None else data.detach() + weighted
        return Parts(logits, target, data, total, source, penalty)

    @contextmanager
    def _features(self) -> Iterator[list[Tensor]]:
        """What the person's own classifiers are given, where an Ω asks for it."""
        given: list[Tensor] = []
        hooks = [head.register_forward_pre_hook(lambda _head, inputs: given.append(inputs[0].flatten(1)))
                 for head in (self.classifiers if self.of_features else ())]
        try:
            yield given
        finally:
            for hook in hooks:
                hook.remove()

    def _cross_entropy(self, logits: Tensor, labels: Tensor) -> Tensor:
        smoothing = self.recipe.label_smoothing
        if self.class_weights is None:
            return cross_entropy(logits, labels, label_smoothing=smoothing)
        # PyTorch's weighted mean divides by the weights in the batch, which differ from batch to batch; a plain mean does not.
        each = cross_entropy(logits, labels, reduction="none", label_smoothing=smoothing)
        return (each * self.class_weights[labels]).mean()

    @torch.no_grad()
    def _penalties(self, spectral: Tensor | None) -> tuple[Tensor | None, Tensor | None]:
        """The penalties' sum, unweighted, and of those that act on weights the sum weighted by their λ."""
        plain, weighted = [], []
        if spectral is not None:
            plain.append(spectral)
        if self.decayed:
            plain.append(self.of_weights(self.decayed, self.start))
            weighted.append(self.recipe.lambda_omega * plain[-1])
        if self.anchored:
            plain.append(l2_sp(self.anchored, self.start))
            weighted.append(self.recipe.lambda_anchor * plain[-1])
        return sum(plain) if plain else None, sum(weighted) if weighted else None

    @torch.no_grad()
    def pull(self, optimizer: Optimizer) -> None:
        """After the optimiser's step: the proximal step of each penalty, as strong as learning rate × λ."""
        for group in optimizer.param_groups:
            anchored = group["position"] == "anchor"
            if anchored:
                step, strength = REGULARIZERS["l2_sp"].facts["step"], self.recipe.lambda_anchor
            elif self.of_weights:
                step, strength = self.of_weights.facts["step"], self.recipe.lambda_omega
            else:
                continue
            held = self.anchored if anchored else self.decayed
            for name in group["names"]:
                if name in held:
                    step(held[name], self.start.get(name), group["lr"] * strength)

    @property
    def looks_inside(self) -> bool:
        """Whether a step needs the hooks of the model's modules."""
        return self.source is not None or self.of_features is not None

    @property
    def source_heads(self) -> Sequence[nn.Module]:
        """Source classifiers that learn along and are no part of the model."""
        return self.source.heads if self.source else ()


def _term(recipe: Recipe, built: Built, ladder: Ladder, source_classes: Sequence[str]) -> Term:
    choice = SOURCE_LOSSES[recipe.source_loss]
    needs = choice.facts["needs"]
    if needs in ("source_logits", "relation", "importance") and not built.source_head:
        raise BadRecipe("no_source_head", model=recipe.model)
    make = {
        "source_logits": lambda: Answers(choice.function, built),
        "features": lambda: Views(choice.function, built, ladder.at("train", "anchor")),
        "relation": lambda: Relation(choice.function, built, built.model.num_classes),
        "importance": lambda: Importance(choice.function, built, ladder),
        "source_images": lambda: Joint(choice.function, *_second_heads(built, source_classes), recipe.seed),
    }
    return make[needs]()


def _second_heads(built: Built, classes: Sequence[str]) -> tuple[list[nn.Module], bool]:
    """Classifiers for other classes on the same features: those of the run it started from, or new ones, all zeros; and whether
    they are new."""
    if built.source_head and built.source_classes == list(classes):
        return [copy.deepcopy(head).requires_grad_(True) for head in built.source_head], False
    model = copy.deepcopy(built.model)
    new_head(model, len(classes), built.structure, built.preprocessing.size, built.pool)
    return [head.requires_grad_(True) for head in classifiers(model)], True


__all__ = ["Answers", "Joint", "Network", "Objective", "Parts", "Term"]
