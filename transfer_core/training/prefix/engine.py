"""The prefix as fast as this machine can: PyTorch as it is, or ONNX Runtime when that is faster and exact enough.

Measured with one thread (EfficientNet-Lite0): PyTorch with channels_last 33 ms an image, ONNX Runtime 11. The old TorchScript
exporter writes the prefix in 0.4 s where the newer one takes 3.4 to 5.8 s, and opening it takes 0.04 s, so it repays from
some 30 images on. Each image goes through alone, one for each thread: batches of 16 took 24 ms an image.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import nn

from transfer_core.paths import Home, replacing
from transfer_core.training.onnx_file import as_exported
from transfer_core.training.prefix.cut import Cut
from transfer_core.training.prefix.rows import to_rows

log = logging.getLogger(__name__)
EXACT_ENOUGH = 1e-4
"""Largest difference from PyTorch, relative to the largest activation, at which another engine is taken. Seen: 1e-6."""
_EXPORT_SECONDS, _BYTES_A_SECOND = 0.6, 150e6
"""What an export costs before it is tried: a constant, and the writing of its weights."""
_SAVES = 0.5
"""Share of PyTorch's time that ONNX Runtime is expected to save, until both are measured."""
_TRIED = 2
"""Images both engines are tried on."""


class Engine(Protocol):
    name: str
    at_once: int
    """Images in one call. 1: to be called from several threads at the same time."""

    def __call__(self, images: np.ndarray) -> tuple[np.ndarray, ...]:
        """float32 N × 3 × H × W → rows, as `rows.to_rows` gives them."""


class Eager:
    """PyTorch, as the training itself runs it: bit for bit the same numbers."""

    name = "pytorch"

    def __init__(self, parts: Cut, device: torch.device, cast: Callable[[], Any], batch: int) -> None:
        self.parts, self.device, self.cast, self.at_once = parts, device, cast, batch
        self.name = "pytorch" if device.type == "cpu" else f"pytorch-{device.type}"

    def __call__(self, images: np.ndarray) -> tuple[np.ndarray, ...]:
        tensor = torch.from_numpy(images).to(self.device, memory_format=torch.channels_last)
        with torch.no_grad(), self.cast():
            return to_rows(self.parts.prefix(tensor), self.parts.live)


class Onnx:
    """ONNX Runtime with one thread a session call; the callers' threads are the parallelism."""

    name, at_once = "onnxruntime", 1

    def __init__(self, file: Path, parts: Cut) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        self.parts = parts
        self._session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])

    def __call__(self, images: np.ndarray) -> tuple[np.ndarray, ...]:
        found = [self._session.run(None, {"images": image[None]}) for image in images]
        return tuple(np.concatenate([self._row(given[index], facts) for given in found])
                     for index, facts in enumerate(self.parts.live))

    @staticmethod
    def _row(array: np.ndarray, facts: Any) -> np.ndarray:
        if facts.channels_last:
            array = array.transpose(0, 2, 3, 1)
        return np.ascontiguousarray(array).reshape(1, *facts.shape)


def choose(parts: Cut, eager: Eager, trial: np.ndarray, count: int, home: Home, fingerprint: str,
           prefer: str | None = None) -> Engine:
    """The engine for `count` images, decided by measuring both on `trial` (a few prepared images).

    `prefer` names the engine a resumed run began with. On a graphics card PyTorch is the engine.
    """
    if eager.device.type != "cpu" or prefer == Eager.name:
        return eager
    trial = trial[:_TRIED]
    truth, slow = _timed(eager, trial)
    file = home.cache / "engines" / f"{fingerprint}.onnx"
    weights = sum(parameter.numel() * 4 for parameter in parts.prefix.parameters())
    cost = 0.0 if file.is_file() else _EXPORT_SECONDS + weights / _BYTES_A_SECOND
    if prefer != Onnx.name and count * slow * _SAVES < cost:
        return eager
    try:
        if not file.is_file():
            _export(parts, trial[:1], file)
        os.utime(file)  # used now: see `activations.make_room`
        fast = Onnx(file, parts)
        answer, quick = _timed(fast, trial)
    except Exception as error:  # noqa: BLE001 — an operation without translation; PyTorch can do them all
        log.info("no ONNX prefix: %r", error)
        return eager
    wrong = max(float(np.abs(one - other).max()) / max(1e-12, float(np.abs(one).max()))
                for one, other in zip(truth, answer, strict=True))
    log.info("prefix: PyTorch %.1f ms an image, ONNX Runtime %.1f, differing by %.1e", 1e3 * slow, 1e3 * quick, wrong)
    if not wrong <= EXACT_ENOUGH or (prefer != Onnx.name and quick > slow):
        return eager
    return fast


def _timed(engine: Engine, images: np.ndarray) -> tuple[tuple[np.ndarray, ...], float]:
    """The rows, and processor seconds an image on one thread: unlike the clock on the wall, they do not change with what else
    the machine does. The faster of two calls counts, for the first of all makes plans."""
    times, threads = [], torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        for _ in range(2):
            began = time.thread_time()
            rows = engine(images)
            times.append(time.thread_time() - began)
    finally:
        torch.set_num_threads(threads)
    return rows, min(times) / len(images)


def _export(parts: Cut, image: np.ndarray, file: Path) -> None:
    prefix = _AsTuple(parts.prefix)
    with as_exported(parts.prefix), replacing(file, lasting=False) as part:
        torch.onnx.export(prefix, (torch.from_numpy(image),), str(part), dynamo=False, opset_version=17,
                          input_names=["images"], training=torch.onnx.TrainingMode.PRESERVE, do_constant_folding=True)


class _AsTuple(nn.Module):
    def __init__(self, prefix: nn.Module) -> None:
        super().__init__()
        self.prefix = prefix

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return tuple(tensor.contiguous() for tensor in self.prefix(images))
