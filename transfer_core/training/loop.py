"""The training loop: steps, epochs, validation, early stopping, and what happens when memory or numbers run out."""

from __future__ import annotations

import gc
import logging
import math
import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from transfer_core.errors import TrainingFailed
from transfer_core.events import Epoch, Event, Finished, Kept, Note, Started, Step
from transfer_core.metrics import packed
from transfer_core.recipe import Recipe
from transfer_core.training import checkpoint
from transfer_core.training.budget import Budget
from transfer_core.training.checkpoint import State
from transfer_core.training.freezing import Ladder, trainable_parameters
from transfer_core.training.meter import Meter
from transfer_core.training.objective import Joint, Objective
from transfer_core.training.optim import Precision, schedule, set_learning_rate
from transfer_core.training.pipeline import Inputs, in_batches, in_order, shuffled
from transfer_core.training.prefix.inputs import moved, placed
from transfer_core.training.ranks.crew import Crew
from transfer_core.training.ranks.norms import shared
from transfer_core.training.ranks.team import RankLost, Team
from transfer_core.training.step import TrainStep, is_out_of_memory
from transfer_core.training.sums import Sums
from transfer_core.training.tuning import LowRank
from transfer_core.words import message

log = logging.getLogger(__name__)
REPORT_EVERY = 0.25
"""Seconds between two `Step` events."""


@dataclass
class Training:
    """Everything one training holds while it runs."""

    recipe: Recipe
    model: nn.Module
    network: Callable[[Tensor | tuple[Tensor, ...]], Tensor]
    """What is run on a batch: the model, or its suffix when the inputs are stored activations."""
    faster: Callable[[Tensor | tuple[Tensor, ...]], Tensor]
    """The same as a step runs it: compiled if that was asked. No hook of a module is called in it."""
    ladder: Ladder
    objective: Objective
    meter: Meter
    optimizer: Optimizer
    precision: Precision
    device: torch.device
    train: Inputs
    validation: Inputs
    classes: list[str]
    images: dict[str, int]
    """Split → number of images."""
    step: TrainStep
    budget: Budget = field(default_factory=lambda: Budget(None, time.monotonic))
    factors: LowRank | None = None
    """What changes instead of the weights themselves (tuning "lora")."""
    crew: Crew | None = None
    """Who may take a share of every batch, where several processes train together (see `ranks`)."""
    team: Team | None = None
    """Those that do, now."""

    @property
    def _beside(self) -> list[nn.Module]:
        """What learns and is no part of the model."""
        return [*self.objective.source_heads, *([self.factors] if self.factors else [])]

    def order(self, batch_size: int, epoch: int) -> list[list[int]]:
        """Places of the training images, batch by batch."""
        return shuffled(self.train.labels, batch_size, self.recipe.seed, epoch, self.recipe.class_balance == "sampler")

    def save(self, out: Path, state: State) -> None:
        checkpoint.save_last(out, self.model, self.optimizer, self.precision.scaler, state, self._beside)

    def load(self, out: Path) -> State:
        return checkpoint.load_last(out, self.model, self.optimizer, self.precision.scaler, self._beside)

    @torch.no_grad()
    def begin_meter(self) -> None:
        """What the model says of the meter's images at its start: before the first step, and before a checkpoint is read."""
        places = self.meter.places
        if self.meter.still or not places:
            return
        self.model.eval()
        with self.meter.watch():
            for images, _ in batches_of(self, self.validation, in_batches(places, _FEW), 0):
                with self.precision.cast():
                    self.network(images)
        self.meter.begin()
        self.model.train()


_FEW = 8
"""Images in one batch before the training has found out how many its memory holds."""


