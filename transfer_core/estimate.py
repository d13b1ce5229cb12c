"""What a recipe will cost before anybody waits for it: trainable parameters (exact), memory and time (estimates).

Pure arithmetic on the catalog's numbers and on a speed measured on this machine (`transfer_core.speeds`), fast enough
for a slider. Freezing one more layer group never raises any of the numbers; a test says so.

    forward          1 of each group
    backward         b/2 for the gradient towards the input, of every group behind the first that learns, and
                     b/2 for the gradient of the weights, of every group that learns; b ≈ 2, measured
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from transfer_core.catalog import GroupInfo, ModelInfo
from transfer_core.recipe import Recipe
from transfer_core.source_losses import RELATED, SOURCE_LOSSES, WEIGHED
from transfer_core.speeds import Speed

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
_TEACHERS = ("source_logits", "features")
"""What a source loss needs that only a copy of the model as it was can say."""
@dataclass(frozen=True)
class Estimate:
    trainable_parameters: int
    total_parameters: int
    memory_bytes: int
    """Of the training process at its fullest."""
    seconds: float | None
    """Of all epochs, without early stopping; None while this machine's speed is unknown."""
    seconds_again: float | None
    """The same where what frozen layers say is stored already, as in every training of a sweep but the first."""
    download_bytes: int
    """Of the pretrained weights; 0 when the recipe needs none. Whether they are here already, `weights_at` says."""
    stored_bytes: int = 0
    """On disk, for what frozen layers say of training and validation images; 0 when that is not stored."""


def estimate(recipe: Recipe, info: ModelInfo, images: int, speed: Speed | None = None, *, classes: int = 10,
             source_images: int = 0) -> Estimate:
    """What training `recipe` on so many training images costs. `info` must be the recipe's model.

    `source_images` are those of the second dataset, where one is learned at the same time. `memory_bytes` and `seconds` are
    estimates; the constants above say what they rest on.
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
    source_images = source_images if first < len(groups) else 0
    once, rest = _times(recipe, info, learns, first, images, source_images, speed, enlarged) if speed else (0.0, 0.0)
    most = 60 * recipe.minutes + _START_SECONDS if recipe.minutes else math.inf
    return Estimate(
        trainable, total,
        int(_memory(recipe, info, trainable, total, first, enlarged)),
        min(most, once + rest) if speed else None,
        min(most, rest) if speed else None,
        4 * info.parameters if recipe.weights == "pretrained" else 0,
        sum(_stored_bytes(recipe, info, first, count, enlarged) for count in (images, source_images)),
    )


def _needs(recipe: Recipe, info: ModelInfo, first: int) -> str | None:
    """What the source loss needs; None where there is none, or it is a constant because nothing but the head learns."""
    return SOURCE_LOSSES[recipe.source_loss].facts["needs"] if recipe.source_loss and first < len(info.groups) else None


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


def _memory(recipe: Recipe, info: ModelInfo, trainable: int, total: int, first: int, enlarged: float) -> float:
    """Process + weights + gradients + optimiser + what the source loss and Ω compare with + activations, in bytes."""
    needs, states = _needs(recipe, info, first), 2 if recipe.optimizer == "adamw" else 1
    compared = {"importance": 2 * trainable, **dict.fromkeys(_TEACHERS, total)}.get(needs, 0)
    start = trainable if recipe.regularizer in ("l2_sp", "l1_sp") or "anchor" in recipe.positions.values() else 0
    numbers = total + trainable * (1 + states) + compared + start
    kept = _KEPT * sum(group.activations for group in info.groups[first:])
    passing = _PASSING * max(group.activations for group in info.groups)
    size = 2 if recipe.precision in ("bfloat16", "float16") else 4
    batch = recipe.batch_size * (2 if needs == "source_images" else 1)
    return _PROCESS_BYTES + 4 * numbers + size * batch * enlarged * max(kept, passing)


def _times(recipe: Recipe, info: ModelInfo, learns: list[bool], first: int, images: int, source_images: int, speed: Speed,
           enlarged: float) -> tuple[float, float]:
    """Seconds to store what frozen layers say, and of all the rest."""
    needs = _needs(recipe, info, first)
    teacher = needs in _TEACHERS
    forward = enlarged / speed.images_per_second
    ahead = sum(group.share for group in info.groups[:first])
    behind = sum(group.share for group in info.groups[first + 1:])
    weights = sum(group.share for group, does in zip(info.groups, learns, strict=True) if does)
    backward = forward * speed.backward * (behind + weights) / 2
    # Each batch is joined by one of the second dataset; its validation photos are looked at, too.
    joined = images if needs == "source_images" else 0
    trained, looked = images + joined, _VALIDATION_SHARE * (images + source_images)
    if not is_stored(recipe, info, first):
        training = forward * (1 + teacher) + backward + speed.decode_seconds
        looking = forward * (1 + teacher) + speed.decode_seconds
        before = _before(needs, images, forward + speed.decode_seconds, backward)
        return 0.0, _START_SECONDS + before + recipe.epochs * (trained * training + looked * looking)
    # What is frozen at the start runs once for each stored view; epochs run what lies behind it.
    asked = teacher and recipe.source_loss == "lwf"  # what the original model says of a stored view is asked for once
    each = speed.decode_seconds + _PREFIX * ahead * forward + asked * (1 - ahead) * forward
    once = (max(1, recipe.kept_views or 0) + _VALIDATION_SHARE) * (images + source_images) * each
    step = (1 - ahead) * forward * (1 + teacher - asked)
    before = _before(needs, images, (1 - ahead) * forward, backward)
    return once, _START_SECONDS + before + recipe.epochs * (trained * (step + backward) + looked * step)


def _before(needs: str | None, images: int, forward: float, backward: float) -> float:
    """Seconds of what a source loss looks at before the first step."""
    if needs == "relation":
        return min(images, RELATED) * forward
    return min(images, WEIGHED) * (forward + backward) if needs == "importance" else 0.0
