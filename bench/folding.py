"""What a training step saves when a convolution and its still BatchNorm run as one: time, and bytes kept for the way back.

    python bench/folding.py                                   # four models; --repeats 15
    python bench/folding.py resnet50.a1_in1k --batch-size 16

Both ways take turns, step by step, in one process, on all cores; the ratio is that of two steps that follow each other.
"""

from __future__ import annotations

import argparse
import copy
import statistics
import time
from collections.abc import Callable

import timm
import torch
from torch import Tensor, nn

from transfer_core.training.folding import fold
from transfer_core.training.freezing import Ladder
from transfer_core.training.models import in_fast_layout

MODELS = ("tf_efficientnet_lite0", "mobilenetv3_large_100", "resnet18", "regnety_008")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", default=MODELS)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--repeats", type=int, default=15)
    asked = parser.parse_args()
    print(f"Batches of {asked.batch_size}, {asked.repeats} steps each way, {torch.get_num_threads()} threads, "
          f"torch {torch.__version__.split('+')[0]}.\n")
    print("| model | folded | ms a step, plain | folded | plain ÷ folded, median (range) | MB kept, plain | folded |\n"
          "|---|---|---|---|---|---|---|")
    for name in asked.models:
        print(line(name, asked.batch_size, asked.repeats), flush=True)


def line(name: str, batch: int, repeats: int) -> str:
    torch.manual_seed(0)
    plain = in_fast_layout(timm.create_model(name, num_classes=10)).eval()
    folded = copy.deepcopy(plain)
    images = torch.rand(batch, 3, 224, 224).contiguous(memory_format=torch.channels_last)
    count = fold(folded, folded, Ladder((), frozenset(), statistics_frozen=True), images[:2], batch)
    steps = [stepper(model, images) for model in (plain, folded)]
    kept = [kept_megabytes(model, images) for model in (plain, folded)]
    times = [tuple(map(seconds, steps)) for _ in range(repeats + 1)][1:]  # the first warms up
    ratios = [one / other for one, other in times]
    one, other = (1000 * statistics.median(column) for column in zip(*times, strict=True))
    norms = sum(isinstance(part, nn.BatchNorm2d) for part in plain.modules())
    return (f"| {name} | {count} of {norms} | {one:.0f} | {other:.0f} | {statistics.median(ratios):.2f} "
            f"({min(ratios):.2f} – {max(ratios):.2f}) | {kept[0]:.0f} | {kept[1]:.0f} |")


def stepper(model: nn.Module, images: Tensor) -> Callable[[], None]:
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-5, fused=True)
    labels = torch.arange(len(images)) % 10

    def step() -> None:
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(images), labels).backward()
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