def epochs(training: Training, out: Path, state: State) -> Iterator[Event]:
    """Train from `state` to the end, or until neither the validation accuracy nor the loss was better for `patience` epochs, or
    the time is over; one step and one look at the validation images are made in any case."""
    recipe, stopped_early = training.recipe, False
    announced = False
    while state.epoch < recipe.epochs and not state.out_of_time:
        if recipe.patience and state.improved and state.epoch - state.improved >= recipe.patience:
            stopped_early = True
            break
        if not announced:
            yield _started(training, state)
            announced = True
        full = lost = False
        try:
            if training.crew:
                training.team = yield from training.crew.team(training)
            state = yield from _epoch(training, out, state)
        except RankLost as error:
            log.warning("a process of a shared training is gone: %s", error)
            lost = True
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            full = True  # handled below, once the error and the tensors its traceback holds are gone
        if lost:
            state = _back(training, out)
            yield Note(level="warning", message=message("fit.rank_lost", epoch=state.epoch + 1))
        if full:
            state = _halve(training, out)
            announced = False
            text = message("fit.batch_halved", device=str(training.device), batch=state.batch_size)
            yield Note(level="warning", message=text)
    yield Finished(best_epoch=state.best_epoch, seconds=state.seconds, stopped_early=stopped_early,
                   out_of_time=state.out_of_time)


def _started(training: Training, state: State) -> Started:
    return Started(
        epochs=training.recipe.epochs, first_epoch=state.epoch + 1,
        steps_per_epoch=len(training.order(state.batch_size, 1)), classes=training.classes, images=training.images,
        trainable_parameters=trainable_parameters(training.model, training.factors),
        total_parameters=sum(p.numel() for p in training.model.parameters()), device=str(training.device),
        precision=training.precision.name, batch_size=state.batch_size,
        groups=[(group.name, position) for group, position in training.ladder.rungs], minutes=training.recipe.minutes)


def _back(training: Training, out: Path) -> State:
    """To the end of the last whole epoch."""
    if training.crew:
        training.crew.start_over()
    gc.collect()
    if training.device.type == "cuda":
        torch.cuda.empty_cache()
    training.optimizer.zero_grad(set_to_none=True)
    training.model.zero_grad(set_to_none=True)  # weights that change by factors are none of the optimiser's
    return training.load(out)


