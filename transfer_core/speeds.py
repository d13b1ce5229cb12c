"""How fast models are on this machine: what `transfer_core.training.speed` measured, and what follows for all the others."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from transfer_core.catalog import ModelInfo, model
from transfer_core.errors import NotFound
from transfer_core.paths import Home

SPEED_FILE = "speed.json"
_ACTIVATION_MACS = 24.0
"""Multiply-adds that writing one activation costs as much as: fitted to ten models on one busy processor (a fit
through all ten: eight of them within 20 %, the others within 22 %; not tried on models outside the fit)."""


@dataclass(frozen=True)
class Speed:
    """How fast one model is on this machine."""

    images_per_second: float
    """Forward only, at the model's own size."""
    backward: float = 2.0
    """Seconds of a whole backward pass for one second of forward pass."""
    decode_seconds: float = 0.0
    """Of one image from its file to the model's input, with all decoding threads at work."""
    measured: bool = True
    """False when worked out from other models' speed."""


class Speeds(Mapping[str, Speed]):
    """The models measured on this machine by name; `get` also works out the speed of any other model in the catalog."""

    def __init__(self, measured: Mapping[str, Speed]) -> None:
        self._measured = dict(measured)
        self._cost = _fit([(model(name), 1 / speed.images_per_second) for name, speed in self._measured.items()])

    def __getitem__(self, name: str) -> Speed:
        return self._measured[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._measured)

    def __len__(self) -> int:
        return len(self._measured)

    def get(self, name: str, default: Speed | None = None) -> Speed | None:
        """Measured, else worked out; `default` when nothing was measured yet or the catalog has no such model."""
        if name in self._measured or not self._measured:
            return self._measured.get(name, default)
        try:
            info = model(name)
        except NotFound:
            return default
        if info.name in self._measured:
            return self._measured[info.name]
        seconds = _seconds(self._cost, info)
        backward = sum(speed.backward for speed in self._measured.values()) / len(self._measured)
        any_speed = next(iter(self._measured.values()))
        return replace(any_speed, images_per_second=1 / seconds, backward=backward, measured=False)


def speeds(home: Home) -> Speeds:
    """What `transfer_core.training.speed.measure` found on this machine; empty before its first run."""
    try:
        stored = json.loads((home.shared / SPEED_FILE).read_text("utf-8"))
        found = {name: Speed(fields["images_per_second"], fields["backward"], stored["decode_seconds"])
                 for name, fields in stored["models"].items() if _known(name) and fields["images_per_second"] > 0}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return Speeds({})
    return Speeds(found)


def _known(name: str) -> bool:
    try:
        return model(name) is not None
    except NotFound:
        return False


def _fit(measured: list[tuple[ModelInfo, float]]) -> tuple[float, float]:
    """Seconds a multiply-add and seconds an activation: least squares of relative errors, neither negative.

    Depthwise convolutions wait for memory and dense ones for arithmetic; the two numbers tell them apart.
    """
    rows = [(info.macs / seconds, _activations(info) / seconds) for info, seconds in measured]
    if not rows:
        return (0.0, 0.0)
    aa, ab, bb = (sum(x * y for x, y in pairs) for pairs in
                  ([(a, a) for a, _ in rows], [(a, b) for a, b in rows], [(b, b) for _, b in rows]))
    a, b = sum(a for a, _ in rows), sum(b for _, b in rows)
    determinant = aa * bb - ab * ab
    if len(rows) >= 3 and determinant > 1e-6 * aa * bb:
        mac, activation = (a * bb - b * ab) / determinant, (b * aa - a * ab) / determinant
        if mac >= 0 and activation >= 0:
            return mac, activation
    both = [mac + _ACTIVATION_MACS * activation for mac, activation in rows]
    mac = sum(both) / sum(value * value for value in both)
    return mac, _ACTIVATION_MACS * mac


def _seconds(cost: tuple[float, float], info: ModelInfo) -> float:
    return max(1e-6, cost[0] * info.macs + cost[1] * _activations(info))


def _activations(info: ModelInfo) -> int:
    return sum(group.activations for group in info.groups)


def to_stored(device: str, decode_seconds: float, models: Mapping[str, Mapping[str, Any]]) -> str:
    """The content of `speed.json`."""
    return json.dumps({"device": device, "decode_seconds": decode_seconds, "models": models}, indent=1)
