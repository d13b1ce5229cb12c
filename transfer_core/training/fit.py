"""Train a recipe: a generator of events. Whoever iterates stores, prints or draws them; to stop, stop iterating."""

from __future__ import annotations

import gc
import math
import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from transfer_core.datasets.manifest import Manifest
from transfer_core.errors import BadRecipe, TrainingFailed, Unavailable
from transfer_core.events import Epoch, Event, Finished, Losses, Note, Started, Step
from transfer_core.paths import Home
from transfer_core.recipe import Recipe
from transfer_core.training import checkpoint, weights
from transfer_core.training.checkpoint import State
from transfer_core.training.features import compute_features
from transfer_core.training.freezing import Ladder, climb, freeze, has_statistics, trainable_parameters
from transfer_core.training.models import Built, build, classifiers
from transfer_core.training.objective import Objective, Parts
from transfer_core.training.optim import Precision, make_optimizer, make_precision, schedule, set_learning_rate
from transfer_core.training.pipeline import ImageInputs, Inputs, class_weights, in_order, shuffled
from transfer_core.words import message

REPORT_EVERY = 0.25
"""Seconds between two `Step` events."""


@dataclass
class Training:
    """Everything one training holds while it runs."""

    recipe: Recipe
    model: nn.Module
    network: nn.Module
    """What is run on a batch: the model, or its head alone when the inputs are features."""
    ladder: Ladder
    objective: Objective
    optimizer: Optimizer
    precision: Precision
    device: torch.device
    train: Inputs
    validation: Inputs
    num_classes: int
    step: Callable[[Training, Tensor, Tensor], Parts]


def fit(recipe: Recipe, manifest: Manifest, home: Home, out: Path, *, device: str = "auto", resume: bool = False,
        step: Callable[[Training, Tensor, Tensor], Parts] | None = None) -> Iterator[Event]:
    """Train `recipe` on the train split of `manifest`, looking at the validation split after every epoch.

    Writes into `out`: `recipe.json`, `classes.json`, `info.json`, `model.safetensors` (the epoch with the lowest
    validation loss) and `last.pt` (to resume; the result is the same as without the interruption). All are usable
    whenever the generator is closed, once an epoch is finished. `step` replaces one optimiser step (tests inject failures).
    Raises `BadRecipe`, `NotFound`, `BadWeights`, `BadImage`, `Unavailable`, `TrainingFailed`.
    """
    began, where = time.monotonic(), choose_device(device)
    if resume:
        checkpoint.check_same_recipe(out, recipe)
    classes = manifest.classes
    _check_data(manifest)
    torch.manual_seed(recipe.seed)
    if recipe.weights == "pretrained":
        yield from weights.fetch(recipe.model)
    built = build(recipe, len(classes), home)
    training, notes = yield from _prepare(recipe, manifest, home, built, where, step or train_step)
    state = State(batch_size=recipe.batch_size)
    if resume and (out / checkpoint.LAST).is_file():
        state = checkpoint.load_last(out, training.model, training.optimizer, training.precision.scaler)
    else:
        checkpoint.write_description(out, recipe, classes, _info(built, training))
        (out / checkpoint.BEST).unlink(missing_ok=True)
        checkpoint.save_last(out, training.model, training.optimizer, training.precision.scaler, state)
    yield from (Note(message=note) for note in [*built.notes, *notes])
    state = replace(state, seconds=state.seconds + time.monotonic() - began)
    yield from _epochs(training, manifest, out, state)


