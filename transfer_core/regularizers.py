"""Ω(θ): penalties on weights, for L(θ) = L_target(θ) + λ_Ω · Ω(θ). Larger λ_Ω stays closer, or simpler.

Most are functions of the trainable weights `now` and their values at the `start` (name → tensor). Biases and one-dimensional
norm parameters are left out by the caller. One with the fact `of` = "features" is a function of a batch of features instead.
Tensors are used through their own methods, and torch is imported inside, so that the light half knows which choices there are.

How far λ reaches: a weight drifts at most by the sum of the learning rates (Adam's steps are about one learning rate long),
and the pull holds it when λ times that sum is near 1. With 300 steps at a mean of 1.5e-4 that is λ ≈ 20. Measured on drawn
leaves, 18 steps: drift 0.0220 at λ = 0 and 0.01, 0.0217 at 10, 0.0198 at 100, 0.0078 at 1000. Hence `default` and `top`.

How λ_Ω acts on weights is the entry's `step`: penalties are decoupled from the optimiser's gradient scaling (as AdamW does with
weight decay), because a penalty inside Adam's gradient is divided by its own size: λ = 1e-4 and λ = 1 would take the same first
step.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from transfer_core.registry import Registry

if TYPE_CHECKING:
    from torch import Tensor

REGULARIZERS: Registry = Registry("regularizer")
Weights = Mapping[str, "Tensor"]


def _shrink(weight: Tensor, start: Tensor | None, amount: float) -> None:
    """w ← (w + amount · w⁰) / (1 + amount), with w⁰ = 0 where there is no start. `amount` is learning rate times λ_Ω.

    The proximal step of ½ (w − w⁰)² (Parikh & Boyd 2014, §6.1.1): stable for every amount, w⁰ itself when λ → ∞, and
    after plain gradient steps it rests exactly where ∇L_target + λ_Ω (w − w⁰) = 0, whatever the learning rate.
    """
    if start is not None:
        weight.lerp_(start, amount / (1 + amount))
    else:
        weight.div_(1 + amount)


def _to_zero(weight: Tensor, start: Tensor | None, amount: float) -> None:
    _shrink(weight, None, amount)


def _soft_threshold(weight: Tensor, start: Tensor | None, amount: float) -> None:
    """The proximal step of |w|: w ← sign(w) · max(|w| − amount, 0). Only this gives zeros that are zeros."""
    weight.copy_(weight.sign() * (weight.abs() - amount).clamp_(min=0))


def _towards_start(weight: Tensor, start: Tensor | None, amount: float) -> None:
    """The proximal step of |w − w⁰|: a weight that would not move further than `amount` stays exactly where it started."""
    if start is None:
        _soft_threshold(weight, None, amount)
        return
    moved = weight - start
    weight.copy_(start + moved.sign() * (moved.abs() - amount).clamp_(min=0))


@REGULARIZERS.add("l2", step=_to_zero, formula="½ Σ w²", paper="Hoerl & Kennard 1970", default=0.01, top=1.0)
def l2(now: Weights, start: Weights) -> Tensor:
    """Keep all trained weights small. The classic weight decay."""
    return sum((weight * weight).sum() for weight in now.values()) / 2


@REGULARIZERS.add("l1", step=_soft_threshold, formula="Σ |w|", paper="Tibshirani 1996", default=1e-4, top=0.01)
def l1(now: Weights, start: Weights) -> Tensor:
    """Push unneeded weights to exactly zero."""
    return sum(weight.abs().sum() for weight in now.values())


@REGULARIZERS.add("l2_sp", step=_shrink, formula="½ Σ (w − w⁰)² + ½ Σ w_head²", paper="Li et al. 2018, arXiv:1802.01483",
                  default=10.0, top=1000.0)
def l2_sp(now: Weights, start: Weights) -> Tensor:
    """Stay near the weights the model arrived with; new layers, which have no start, stay small."""
    return sum(((weight - start[name]) ** 2 if name in start else weight**2).sum() for name, weight in now.items()) / 2


@REGULARIZERS.add("l1_sp", step=_towards_start, formula="Σ |w − w⁰| + Σ |w_head|", paper="Li et al. 2018, arXiv:1802.01483",
                  default=1e-3, top=0.1)
def l1_sp(now: Weights, start: Weights) -> Tensor:
    """Change few weights: most stay exactly what they were before training, some move freely."""
    return sum((weight - start[name] if name in start else weight).abs().sum() for name, weight in now.items())


@REGULARIZERS.add("bss", of="features", formula="σ²_min of a batch of features", paper="Chen et al. 2019 (BSS, k = 1)",
                  default=1e-3, top=1.0)
def bss(features: Tensor, smallest: int = 1) -> Tensor:
    """Let go of what hardly shows in your photos: directions in which their features barely differ are pressed to zero.

    Σ of the `smallest` squared singular values σ² of the batch, N × D. They are eigenvalues of the smaller of F Fᵀ and Fᵀ F,
    whose gradient is the same and costs no singular vectors of length D. It says nothing of the source: it prunes what would
    transfer badly. Its size depends on the batch size, and λ_Ω acts through the gradient.
    """
    from torch import autocast
    from torch.linalg import eigvalsh

    with autocast(features.device.type, enabled=False):  # half precision would leave nothing of the smallest
        features = features.float() if features.element_size() < 4 else features
        count, width = features.shape
        gram = features @ features.mT if count <= width else features.mT @ features
        if not gram.isfinite().all():  # which eigenvalues would be an error about; the training says it better
            return gram.sum() * float("nan")
        if gram.device.type == "mps":  # cannot find eigenvalues
            gram = gram.cpu()
        return eigvalsh(gram)[:smallest].clamp_min(0).sum().to(features.device)
