"""Everything a training needs, in the order it must be made."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from transfer_core.datasets.manifest import SPLITS, Manifest
from transfer_core.errors import BadRecipe, NotFound
from transfer_core.events import Event
from transfer_core.paths import Home
from transfer_core.recipe import Recipe
from transfer_core.training.budget import Budget
from transfer_core.training.compiling import Images, Network, compile_network
from transfer_core.training.folding import fold
from transfer_core.training.freezing import Ladder, climb, freeze, has_statistics
from transfer_core.training.loop import Training
from transfer_core.training.meter import Meter
from transfer_core.training.models import Built, in_fast_layout
from transfer_core.training.objective import Answers, Joint, Objective, Term
from transfer_core.training.optim import Precision, make_optimizer, make_precision
from transfer_core.training.pipeline import ImageInputs, Inputs, class_weights
from transfer_core.training.pixels import keep_pixels
from transfer_core.training.prefix.inputs import Suffix, placed
from transfer_core.training.prefix.shorten import CHOICE, Short, read_choice, shorten
from transfer_core.training.step import TrainStep, is_out_of_memory
from transfer_core.training.tuning import low_rank
from transfer_core.words import Message, message


def prepare(recipe: Recipe, manifest: Manifest, home: Home, built: Built, device: torch.device, step: TrainStep,
            out: Path | None, compiled: bool, budget: Budget) -> Generator[Event, None, tuple[Training, list[Message]]]:
    """Progress; returns a training before its first step, and notes on what a person should know.

    `out` is where the choice of a cut is kept; None goes the plain way. What is stored beforehand takes its time of `budget`.
    """
    splits = _splits(manifest, home, built, recipe)
    train, validation = splits
    ladder = climb(recipe, built.model, built.groups, len(train.labels))
    in_fast_layout(built.model).to(device)
    for head in built.source_head:
        head.to(device)
    balance = class_weights(train.labels, len(manifest.classes)).to(device) if recipe.class_balance == "weights" else None
    other = _second(recipe, home) if not ladder.head_only else None
    factors = low_rank(recipe, built.model, ladder.learning("train"))
    objective = Objective(recipe, built, ladder, balance, other.classes if other else (), factors)
    for head in objective.source_heads:
        head.to(device)
    joint = objective.source if isinstance(objective.source, Joint) else None
    if joint:
        check_data(other)
        splits = (*splits, *_splits(other, home, built, recipe))
    meter = Meter(built, ladder, len(validation.labels), recipe.seed)
    freeze(built.model, ladder)
    precision = make_precision(recipe, device)
    network, inputs = yield from _shorter(recipe, built, ladder, objective, splits, home, out, precision, device,
                                         budget)
    if joint:
        joint.draw_from(*inputs[2:], device)
    notes, faster = _notes(recipe, manifest, ladder), network
    if not ladder.head_only:
        few = placed(_some_of(inputs), device)
        fold(built.model, network, ladder, few, recipe.batch_size)
        if objective.source:
            yield from _asked(built.model, objective.source, network, inputs[0], device, recipe.seed)
        if compiled:
            faster, note = _compiled(recipe, built, network, few, precision, watched=objective.looks_inside)
            notes.append(note)
    optimizer = make_optimizer(recipe, built.model, ladder, objective.source_heads, joint is not None and joint.new, factors)
    images = {split: len(manifest.of(split)) for split in SPLITS}
    training = Training(recipe, built.model, network, faster, ladder, objective, meter, optimizer, precision, device, *inputs[:2],
                        manifest.classes, images, step, budget, factors)
    training.begin_meter()
    return training, notes


def _second(recipe: Recipe, home: Home) -> Manifest | None:
    """The dataset that is learned at the same time. Raises `NotFound`."""
    if recipe.source_dataset is None:
        return None
    try:
        return Manifest.read(home, recipe.source_dataset, recipe.source_version)
    except FileNotFoundError as error:
        raise NotFound("no_dataset", name=f"{recipe.source_dataset} v{recipe.source_version}", known="–") from error


def check_data(manifest: Manifest) -> None:
    """Raises `BadRecipe` for a dataset nothing can be learned from."""
    if len(manifest.classes) < 2:
        raise BadRecipe("too_few_classes", count=len(manifest.classes))
    if not manifest.of("train"):
        raise BadRecipe("nothing_to_train_on")


def _notes(recipe: Recipe, manifest: Manifest, ladder: Ladder) -> list[Message]:
    notes = []
    if recipe.weights == "scratch":
        notes.append(message("fit.from_scratch"))
    if ladder.head_only:
        constant = [recipe.source_loss] if recipe.source_loss else []
        constant += ["bss"] if recipe.regularizer == "bss" and recipe.lambda_omega else []
        notes += [message("fit.source_constant", source=name) for name in constant]
    if ladder.statistics_frozen and has_statistics(ladder.at("train")):
        notes.append(message("fit.statistics_frozen"))
    if not manifest.of("validation"):
        notes.append(message("fit.no_validation"))
    present = {image.label for image in manifest.of("train")}
    return notes + [message("fit.class_without_training", name=name) for name in manifest.classes if name not in present]


def _shorter(recipe: Recipe, built: Built, ladder: Ladder, objective: Objective, splits: Sequence[ImageInputs], home: Home,
             out: Path | None, precision: Precision, device: torch.device, budget: Budget,
             ) -> Generator[Event, None, tuple[Network, Sequence[Inputs]]]:
    """What is run and on what: the suffix and rows of the store, the model and rows of pixels, or the model and photos."""
    short = None
    if out:
        short = yield from _within_memory(shorten(recipe, built, ladder, splits, home, out, precision, device, budget.hopeless))
    if short:
        inputs, source = short.inputs, objective.source
        if source and source.teacher is not None:
            source.teacher = Suffix(short.parts, source.teacher)
        if isinstance(source, Answers):
            inputs = yield from source.ask_once(inputs, recipe.epochs, device, precision.cast)
        return short.network, inputs
    # Pixels are stored to be faster, too: what room there is on a full disk, the checkpoints need.
    if out is None or read_choice(out / CHOICE).get("reason") == "disk_full":
        return built.model, splits
    return built.model, (yield from keep_pixels(splits, recipe.epochs, home))


def _splits(manifest: Manifest, home: Home, built: Built, recipe: Recipe) -> tuple[ImageInputs, ImageInputs]:
    """What is trained on, varied as the recipe says, and what is only looked at."""
    return (ImageInputs.of(manifest.of("train"), manifest.classes, home, built.preprocessing, recipe),
            ImageInputs.of(manifest.of("validation"), manifest.classes, home, built.preprocessing))


def _asked(model: nn.Module, source: Term, *given) -> Iterator[Event]:
    """In evaluation mode: what a source loss finds out beforehand must not hang on dropout, nor move running averages."""
    model.eval()
    try:
        yield from source.prepare(*given)
    finally:
        model.train()


def _compiled(recipe: Recipe, built: Built, network: Network, images: Images, precision: Precision, watched: bool,
              ) -> tuple[Network, Message]:
    if watched:
        return network, message("fit.compile.watched", source=recipe.source_loss or recipe.regularizer)
    made = compile_network(built.model, network, tiled(images, recipe.batch_size), precision)
    if made is None:
        return network, message("fit.compile.not")
    return made[0], message("fit.compile.done", seconds=round(made[1]))


def tiled(images: Images, count: int) -> Images:
    """A batch of so many, of the few there are."""
    if isinstance(images, tuple):
        return tuple(tiled(tensor, count) for tensor in images)
    places = torch.arange(count, device=images.device) % len(images)
    return images[places]


def _some_of(splits: Sequence[Inputs]) -> Tensor | tuple[Tensor, ...]:
    """Two images to try a network with, unvaried where there are any."""
    inputs = next(split for split in reversed(splits) if len(split.labels))
    images, _ = next(iter(inputs.batches([list(range(min(2, len(inputs.labels))))], 1)))
    return images


def _within_memory(work: Generator[Event, None, Short | None]) -> Generator[Event, None, Short | None]:
    try:
        return (yield from work)
    except Exception as error:
        if not is_out_of_memory(error):
            raise
    return None  # the long way halves its batch
