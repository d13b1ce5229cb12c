"""How fast this machine is: a second or two a model, random weights, kept in the home for the pages' estimates."""

from __future__ import annotations

import io
import json
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import timm
import torch
from PIL import Image
from torch import nn

from transfer_core.catalog import model
from transfer_core.events import Progressed
from transfer_core.images import Preprocessing, open_image, preprocess
from transfer_core.paths import Home, replacing
from transfer_core.speeds import SPEED_FILE, to_stored
from transfer_core.training.folding import fold
from transfer_core.training.freezing import Ladder
from transfer_core.training.pipeline import threads

_SECONDS = 0.5
"""Spent on each of forward, training step and decoding; the fastest repetition counts, as disturbances only slow down."""
_BATCH = 8
_SCALING = 0.85
"""What each further core adds: two ran matrix products twice as fast, layers that wait for memory less so."""


def measure(model_names: Sequence[str], home: Home) -> Generator[Progressed]:
    """Measure the models and add them to what is stored; what another device measured is forgotten.

    Raises `NotFound` for a model the catalog does not know, before anything is measured.
    """
    infos = [model(name) for name in model_names]
    device = "cuda" if torch.cuda.is_available() else "cpu"
    where = f"{device} {torch.cuda.get_device_name() if device == 'cuda' else torch.get_num_threads()}"
    yield Progressed(stage="measure", done=0, total=len(infos))
    decode = decode_seconds()
    models = _stored(home, where)
    for done, info in enumerate(infos, 1):
        models[info.name] = model_speed(info.name, info.input_size, device)
        with replacing(home.shared / SPEED_FILE, lasting=False) as part:
            part.write_text(to_stored(where, decode, models), "utf-8")
        yield Progressed(stage="measure", done=done, total=len(infos))


def model_speed(name: str, input_size: Sequence[int], device: str) -> dict[str, float]:
    """Images a second of the forward pass, and the cost of what a training step takes beyond it, relative to it."""
    network = timm.create_model(name, pretrained=False, num_classes=10).eval()
    if sum(isinstance(module, nn.Conv2d) for module in network.modules()) > 8:
        network.to(memory_format=torch.channels_last)
    network.to(device)
    images = torch.zeros(_BATCH * (16 if device == "cuda" else 1), *input_size, device=device)

    def forward() -> None:
        with torch.no_grad(), _cast(device):
            network(images)

    def step() -> None:
        with _cast(device):
            loss = network(images).float().square().mean()
        loss.backward()

    def both(clock: Callable[[], float]) -> tuple[float, float]:
        once = _fastest(forward, clock)
        fold(network, network, Ladder((), frozenset(), statistics_frozen=True), images[:2], 32)  # as a training runs it
        return once, _fastest(step, clock)

    if device == "cuda":
        (once, whole), cores = both(_gpu_clock), 1.0
    else:
        # The processor time of one thread: unlike the clock on the wall, it does not change with what else the machine does.
        with _one_thread() as count:
            once, whole = both(time.thread_time)
        cores = 1 + _SCALING * (count - 1)
    return {"images_per_second": cores * len(images) / once, "backward": max(1.0, whole / once - 1)}


def decode_seconds() -> float:
    """Of one photo of 1,000 × 750 pixels from JPEG to a model's input, with all decoding threads at work."""
    noise = np.random.default_rng(0).integers(0, 256, (94, 125, 3), np.uint8)
    file = io.BytesIO()
    Image.fromarray(noise).resize((1000, 750)).save(file, "JPEG", quality=88)
    photo, how = file.getvalue(), Preprocessing()
    return _fastest(lambda: preprocess(open_image(photo), how), time.thread_time) / threads()


def _cast(device: str) -> Any:
    return torch.autocast(device, dtype=torch.bfloat16, enabled=device == "cuda")


@contextmanager
def _one_thread() -> Iterator[int]:
    """Yield how many threads torch had, and give them back."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield before
    finally:
        torch.set_num_threads(before)


def _gpu_clock() -> float:
    torch.cuda.synchronize()
    return time.perf_counter()


def _fastest(work: Callable[[], Any], clock: Callable[[], float]) -> float:
    """Seconds of the fastest repetition after one that warms up; at least two, more while time is left."""
    times: list[float] = []
    work()
    while len(times) < 2 or sum(times) < _SECONDS:
        begin = clock()
        work()
        times.append(clock() - begin)
    return min(times)


def _stored(home: Home, where: str) -> dict[str, Any]:
    try:
        stored = json.loads((home.shared / SPEED_FILE).read_text("utf-8"))
        return dict(stored["models"]) if stored["device"] == where else {}
    except (OSError, ValueError, KeyError, TypeError):
        return {}
