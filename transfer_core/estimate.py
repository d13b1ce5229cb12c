"""What a recipe will cost before anybody waits for it: trainable parameters (exact), memory and time (estimates).

Pure arithmetic on the catalog's numbers and on a speed measured on this machine (`transfer_core.training.speed`), fast enough
for a slider. Freezing one more layer group never raises any of the numbers; a test says so.

    forward          1 of each group
    backward         b/2 for the gradient towards the input, of every group behind the first that learns, and
                     b/2 for the gradient of the weights, of every group that learns; b ≈ 2, measured
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from transfer_core.catalog import GroupInfo, ModelInfo, model
from transfer_core.errors import NotFound
from transfer_core.paths import Home
from transfer_core.recipe import Recipe

SPEED_FILE = "speed.json"
LEAST_SHARE = 0.05
"""Of a forward pass' arithmetic that is frozen at the start. What saves less is not stored: the first cuts of a network are also
the largest, and hardly faster."""
FLOAT32_BYTES = 1_000_000_000
"""Up to here activations are stored as they are; beyond, in half the bytes, rounded to 11 bits."""
SMALLEST_VIEW = 0.5
"""Least share of a photo's area in a varied view: at ImageNet's 0.08 a small dataset loses the object itself."""
PIXEL_EPOCHS = {True: 2, False: 5}
"""From how many epochs on rows of pixels repay, of photos as they are evaluated, or varied. A row of a 400 × 533 photo costs as
much as 1.2 or 4.3 epochs save (`bench/pixels.py`)."""
_PREFIX = 0.45
"""Time of the frozen part when it runs once for the store, relative to the training's forward pass: ONNX Runtime instead of
PyTorch (0.36 to 0.4 with one thread, EfficientNet-Lite0)."""

_PROCESS_BYTES = 780e6
"""Of a training process before it has a model: Python, torch, timm and decoders (745 MiB measured, one Linux machine)."""
_KEPT = 0.9
"""Share of what modules write that is kept for backward. Set from one training: EfficientNet-Lite0, nothing frozen (0.88)."""
_PASSING = 0.55
"""Share of the heaviest group's activations alive at once where no gradient passes. Set from the same model, all frozen (0.56).

Two trainings that did not set these constants peaked at 2,002 MiB (ResNet-18, estimate 1,944) and 2,135 MiB (ViT-S, 2,266).
"""
_START_SECONDS = 12.0
"""Building the model, reading weights, writing checkpoints, evaluating and exporting: assumed, not measured."""
_VALIDATION_SHARE = 0.2
"""Validation images for one training image: the usual split is 70 : 15 : 15."""
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


@dataclass(frozen=True)
class Estimate:
    trainable_parameters: int
    total_parameters: int
    memory_bytes: int
    """Of the training process at its fullest."""
    seconds: float | None
    """Of all epochs, without early stopping; None while this machine's speed is unknown."""
    download_bytes: int
    """Of the pretrained weights; 0 when the recipe needs none. Whether they are here already, `weights_at` says."""
    stored_bytes: int = 0
    """On disk, for what frozen layers say of training and validation images; 0 when that is not stored."""


def speeds(home: Home) -> Speeds:
    """What `transfer_core.training.speed.measure` found on this machine; empty before its first run."""
    try:
        stored = json.loads((home.root / SPEED_FILE).read_text("utf-8"))
        found = {name: Speed(fields["images_per_second"], fields["backward"], stored["decode_seconds"])
                 for name, fields in stored["models"].items() if _known(name) and fields["images_per_second"] > 0}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return Speeds({})
    return Speeds(found)


def estimate(recipe: Recipe, info: ModelInfo, images: int, speed: Speed | None = None, *, classes: int = 10) -> Estimate:
    """What training `recipe` on so many training images costs. `info` must be the recipe's model.

    `memory_bytes` and `seconds` are estimates; the constants above say what they rest on.
    """
    info = info.shortened(recipe.kept_groups)
    if speed is not None and info.kept_groups:
        speed = replace(speed, images_per_second=speed.images_per_second / max(1e-9, info.share))
    groups = info.groups
    learns = [recipe.position(group.name, index, len(groups)) != "freeze" for index, group in enumerate(groups)]
    first = learns.index(True) if True in learns else len(groups)
    enlarged = (recipe.image_size / info.image_size) ** 2 if recipe.image_size else 1.0
    head = _head(recipe, info, classes, enlarged)
    trainable = head + sum(_tuned(recipe, group) for group, does in zip(groups, learns, strict=True) if does)
    total = head + info.backbone_parameters
    teacher = recipe.source_loss is not None and first < len(groups)
    return Estimate(
        trainable, total,
        int(_memory(recipe, info, trainable, total, first, enlarged, teacher)),
        None if speed is None else _time(recipe, info, learns, first, images, speed, enlarged, teacher),
        4 * info.parameters if recipe.weights == "pretrained" else 0,
        _stored_bytes(recipe, info, first, images, enlarged),
    )


