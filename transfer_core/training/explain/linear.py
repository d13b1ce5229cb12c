"""Transformers made linear in what their tokens carry, for as long as a gradient is taken.

Gradient × activation adds up to the answer only where the answer is linear in the activation. LayerNorm is not: it takes every
factor out again, so that by Euler's theorem Σ x ∂f/∂x is exactly zero of each token that reaches f through a LayerNorm only. That
is each patch of a Vision Transformer in front of its last block: a naive map of it is rounding noise. Ali et al. 2022
(arXiv:2202.07304) take what normalisation divides by, and whom attention looks at, for constants. The answers stay the same.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode


class Linear(TorchFunctionMode):
    """Inside, gradients pass normalisations and attention as if they were linear. Values are untouched, and so is the model."""

    def __torch_function__(self, function: Callable[..., Any], _types: Sequence[type], given: Sequence[Any] = (),
                           named: Mapping[str, Any] | None = None) -> Any:
        named = named or {}
        if function in _CONSTANT:
            return function(*given, **named).detach()
        return _INSTEAD.get(function, function)(*given, **named)


def _attention(query: Tensor, key: Tensor, value: Tensor, *given: Any, **named: Any) -> Tensor:
    return nn.functional.scaled_dot_product_attention(query.detach(), key.detach(), value, *given, **named)


def _layer_norm(x: Tensor, normalized_shape: Sequence[int], weight: Tensor | None = None, bias: Tensor | None = None,
                eps: float = 1e-5) -> Tensor:
    axes = tuple(range(-len(normalized_shape), 0))
    return _scaled(x - x.mean(axes, keepdim=True), axes, eps, weight, bias)


def _rms_norm(x: Tensor, normalized_shape: Sequence[int], weight: Tensor | None = None, eps: float | None = None) -> Tensor:
    eps = torch.finfo(x.dtype).eps if eps is None else eps
    return _scaled(x, tuple(range(-len(normalized_shape), 0)), eps, weight, None)


def _group_norm(x: Tensor, num_groups: int, weight: Tensor | None = None, bias: Tensor | None = None,
                eps: float = 1e-5) -> Tensor:
    groups = x.reshape(len(x), num_groups, -1)
    normal = _scaled(groups - groups.mean(-1, keepdim=True), (-1,), eps, None, None).reshape(x.shape)
    a_channel = (-1, *(1,) * (x.ndim - 2))
    normal = normal if weight is None else normal * weight.view(a_channel)
    return normal if bias is None else normal + bias.view(a_channel)


def _scaled(x: Tensor, axes: tuple[int, ...], eps: float, weight: Tensor | None, bias: Tensor | None) -> Tensor:
    x = x * (x.detach().square().mean(axes, keepdim=True) + eps).rsqrt()
    x = x if weight is None else x * weight
    return x if bias is None else x + bias


_CONSTANT = {torch.softmax, Tensor.softmax, nn.functional.softmax}
_INSTEAD: dict[Callable[..., Any], Callable[..., Tensor]] = {
    nn.functional.scaled_dot_product_attention: _attention,
    nn.functional.layer_norm: _layer_norm, torch.layer_norm: _layer_norm,
    nn.functional.rms_norm: _rms_norm, nn.functional.group_norm: _group_norm,
}
