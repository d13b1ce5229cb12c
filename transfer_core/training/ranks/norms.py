"""BatchNorm over the batch of all ranks, while it goes by the batch at hand (Ioffe & Szegedy 2015, arXiv:1502.03167).

Each rank tells how many numbers a channel has, their mean, and their squares about it; from these follow mean and variance of
all (Chan et al. 1979), and gradients flow back through the same sum. PyTorch's SyncBatchNorm does so on graphics cards only, and
counts every image it is given; here an image that stands in for an empty share counts for nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from timm.layers import BatchNormAct2d
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

if TYPE_CHECKING:
    from transfer_core.training.loop import Training
    from transfer_core.training.ranks.team import Team

KNOWN = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, BatchNormAct2d)


def live_norms(model: nn.Module) -> list[_BatchNorm]:
    """Those that go by the batch at hand. Call it in training mode."""
    return [part for part in model.modules() if isinstance(part, _BatchNorm) and part.training]


@contextmanager
def together(norms: list[_BatchNorm], team: Team) -> Iterator[None]:
    """Inside, these see the batch of the whole team."""
    for norm in norms:
        norm.forward = partial(_forward, norm, team)
    try:
        yield
    finally:
        for norm in norms:
            vars(norm).pop("forward", None)


@contextmanager
def shared(training: Training) -> Iterator[None]:
    """The same for the model of a training, where it has a team."""
    if training.team is None:
        yield
        return
    training.model.train()
    with together(live_norms(training.model), training.team):
        yield


def _forward(norm: _BatchNorm, team: Team, given: Tensor) -> Tensor:
    if not norm.training:
        return type(norm).forward(norm, given)
    values = given.float()
    places = [place for place in range(values.ndim) if place != 1]
    own = values.numel() // values.shape[1]
    count = values.new_tensor(float(own if team.counts else 0))
    mean = values.mean(places)
    squares = ((values - mean.view(_shape(values))) ** 2).sum(places)
    total, middle, spread = _of_all(count, mean, squares, team)
    variance = spread / total
    if norm.track_running_stats and norm.running_mean is not None:
        _move(norm, middle.detach(), (spread / (total - 1)).detach())
    normed = (values - middle.view(_shape(values))) * torch.rsqrt(variance + norm.eps).view(_shape(values))
    if norm.affine:
        normed = normed * norm.weight.view(_shape(values)) + norm.bias.view(_shape(values))
    normed = normed.to(given.dtype)
    return norm.act(norm.drop(normed)) if isinstance(norm, BatchNormAct2d) else normed


def _of_all(count: Tensor, mean: Tensor, squares: Tensor, team: Team) -> tuple[Tensor, Tensor, Tensor]:
    """How many numbers a channel has in all, their mean, and the sum of their squares about it."""
    width = len(mean)
    row = torch.cat([mean * (count > 0), squares * (count > 0), count[None]])
    table = _Sum.apply(torch.stack([row if rank == team.rank else torch.zeros_like(row) for rank in range(team.size)]), team)
    means, spreads, counts = table[:, :width], table[:, width:2 * width], table[:, -1:].detach()
    total = counts.sum()
    middle = (counts * means).sum(0) / total
    return total, middle, (spreads + counts * (means - middle) ** 2).sum(0)


@torch.no_grad()
def _move(norm: _BatchNorm, mean: Tensor, variance: Tensor) -> None:
    norm.num_batches_tracked.add_(1)
    share = 1 / float(norm.num_batches_tracked) if norm.momentum is None else norm.momentum
    norm.running_mean.lerp_(mean.to(norm.running_mean), share)
    norm.running_var.lerp_(variance.to(norm.running_var), share)


def _shape(values: Tensor) -> list[int]:
    return [1, -1, *[1] * (values.ndim - 2)]


class _Sum(torch.autograd.Function):
    """The sum over all ranks. What each of their losses owes to it is summed on the way back."""

    @staticmethod
    def forward(context: Any, tensor: Tensor, team: Team) -> Tensor:
        context.team = team
        summed = tensor.clone()
        team.sum(summed)
        return summed

    @staticmethod
    def backward(context: Any, slope: Tensor) -> tuple[Tensor, None]:
        summed = slope.contiguous().clone()
        context.team.sum(summed)
        return summed, None
