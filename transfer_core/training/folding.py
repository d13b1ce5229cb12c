"""A convolution and the BatchNorm behind it as one convolution, while both learn.

Where BatchNorm's averages stay as they came, it is a scale and a shift for each channel, and they may as well be applied to
the convolution's weights: w · γ/√(σ² + ε), β + (b − μ) · γ/√(σ² + ε). The parameters stay what they were, and autograd finds
their gradients through this product. What falls away is a pass over every picture in both directions, and the need to keep what
lies between the two (Jacob et al. 2018, arXiv:1712.05877, eq. 14, fold so for inference; here γ and β go on learning).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from functools import partial

import torch
from timm.layers import BatchNormAct2d, Conv2dSame, conv2d_same
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from transfer_core.training.freezing import Ladder
from transfer_core.training.models import classifiers

log = logging.getLogger(__name__)
SAME = 1e-3
"""Largest difference of the features, relative to the largest of them, that rounding may make."""
_REPAYS = 2
"""The product and its gradient are two passes over the weights; what it saves is at least two over the picture."""
Images = Tensor | tuple[Tensor, ...]
Pair = tuple[nn.Conv2d, nn.BatchNorm2d]


def fold(model: nn.Module, network: Callable, ladder: Ladder, images: Images, batch: int) -> int:
    """Let such pairs of `network` (the model or a part of it) run as one from now on; returns how many. None, when the answers
    for `images` would not stay the same. The model's parameters, buffers and state dict are untouched.

    Where a layer has more weights than it says numbers of a `batch`, the product costs more than it saves, and it stays as it is.
    Call it with the ladder applied.
    """
    pairs = list(_pairs(model, network, ladder, images, batch))
    before = _features(model, network, images)
    for convolution, norm in pairs:
        convolution.forward = partial(_folded, convolution, norm)
        norm.forward = partial(_rest, norm)
    after = _features(model, network, images)
    if not all(torch.allclose(one, other, rtol=0, atol=SAME * float(one.abs().max()))
               for one, other in zip(before, after, strict=True)):
        log.warning("convolutions and BatchNorm are not folded: the features would change")
        unfold(model)
        return 0
    return len(pairs)


def unfold(model: nn.Module) -> None:
    for module in model.modules():
        if isinstance(module, (nn.Conv2d, nn.BatchNorm2d)):
            vars(module).pop("forward", None)


def _features(model: nn.Module, network: Callable, images: Images) -> list[Tensor]:
    """What the heads are given: their own answers are all zero at the start of a training, whatever came in."""
    given: list[Tensor] = []
    hooks = [head.register_forward_pre_hook(lambda _head, inputs: given.append(inputs[0])) for head in classifiers(model)]
    answers = _watched(hooks, model, network, images)
    return [*given, answers]


def _watched(hooks: Sequence[RemovableHandle], model: nn.Module, network: Callable, images: Images) -> Tensor:
    """The network's answers in evaluation mode; the hooks that listen are taken off again."""
    was = model.training
    model.eval()
    try:
        with torch.no_grad():
            return network(images)
    finally:
        model.train(was)
        for hook in hooks:
            hook.remove()


def _pairs(model: nn.Module, network: Callable, ladder: Ladder, images: Images, batch: int) -> Iterator[Pair]:
    """Each convolution that speaks to one BatchNorm only, found by watching what `images` pass through."""
    group = {part: place for place, (rung, _) in enumerate(ladder.rungs) for module in rung.modules for part in module.modules()}
    said: dict[int, tuple[Tensor, nn.Conv2d]] = {}
    calls: dict[nn.Module, int] = {}
    met: list[Pair] = []
    numbers: dict[nn.Module, int] = {}
    """What a convolution says of one image."""

    def spoke(module: nn.Module, _given: tuple, answer: Tensor) -> None:
        calls[module] = calls.get(module, 0) + 1
        said[id(answer)], numbers[module] = (answer, module), answer[0].numel()

    def heard(module: nn.Module, given: tuple) -> None:
        calls[module] = calls.get(module, 0) + 1
        if id(given[0]) in said:
            met.append((said[id(given[0])][1], module))

    hooks = [*(part.register_forward_hook(spoke) for part in model.modules() if type(part) in _CONVOLVED),
             *(part.register_forward_pre_hook(heard) for part in model.modules() if type(part) in _NORMS)]
    still = {part for part in model.modules() if isinstance(part, nn.BatchNorm2d) and not part.training}
    _watched(hooks, model, network, images)
    for convolution, norm in met:
        learns = any(parameter.requires_grad for part in (convolution, norm) for parameter in part.parameters())
        repays = batch * numbers[convolution] > _REPAYS * convolution.weight.numel()
        alone = calls[convolution] == calls[norm] == 1 and sum(convolution is other for other, _ in met) == 1
        if (learns and alone and repays and norm in still and norm.affine and norm.running_var is not None
                and group.get(convolution) == group.get(norm)):  # what a group says at its end is asked for by others
            yield convolution, norm


def _folded(convolution: nn.Conv2d, norm: nn.BatchNorm2d, images: Tensor) -> Tensor:
    scale = norm.weight * torch.rsqrt(norm.running_var + norm.eps)
    shift = norm.bias - norm.running_mean * scale
    if convolution.bias is not None:
        shift = shift + convolution.bias * scale
    weight = convolution.weight * scale[:, None, None, None]
    return _CONVOLVED[type(convolution)](convolution, images, weight, shift)


def _rest(norm: nn.BatchNorm2d, images: Tensor) -> Tensor:
    """What a norm layer of timm does besides."""
    return norm.act(norm.drop(images)) if isinstance(norm, BatchNormAct2d) else images


def _plain(module: nn.Conv2d, images: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    return module._conv_forward(images, weight, bias)


def _padded(module: Conv2dSame, images: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    return conv2d_same(images, weight, bias, module.stride, module.padding, module.dilation, module.groups)


_NORMS = (nn.BatchNorm2d, BatchNormAct2d)
_CONVOLVED: dict[type, Callable[..., Tensor]] = {nn.Conv2d: _plain, Conv2dSame: _padded}