def _halve(training: Training, out: Path) -> State:
    """Back to the end of the last whole epoch, with half the batch. Raises `TrainingFailed` at one image."""
    state = _back(training, out)
    if state.batch_size == 1:
        raise TrainingFailed("out_of_memory", device=str(training.device))
    state = replace(state, batch_size=state.batch_size // 2)
    training.save(out, state)
    return state


def _epoch(training: Training, out: Path, state: State) -> Generator[Event, None, State]:
    """Train one epoch, validate, save. Nothing on disk changes before both are done."""
    number, recipe, budget = state.epoch + 1, training.recipe, training.budget
    began = budget.since = budget.clock()
    budget.before, budget.begun, budget.looking = state.seconds, state.begun, state.looking
    source = training.objective.source
    if source:
        source.begin(number, state.batch_size)
    try:
        with shared(training):
            train, step, whole = yield from _train_epoch(training, state)
    finally:
        if source:
            source.end()
    looked = budget.clock()
    validation, kept = _validate(training, state.batch_size)
    budget.looking = budget.clock() - looked
    validated, validation = validation is not None, validation or train
    losses = validation.losses
    if not math.isfinite(losses.total):
        raise TrainingFailed("not_finite", epoch=number, learning_rate=recipe.learning_rate)
    # The penalty is the same for every image: which epoch answers best is a question to the data terms alone.
    answered = losses.target if losses.source is None else (
        (losses.source + recipe.lambda_target * losses.target) / (1 + recipe.lambda_target))
    # Loss rises with every photo of which a model is surer and wrong, while it names more of them right: the epoch of the lowest
    # loss was 8 points behind the last one (docs/decisions.md). It decides between equals, and alone where nothing was validated:
    # the loss of the new classes only, or a strong λ would always take the epoch that has learned least.
    accuracy = validation.accuracy if validated else 0.0
    best = (accuracy, -losses.target) > (state.best_accuracy, -state.best_loss)
    seconds = budget.clock() - began
    improved = number if best or answered < state.lowest else state.improved
    state = replace(state, epoch=number, step=step, seconds=state.seconds + seconds, lowest=min(answered, state.lowest),
                    improved=improved, looking=budget.looking,
                    out_of_time=not whole or (number < recipe.epochs and budget.over))
    if best:
        state = replace(state, best_accuracy=accuracy, best_loss=losses.target, best_epoch=number)
        checkpoint.save_best(out, training.model, training.objective.source_heads)
    told = Epoch(epoch=number, step=step, train=train.losses, train_accuracy=train.accuracy, validation=losses,
                 validation_accuracy=validation.accuracy, confusion=validation.confusion.tolist(), best=best,
                 right=packed(validation.right) if validated else None,
                 seconds=seconds, seconds_left=0.0 if state.out_of_time else budget.left(seconds * (recipe.epochs - number)),
                 kept=kept, whole=whole)
    checkpoint.note_epoch(out, told)
    training.save(out, state)
    yield told
    return state


def _train_epoch(training: Training, state: State) -> Generator[Event, None, tuple[Sums, int, bool]]:
    """Returns what was summed up, the number of steps so far, and whether all images were gone through."""
    recipe, number, step, budget = training.recipe, state.epoch + 1, state.step, training.budget
    order, team = training.order(state.batch_size, number), training.team
    if team:
        team.begin(training, number, state.batch_size)
    whole, recent = (Sums(len(training.classes), training.device) for _ in range(2))
    reported = time.monotonic()
    training.model.train()
    mine = [team.part(batch) for batch in order] if team else order
    for index, (images, labels) in enumerate(batches_of(training, training.train, mine, number)):
        factor = min(schedule(recipe, (state.epoch + (index + 0.5) / len(order)) / recipe.epochs), budget.highest)
        set_learning_rate(training.optimizer, factor)
        if team:
            labels = moved(training.train.labels[order[index]], training.device)  # of the whole batch, which is what is counted
            team.go(order[index], factor)
        parts = training.step(training, images, labels)
        step += 1
        for sums in (whole, recent):
            sums.add(parts, labels)
        if not state.epoch:  # nobody has looked yet: as long as so many images took to learn from
            budget.looking = (budget.spent - state.seconds) / whole.count * len(training.validation.labels)
        last, now = index == len(order) - 1 or budget.over, time.monotonic()
        if now - reported >= REPORT_EVERY or last:
            losses = recent.losses
            if not math.isfinite(losses.total):
                raise TrainingFailed("not_finite", epoch=number, learning_rate=recipe.learning_rate)
            yield Step(step=step, epoch=number, losses=losses, learning_rate=recipe.learning_rate * factor,
                       images_per_second=recent.count / max(1e-9, now - reported))
            reported, recent = time.monotonic(), Sums(len(training.classes), training.device)
        if last:
            break
    if team:
        team.end()
    return whole, step, index == len(order) - 1


@torch.no_grad()
def _validate(training: Training, batch_size: int) -> tuple[Sums | None, Kept]:
    """Losses of the validation images, None without any; and what is left of what the model knew."""
    sums = Sums(len(training.classes), training.device)
    training.model.eval()
    order = in_order(len(training.validation.labels), batch_size)
    with training.meter.watch():
        for images, labels in batches_of(training, training.validation, order, 0):
            with training.precision.cast():
                parts = training.objective(training.network, images, labels)
            sums.add(parts, labels)
    kept, source = training.meter.read(), training.objective.source
    if isinstance(source, Joint):
        with training.precision.cast():
            looked = source.look(training.network, batch_size)
        if looked:
            loss, accuracy, count = looked
            kept = kept.model_copy(update={"source_accuracy": accuracy, "source_images": count})
            sums.count_source(loss, training.recipe.lambda_target)
    return (sums if order else None), kept


def batches_of(training: Training, inputs: Inputs, order: list[list[int]], epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
    for images, labels in inputs.batches(order, epoch):
        yield placed(images, training.device), moved(labels, training.device)
