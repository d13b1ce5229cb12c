"""Whether a training can be shared: whether the whole batch and its shares give the same numbers.

A batch can be divided where nothing looks at several photos at once and nothing is drawn by chance in a step. Of both kinds there
are more than can be listed, so the model itself is asked: a photo must give in a batch what it gives alone, without a random
number drawn and without a running average moved. BatchNorm that goes by the batch is the one exception (see `norms`).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from transfer_core.training.models import classifiers, random_head
from transfer_core.training.objective import Joint
from transfer_core.training.prefix.cut import relative_difference
from transfer_core.training.prefix.inputs import placed
from transfer_core.training.ranks.norms import KNOWN, live_norms
from transfer_core.words import Message, message

if TYPE_CHECKING:
    from transfer_core.training.loop import Training

SAME = {"float32": 1e-3, "bfloat16": 5e-2, "float16": 2e-2}
"""Largest difference of what a photo gives, relative to the largest number: another batch size rounds differently."""


def why_alone(training: Training) -> Message | None:
    """Why this training is not shared; None where it can be."""
    objective = training.objective
    if isinstance(objective.source, Joint):
        return message("fit.alone.replay")
    if objective.of_features is not None:
        return message("fit.alone.bss")
    training.model.train()
    norms = live_norms(training.model)
    if any(type(norm) not in KNOWN for norm in norms) or (norms and training.faster is not training.network):
        return message("fit.alone.batch")
    return _asked(training, norms)


@torch.no_grad()
def _asked(training: Training, norms: list[nn.Module]) -> Message | None:
    few = list(range(min(2, len(training.train.labels))))
    images, image = (placed(each, training.device) for each, _ in training.train.batches([few, few[:1]], 1))
    buffers = [(buffer, buffer.clone()) for buffer in training.model.buffers()]
    called: set[nn.Module] = set()
    hooks = [norm.register_forward_pre_hook(lambda norm, _given: called.add(norm)) for norm in norms]
    with still(norms), random_head(training.model), _chance() as drawn:
        whole = _said(training, images)
        alone = _said(training, image)
    for hook in hooks:
        hook.remove()
    moved = any(not torch.equal(buffer, before) for buffer, before in buffers)
    for buffer, before in buffers:
        buffer.copy_(before)
    if drawn():
        return message("fit.alone.chance")
    apart = max(relative_difference(one, other[:1]) for one, other in zip(alone, whole, strict=True))
    if moved or len(called) < len(norms) or not apart <= SAME[training.precision.name]:
        return message("fit.alone.batch")
    return None


def _said(training: Training, images: Tensor | tuple[Tensor, ...]) -> list[Tensor]:
    """What goes into the heads, and what comes out."""
    given: list[Tensor] = []
    hooks = [head.register_forward_pre_hook(lambda _head, inputs: given.append(inputs[0].float()))
             for head in classifiers(training.model)]
    try:
        with training.precision.cast():
            answers = training.network(images)
    finally:
        for hook in hooks:
            hook.remove()
    return [*given, answers.float()]


@contextmanager
def still(norms: list[nn.Module]) -> Iterator[None]:
    for norm in norms:
        norm.training = False
    try:
        yield
    finally:
        for norm in norms:
            norm.training = True


@contextmanager
def _chance() -> Iterator:
    """Yields what tells whether a random number was drawn inside; none remains drawn."""
    def states() -> list[Tensor]:
        return [torch.get_rng_state(), *(torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [])]

    before = states()
    yield lambda: any(not torch.equal(one, other) for one, other in zip(before, now, strict=True))
    now = states()
    torch.set_rng_state(before[0])
    if len(before) > 1:
        torch.cuda.set_rng_state_all(before[1:])
