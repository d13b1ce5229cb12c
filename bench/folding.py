"""What a training step saves when a convolution and its still BatchNorm run as one: time, and bytes kept for the way back.

    python bench/folding.py                                   # four models; --repeats 15
    python bench/folding.py resnet50.a1_in1k --batch-size 16
    python bench/folding.py --compile                         # what torch.compile saves on top, and what compiling takes

Both ways take turns, step by step, in one process, on all cores; the ratio is that of two steps that follow each other.
"""

from __future__ import annotations

import argparse
import copy
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from unittest import mock

import timm
import torch
from torch import Tensor, nn

from transfer_core.recipe import Recipe
from transfer_core.training import compiling
from transfer_core.training.folding import fold
from transfer_core.training.freezing import Ladder
from transfer_core.training.models import in_fast_layout
from transfer_core.training.optim import make_precision

MODELS = ("tf_efficientnet_lite0", "mobilenetv3_large_100", "resnet18", "regnety_008")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", default=MODELS)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--compile", action="store_true")
    asked = parser.parse_args()
    print(f"Batches of {asked.batch_size}, {asked.repeats} steps each way, {torch.get_num_threads()} threads, "
          f"torch {torch.__version__.split('+')[0]}.\n")
    table = against_compiled if asked.compile else against_folded
    for row in table(asked.models, asked.batch_size, asked.repeats):
        print("| " + " | ".join(row) + " |", flush=True)


def against_folded(models: Sequence[str], batch: int, repeats: int) -> Iterator[list[str]]:
    yield ["model", "folded", "ms a step, plain", "folded", "plain ÷ folded, median (range)", "MB kept, plain", "folded"]
    yield ["---"] * 7
    for name in models:
        plain, images = made(name, batch)
        norms = sum(isinstance(part, nn.BatchNorm2d) for part in plain.modules())
        folded, count = in_pairs(plain, images)
        kept = [f"{kept_megabytes(model, images):.0f}" for model in (plain, folded)]
        turns = in_turns(stepper(plain, plain, images), stepper(folded, folded, images), repeats)
        yield [name, f"{count} of {norms}", *turns, *kept]


def against_compiled(models: Sequence[str], batch: int, repeats: int) -> Iterator[list[str]]:
    yield ["model", "s to compile", "ms a step, folded", "and compiled", "folded ÷ compiled, median (range)"]
    yield ["---"] * 5
    precision = make_precision(Recipe(dataset="-", precision="float32"), torch.device("cpu"))
    for name in models:
        plain, images = made(name, batch)
        folded, _ = in_pairs(plain, images)
        model, _ = in_pairs(plain, images)
        with mock.patch.object(compiling, "_fastest", side_effect=(1.0, 0.0)):  # whether it is faster is what is asked here
            network, seconds_taken = compiling.compile_network(model, model, images, precision) or (None, 0)
        if network is None:
            yield [name, "not compiled", "", "", ""]
        else:
            turns = in_turns(stepper(folded, folded, images), stepper(model, network, images), repeats)
            yield [name, f"{seconds_taken:.0f}", *turns]


def made(name: str, batch: int) -> tuple[nn.Module, Tensor]:
    torch.manual_seed(0)
    model = in_fast_layout(timm.create_model(name, num_classes=10)).eval()
    return model, torch.rand(batch, 3, 224, 224).contiguous(memory_format=torch.channels_last)


def in_pairs(plain: nn.Module, images: Tensor) -> tuple[nn.Module, int]:
    model = copy.deepcopy(plain)
    return model, fold(model, model, Ladder((), frozenset(), statistics_frozen=True), images[:2], len(images))


def in_turns(one: Callable[[], None], other: Callable[[], None], repeats: int) -> list[str]:
    """Milliseconds of either, and how many times as long the first takes."""
    times = [(seconds(one), seconds(other)) for _ in range(repeats + 1)][1:]  # the first warms up
    ratios = [a / b for a, b in times]
    medians = [f"{1000 * statistics.median(column):.0f}" for column in zip(*times, strict=True)]
    return [*medians, f"{statistics.median(ratios):.2f} ({min(ratios):.2f} – {max(ratios):.2f})"]


def stepper(model: nn.Module, network: Callable[[Tensor], Tensor], images: Tensor) -> Callable[[], None]:
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-5, fused=True)
    labels = torch.arange(len(images)) % 10

    def step() -> None:
        optimizer.zero_grad()
        nn.functional.cross_entropy(network(images), labels).backward()
        optimizer.step()

    return step


def seconds(work: Callable[[], None]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def kept_megabytes(model: nn.Module, images: Tensor) -> float:
    kept: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        kept[tensor.data_ptr()] = tensor.nbytes
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        answer = model(images)
    del answer
    return sum(kept.values()) / 1e6


if __name__ == "__main__":
    main()
