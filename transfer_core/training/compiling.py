"""What learns as one compiled program (torch.compile), for those who train long enough: compiling takes a minute or more.

Nothing else changes: parameters, checkpoints, what is measured and exported belong to the model as it was.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from transfer_core.training.models import random_head
from transfer_core.training.optim import Precision
from transfer_core.training.prefix.cut import relative_difference

log = logging.getLogger(__name__)
BACKEND = "inductor"
ALLOWED = {"float32": 1e-3, "bfloat16": 5e-2, "float16": 2e-2}
"""Largest difference of logits, relative to the largest. The compiler reorders sums and, in half precision, rounds less often."""
_TRIES = 3
Images = Tensor | tuple[Tensor, ...]
Network = Callable[[Images], Tensor]


def compile_network(model: nn.Module, network: Network, images: Images, precision: Precision) -> tuple[Network, float] | None:
    """`network` (the model or a part of it) compiled for batches of any size, and the seconds it took.

    None where there is no compiler, where the network cannot be compiled, where its answers for `images` (a whole batch) would
    not stay the same, or where it would not be faster: on two processor cores folding has left it nothing to save (see
    docs/decisions.md). All is tried before, on a model that is left as it was. Hooks are not called in compiled code.
    """
    began = time.monotonic()
    batch = any_size(images)
    try:
        fast = torch.compile(network, backend=BACKEND)
        with _left_as_it_was(model), random_head(model):
            _step(fast, batch, precision)
            slow, quick = _fastest(network, images, precision), _fastest(fast, batch, precision)
            model.eval()
            with torch.no_grad(), precision.cast():
                apart = relative_difference(fast(batch), network(images))
    except Exception as error:  # noqa: BLE001  the compiler is a world of its own; training goes on without it
        log.warning("not compiled: %r", error)
        return None
    if not apart <= ALLOWED[precision.name]:
        log.warning("not compiled: answers would change by %.1e", apart)
        return None
    if quick >= slow:
        log.info("not compiled: a step takes %.3f s, and %.3f s as it was", quick, slow)
        return None
    return (lambda given: fast(any_size(given))), time.monotonic() - began


def _step(network: Network, images: Images, precision: Precision) -> None:
    with precision.cast():
        said = network(images)
    said.float().sum().backward()


def _fastest(network: Network, images: Images, precision: Precision) -> float:
    """Seconds of the fastest of a few steps: disturbances only slow down."""
    device = next(iter(images if isinstance(images, tuple) else (images,))).device
    times = []
    for _ in range(_TRIES):
        began = time.perf_counter()
        _step(network, images, precision)
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        times.append(time.perf_counter() - began)
    return min(times)


def any_size(images: Images) -> Images:
    """Marked, so that the last, smaller batch of an epoch does not compile everything again."""
    for tensor in images if isinstance(images, tuple) else (images,):
        torch._dynamo.maybe_mark_dynamic(tensor, 0)
    return images


@contextmanager
def _left_as_it_was(model: nn.Module) -> Iterator[None]:
    """No gradient, mode or running average of the trial remains."""
    kept = [(buffer, buffer.detach().clone()) for buffer in model.buffers()]
    mode = model.training
    try:
        yield
    finally:
        for buffer, before in kept:
            buffer.copy_(before)
        model.zero_grad(set_to_none=True)
        model.train(mode)
