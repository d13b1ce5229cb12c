"""What a model is made of, without weights and (where possible) without memory: counted on torch's meta device."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import timm
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from transfer_core.training.layers import LayerGroup, head_parameters, layer_groups
from transfer_core.training.structure import Ending, endings
from transfer_core.training.tuning import KINDS


@dataclass
class Measured:
    """One layer group during one forward pass of one image."""

    macs: int = 0
    """Multiply-adds of its convolutions, matrix products and attention (half of what torch counts as FLOPs)."""
    activations: int = 0
    """Numbers written by its innermost modules: what a backward pass has to keep, as an estimate."""
    shape: tuple[int, ...] = ()
    """Of the output of its last convolution or matrix (a norm behind it changes nothing a person should read)."""


def describe(name: str, seconds: int = 120) -> dict[str, Any]:
    """Layer groups, sizes and compute of timm model `name` (with tag or without), as plain data for the index.

    `groups` holds `[name, parameters, multiply-adds, output shape, activations]` in forward order; `head` is
    `[parameters a class, further parameters]`; `macs` is the whole model with the classifier it was published with. `ends` holds
    `[layer groups kept, features, parameters of the last norm, biases of these]` for each place the backbone could end at, and
    `tuned` for each group how many parameters are norms', are biases, and make up a change of rank 1.
    Raises whatever the model raises when it cannot be built or run.
    """
    with _limit(seconds):
        try:
            model, device = _build(name, "meta"), "meta"
            counted = _count(model, device)
        except TimeoutError:
            raise
        except Exception:  # noqa: BLE001  some models compute with real numbers while they are built or run
            model, device = _build(name, "cpu"), "cpu"
            counted = _count(model, device)
        groups, measured, macs, in_order = counted
        sizes = {path: parameter.numel() for path, parameter in model.named_parameters()}
        described = {
            "backbone": sum(sizes.values()) - sum(sizes[path] for path in head_parameters(model)),
            "macs": macs,
            "groups": [
                [group.name, sum(sizes[path] for path in group.parameters), found.macs, list(found.shape), found.activations]
                for group, found in zip(groups, measured, strict=True)
            ],
            "head": _head(model, device),
            "ends": [[kept, end.features, *end.norm] for kept, end in _endings(name).items()],
            "tuned": [list(counts) for counts in zip(*(_tuned(kind, model, groups) for kind in KINDS), strict=True)],
        }
        if not in_order:
            described["order"] = "groups do not run one after the other"
        return described


def _endings(name: str) -> dict[int, Ending]:
    try:
        return endings(name)
    except Exception:  # noqa: BLE001  one that cannot be built without memory is not offered shorter
        return {}


def _tuned(kind: str, model: nn.Module, groups: list[LayerGroup]) -> list[int]:
    chosen, parameters = set(KINDS[kind](model)), dict(model.named_parameters())
    count = (lambda tensor: sum(tensor.flatten(1).shape)) if kind == "lora" else torch.Tensor.numel
    return [sum(count(parameters[name]) for name in group.parameters if name in chosen) for group in groups]


def _build(name: str, device: str) -> nn.Module:
    with torch.device(device):
        return timm.create_model(name, pretrained=False).eval().requires_grad_(False)


def _count(model: nn.Module, device: str) -> tuple[list[LayerGroup], list[Measured], int, bool]:
    """One forward pass of one image under torch's FLOP counter, with the share of each group."""
    groups = layer_groups(model)
    measured = [Measured() for _ in groups]
    order: list[int] = []
    counter = FlopCounterMode(display=False)
    handles = [handle for index, group in enumerate(groups)
               for handle in _watch(group, index, measured[index], order, counter)]
    try:
        with torch.no_grad(), counter:
            model(torch.zeros(1, *model.pretrained_cfg["input_size"], device=device))
    finally:
        for handle in handles:
            handle.remove()
    return groups, measured, counter.get_total_flops() // 2, order == sorted(order)


def _watch(group: LayerGroup, index: int, measured: Measured, order: list[int],
           counter: FlopCounterMode) -> Iterator[Any]:
    """Hooks on every module of a group. Only the outermost that is called counts compute: a list is never called itself."""
    entered: list[int] = []

    def enter(module: nn.Module, inputs: Any) -> None:
        if not entered and any(True for _ in module.parameters()):
            order.append(index)
        entered.append(counter.get_total_flops())

    def leave(module: nn.Module, inputs: Any, output: Any) -> None:
        before = entered.pop()
        if not entered:
            measured.macs += (counter.get_total_flops() - before) // 2
        tensor = _first_tensor(output)
        if tensor is None:
            return
        if not any(True for _ in module.children()):
            measured.activations += tensor[:1].numel() if tensor.ndim else 0
        if not measured.shape or any(parameter.ndim > 1 for parameter in module.parameters()):
            measured.shape = tuple(tensor.shape[1:])

    for module in {id(part): part for whole in group.modules for part in whole.modules()}.values():
        yield module.register_forward_pre_hook(enter)
        yield module.register_forward_hook(leave)


def _first_tensor(output: Any) -> torch.Tensor | None:
    if isinstance(output, torch.Tensor):
        return output
    parts = output.values() if isinstance(output, dict) else output if isinstance(output, (tuple, list)) else ()
    return next((found for part in parts if (found := _first_tensor(part)) is not None), None)


def _head(model: nn.Module, device: str) -> list[int]:
    """A new classifier of K classes has `head[0] · K + head[1]` parameters: found from K = 10 and K = 20."""
    sizes = []
    for classes in (10, 20):
        with torch.device(device):
            model.reset_classifier(classes)
        head = head_parameters(model)
        sizes.append(sum(parameter.numel() for path, parameter in model.named_parameters() if path in head))
    each = (sizes[1] - sizes[0]) // 10
    return [each, sizes[0] - 10 * each]


@contextmanager
def _limit(seconds: int):
    """Raise `TimeoutError` after so many seconds; only in a main thread, where alarms are heard."""
    def ring(*_: Any) -> None:
        raise TimeoutError(f"not described within {seconds} seconds")

    before = signal.signal(signal.SIGALRM, ring)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