def choose_device(name: str) -> torch.device:
    """ "auto" is the first graphics card, else the processor. Raises `Unavailable`."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        device = torch.device(name)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise Unavailable("device_missing", device=name) from error
    return device


def _check_data(manifest: Manifest) -> None:
    if len(manifest.classes) < 2:
        raise BadRecipe("too_few_classes", count=len(manifest.classes))
    if not manifest.of("train"):
        raise BadRecipe("nothing_to_train_on")


def _prepare(recipe: Recipe, manifest: Manifest, home: Home, built: Built, device: torch.device,
             step: Callable[[Training, Tensor, Tensor], Parts]) -> Generator[Event, None, tuple[Training, list]]:
    """Everything a training needs, in the order it must be made, and notes on what a person should know."""
    classes, notes = manifest.classes, []
    train = ImageInputs.of(manifest.of("train"), classes, home, built.preprocessing, recipe)
    validation = ImageInputs.of(manifest.of("validation"), classes, home, built.preprocessing)
    ladder = climb(recipe, built.model, built.groups, len(train.labels))
    # Convolutions read channels_last 1.6 to 1.7 times faster on a processor, and tensor cores want it too.
    if sum(isinstance(module, nn.Conv2d) for module in built.model.modules()) > 8:
        built.model.to(memory_format=torch.channels_last)
    built.model.to(device)
    for head in built.source_head:
        head.to(device)
    balance = class_weights(train.labels, len(classes)).to(device) if recipe.class_balance == "weights" else None
    objective = Objective(recipe, built, ladder, balance)
    freeze(built.model, ladder)
    precision = make_precision(recipe, device)
    network, inputs = built.model, (train, validation)
    if ladder.head_only and train.augmentation == "none":
        features = yield from _features(built.model, [train, validation], precision, device, recipe.batch_size)
        if features:
            network, inputs = classifiers(built.model)[0], tuple(features)
            notes.append(message("fit.features_once"))
    if recipe.weights == "scratch":
        notes.append(message("fit.from_scratch"))
    if recipe.source_loss and ladder.head_only:
        notes.append(message("fit.source_constant", source=recipe.source_loss))
    if ladder.statistics_frozen and has_statistics(ladder.at("train")):
        notes.append(message("fit.statistics_frozen"))
    if not len(validation.labels):
        notes.append(message("fit.no_validation"))
    absent = set(range(len(classes))) - set(train.labels.tolist())
    notes += [message("fit.class_without_training", name=classes[index]) for index in sorted(absent)]
    optimizer = make_optimizer(recipe, built.model, ladder)
    return Training(recipe, built.model, network, ladder, objective, optimizer, precision, device, *inputs,
                    len(classes), step), notes


def _features(model: nn.Module, splits: list[ImageInputs], precision: Precision, device: torch.device,
              batch_size: int) -> Generator[Event, None, list | None]:
    try:
        return (yield from compute_features(model, splits, precision, device, batch_size))
    except Exception as error:
        if not is_out_of_memory(error):
            raise
    return None  # the long way halves its batch


def _info(built: Built, training: Training) -> dict:
    rungs = [{"name": group.name, "position": position, "parameters": len(group.parameters)}
             for group, position in training.ladder.rungs]
    return {"architecture": built.architecture, "arguments": built.arguments,
            "preprocessing": built.preprocessing.to_dict(), "groups": rungs,
            "parameters": sum(p.numel() for p in built.model.parameters()),
            "trainable_parameters": trainable_parameters(built.model)}


def _epochs(training: Training, manifest: Manifest, out: Path, state: State) -> Iterator[Event]:
    recipe, stopped_early = training.recipe, False
    announced = False
    while state.epoch < recipe.epochs:
        if recipe.patience and state.best_epoch and state.epoch - state.best_epoch >= recipe.patience:
            stopped_early = True
            break
        if not announced:
            yield _started(training, manifest, state)
            announced = True
        full = False
        try:
            state = yield from _epoch(training, out, state)
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            full = True  # handled below, once the error and the tensors its traceback holds are gone
        if full:
            state = _halve(training, out)
            announced = False
            text = message("fit.batch_halved", device=str(training.device), batch=state.batch_size)
            yield Note(level="warning", message=text)
    yield Finished(best_epoch=state.best_epoch, seconds=state.seconds, stopped_early=stopped_early)


def _started(training: Training, manifest: Manifest, state: State) -> Started:
    return Started(
        epochs=training.recipe.epochs, first_epoch=state.epoch + 1,
        steps_per_epoch=len(_order(training, state.batch_size, 1)), classes=manifest.classes,
        images={split: len(manifest.of(split)) for split in ("train", "validation", "test")},
        trainable_parameters=trainable_parameters(training.model),
        total_parameters=sum(p.numel() for p in training.model.parameters()), device=str(training.device),
        precision=training.precision.name, batch_size=state.batch_size,
        groups=[(group.name, position) for group, position in training.ladder.rungs])


def _order(training: Training, batch_size: int, epoch: int) -> list[list[int]]:
    recipe = training.recipe
    return shuffled(training.train.labels, batch_size, recipe.seed, epoch, recipe.class_balance == "sampler")


def _halve(training: Training, out: Path) -> State:
    """Back to the end of the last whole epoch, with half the batch. Raises `TrainingFailed` at one image."""
    gc.collect()
    if training.device.type == "cuda":
        torch.cuda.empty_cache()
    training.optimizer.zero_grad(set_to_none=True)
    state = checkpoint.load_last(out, training.model, training.optimizer, training.precision.scaler)
    if state.batch_size == 1:
        raise TrainingFailed("out_of_memory", device=str(training.device))
    state = replace(state, batch_size=state.batch_size // 2)
    checkpoint.save_last(out, training.model, training.optimizer, training.precision.scaler, state)
    return state


def is_out_of_memory(error: Exception) -> bool:
    """A GPU says so with a type of its own, a processor only in words."""
    words = str(error).lower()
    return isinstance(error, (torch.OutOfMemoryError, MemoryError)) or (
        isinstance(error, RuntimeError) and ("can't allocate memory" in words or "out of memory" in words))


def train_step(training: Training, images: Tensor, labels: Tensor) -> Parts:
    """One optimiser step: gradients of the data terms, then the penalties' proximal step."""
    optimizer, scaler, recipe = training.optimizer, training.precision.scaler, training.recipe
    with training.precision.cast():
        parts = training.objective(training.network, images, labels)
    if not parts.data.requires_grad:
        return parts
    optimizer.zero_grad(set_to_none=True)
    scaler.scale(parts.data).backward()
    if recipe.clip:
        scaler.unscale_(optimizer)
        trained = [p for group in optimizer.param_groups for p in group["params"]]
        nn.utils.clip_grad_norm_(trained, recipe.clip)
    scaler.step(optimizer)
    scaler.update()
    training.objective.pull(optimizer)
    return parts