def _head(recipe: Recipe, info: ModelInfo, classes: int, enlarged: float) -> int:
    """Parameters of the new head."""
    if recipe.head == "hidden":
        return (info.features + 1) * recipe.head_width + (recipe.head_width + 1) * classes
    if recipe.head == "flatten":
        return round(math.prod(info.groups[-1].shape) * enlarged + 1) * classes
    return info.head_parameters(classes)


def _tuned(recipe: Recipe, group: GroupInfo) -> int:
    """Parameters of a group that learns; for a change of low rank at most, since narrow layers take less than the rank."""
    if recipe.tuning == "all":
        return group.parameters
    return group.tuned[recipe.tuning] * (recipe.lora_rank if recipe.tuning == "lora" else 1)


def is_stored(recipe: Recipe, info: ModelInfo, first: int) -> bool:
    """Whether what the groups before number `first` say is stored, as the catalog sees it."""
    ahead = sum(group.share for group in info.groups[:first])
    return ahead >= LEAST_SHARE and recipe.kept_views is not None and recipe.kept_views <= recipe.epochs


def _stored_bytes(recipe: Recipe, info: ModelInfo, first: int, images: int, enlarged: float) -> int:
    """One row for each view of an image: the last frozen group's output, or the head's input when all is frozen. Where none are
    kept, the pixels."""
    if not is_stored(recipe, info, first):
        return _pixel_bytes(recipe, info, images)
    pooled = first == len(info.groups) and recipe.head != "flatten"
    numbers = info.features if pooled else enlarged * math.prod(info.groups[first - 1].shape)
    rows = images * (max(1, recipe.kept_views or 0) + _VALIDATION_SHARE)
    whole = rows * 4 * numbers
    return int(whole if whole <= FLOAT32_BYTES else whole / 2)


def _pixel_bytes(recipe: Recipe, info: ModelInfo, images: int) -> int:
    """What `training.pixels` keeps of photos of 4 : 3 that are large enough; smaller ones stay as they are."""
    side, plain = recipe.image_size or info.image_size, recipe.views == "none"
    seen, loose = side * side, int(side / SMALLEST_VIEW**0.5)
    pixels = 0.0
    if recipe.epochs >= PIXEL_EPOCHS[plain]:
        pixels += images * (seen if plain else loose * round(loose * 4 / 3))
    if recipe.epochs >= PIXEL_EPOCHS[True]:
        pixels += _VALIDATION_SHARE * images * seen
    return int(3 * pixels)


def _memory(recipe: Recipe, info: ModelInfo, trainable: int, total: int, first: int, enlarged: float, teacher: bool) -> float:
    """Process + weights + gradients + optimiser + reference weights + activations, in bytes."""
    states = 2 if recipe.optimizer == "adamw" else 1
    reference = total if teacher else 0
    start = trainable if recipe.regularizer == "l2_sp" or "anchor" in recipe.positions.values() else 0
    numbers = total + trainable * (1 + states) + reference + start
    kept = _KEPT * sum(group.activations for group in info.groups[first:])
    passing = _PASSING * max(group.activations for group in info.groups)
    size = 2 if recipe.precision in ("bfloat16", "float16") else 4
    return _PROCESS_BYTES + 4 * numbers + size * recipe.batch_size * enlarged * max(kept, passing)


def _time(recipe: Recipe, info: ModelInfo, learns: list[bool], first: int, images: int, speed: Speed, enlarged: float,
          teacher: bool) -> float:
    forward = enlarged / speed.images_per_second
    ahead = sum(group.share for group in info.groups[:first])
    behind = sum(group.share for group in info.groups[first + 1:])
    weights = sum(group.share for group, does in zip(info.groups, learns, strict=True) if does)
    backward = forward * speed.backward * (behind + weights) / 2
    if not is_stored(recipe, info, first):
        training = forward * (1 + teacher) + backward + speed.decode_seconds
        looking = _VALIDATION_SHARE * (forward * (1 + teacher) + speed.decode_seconds)
        return _START_SECONDS + images * recipe.epochs * (training + looking)
    # What is frozen at the start runs once for each stored view; epochs run what lies behind it.
    asked = teacher and recipe.source_loss == "lwf"  # what the original model says of a stored view is asked for once
    each = speed.decode_seconds + _PREFIX * ahead * forward + asked * (1 - ahead) * forward
    once = (max(1, recipe.kept_views or 0) + _VALIDATION_SHARE) * each
    epoch = (1 + _VALIDATION_SHARE) * (1 - ahead) * forward * (1 + teacher - asked) + backward
    return _START_SECONDS + images * (once + recipe.epochs * epoch)


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