class Sums:
    """Means over samples, kept on the device so that a step waits for no number."""

    def __init__(self, num_classes: int, device: torch.device) -> None:
        self.values: dict[str, Tensor] = {}
        self.count = 0
        self.confusion = torch.zeros(num_classes, num_classes, dtype=torch.long, device=device)

    def add(self, parts: Parts, labels: Tensor) -> None:
        self.count += len(labels)
        for name in ("total", "target", "source", "penalty"):
            if (value := getattr(parts, name)) is not None:
                self.values[name] = self.values.get(name, 0) + value.detach().float() * len(labels)
        guess = parts.logits.detach().argmax(-1)
        size = len(self.confusion)
        self.confusion += torch.bincount(labels * size + guess, minlength=size * size).view(size, size)

    @property
    def losses(self) -> Losses:
        return Losses(**{name: float(value) / self.count for name, value in self.values.items()})

    @property
    def accuracy(self) -> float:
        return float(self.confusion.trace()) / max(1, self.count)


def _epoch(training: Training, out: Path, state: State) -> Generator[Event, None, State]:
    """Train one epoch, validate, save. Nothing on disk changes before both are done."""
    began, number, recipe = time.monotonic(), state.epoch + 1, training.recipe
    train, step = yield from _train_epoch(training, state)
    validation = _validate(training, state.batch_size) if len(training.validation.labels) else train
    losses = validation.losses
    if not math.isfinite(losses.total):
        raise TrainingFailed("not_finite", epoch=number, learning_rate=recipe.learning_rate)
    # The penalty is the same for every image: which epoch answers best is a question to the data terms alone.
    answered = losses.target if losses.source is None else (
        (losses.source + recipe.lambda_target * losses.target) / (1 + recipe.lambda_target))
    best = answered < state.best_loss
    seconds = time.monotonic() - began
    state = replace(state, epoch=number, step=step, seconds=state.seconds + seconds)
    if best:
        state = replace(state, best_loss=answered, best_epoch=number)
        checkpoint.save_best(out, training.model)
    checkpoint.save_last(out, training.model, training.optimizer, training.precision.scaler, state)
    yield Epoch(epoch=number, step=step, train=train.losses, train_accuracy=train.accuracy, validation=losses,
                validation_accuracy=validation.accuracy, confusion=validation.confusion.tolist(), best=best,
                seconds=seconds, seconds_left=seconds * (recipe.epochs - number))
    return state


def _train_epoch(training: Training, state: State) -> Generator[Event, None, tuple[Sums, int]]:
    recipe, number, step = training.recipe, state.epoch + 1, state.step
    order = _order(training, state.batch_size, number)
    whole, recent = (Sums(training.num_classes, training.device) for _ in range(2))
    reported = time.monotonic()
    training.model.train()
    for index, (images, labels) in enumerate(_on_device(training, training.train, order, number)):
        factor = schedule(recipe, (state.epoch + (index + 0.5) / len(order)) / recipe.epochs)
        set_learning_rate(training.optimizer, factor)
        parts = training.step(training, images, labels)
        step += 1
        for sums in (whole, recent):
            sums.add(parts, labels)
        now = time.monotonic()
        if now - reported >= REPORT_EVERY or index == len(order) - 1:
            losses = recent.losses
            if not math.isfinite(losses.total):
                raise TrainingFailed("not_finite", epoch=number, learning_rate=recipe.learning_rate)
            yield Step(step=step, epoch=number, losses=losses, learning_rate=recipe.learning_rate * factor,
                       images_per_second=recent.count / max(1e-9, now - reported))
            reported, recent = time.monotonic(), Sums(training.num_classes, training.device)
    return whole, step


@torch.no_grad()
def _validate(training: Training, batch_size: int) -> Sums:
    sums = Sums(training.num_classes, training.device)
    training.model.eval()
    order = in_order(len(training.validation.labels), batch_size)
    for images, labels in _on_device(training, training.validation, order, 0):
        with training.precision.cast():
            parts = training.objective(training.network, images, labels)
        sums.add(parts, labels)
    return sums


def _on_device(training: Training, inputs: Inputs, order: list[list[int]], epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
    for images, labels in inputs.batches(order, epoch):
        if images.ndim == 4:
            images = images.to(training.device, memory_format=torch.channels_last, non_blocking=True)
        yield images.to(training.device, non_blocking=True), labels.to(training.device, non_blocking=True)
