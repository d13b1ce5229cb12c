"""Train a recipe: a generator of events. Whoever iterates stores, prints or draws them; to stop, stop iterating."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from transfer_core.datasets.manifest import SPLITS, Manifest
from transfer_core.errors import BadRecipe, Unavailable
from transfer_core.events import Event, Note
from transfer_core.paths import Home
from transfer_core.recipe import Recipe
from transfer_core.training import checkpoint, weights
from transfer_core.training.checkpoint import State
from transfer_core.training.compiling import Images, Network, compile_network
from transfer_core.training.folding import fold
from transfer_core.training.freezing import Ladder, climb, freeze, has_statistics, trainable_parameters
from transfer_core.training.loop import Training, epochs, is_out_of_memory, train_step
from transfer_core.training.models import Built, build, in_fast_layout
from transfer_core.training.objective import Objective, Parts
from transfer_core.training.optim import Precision, make_optimizer, make_precision
from transfer_core.training.pipeline import ImageInputs, Inputs, class_weights
from transfer_core.training.pixels import keep_pixels
from transfer_core.training.prefix.inputs import Suffix, placed
from transfer_core.training.prefix.shorten import CHOICE, Short, shorten
from transfer_core.words import Message, message

TrainStep = Callable[[Training, Tensor, Tensor], Parts]


def fit(recipe: Recipe, manifest: Manifest, home: Home, out: Path | str, *, device: str = "auto", resume: bool = False,
        cache: bool = True, compiled: bool = False, step: TrainStep | None = None) -> Iterator[Event]:
    """Train `recipe` on the train split of `manifest`, looking at the validation split after every epoch.

    Writes into `out`: `recipe.json`, `classes.json`, `info.json`, `model.safetensors` (the epoch with the lowest
    validation loss) and `last.pt` (to resume; the result is the same as without the interruption). All are usable
    whenever the generator is closed, once an epoch is finished. What frozen layers say of the images is computed once and
    kept in the home (see `prefix`), or else the photos' pixels (see `pixels`), unless `cache` is off. With `compiled` what is
    left runs as one compiled program where that is possible (see `compiling`). `step` replaces one optimiser step (tests
    inject failures).
    Raises `BadRecipe`, `NotFound`, `BadWeights`, `BadImage`, `Unavailable`, `TrainingFailed`.
    """
    began, where, out = time.monotonic(), choose_device(device), Path(out)
    if resume:
        checkpoint.check_same_recipe(out, recipe)
    classes = manifest.classes
    check_data(manifest)
    torch.manual_seed(recipe.seed)
    if recipe.weights == "pretrained":
        yield from weights.fetch(recipe.model)
    built = build(recipe, len(classes), home)
    if not resume:
        (out / CHOICE).unlink(missing_ok=True)
    training, notes = yield from _prepare(recipe, manifest, home, built, where, step or train_step, out if cache else None,
                                          compiled)
    torch.manual_seed(recipe.seed)  # what was stored or tried above must not change what dropout draws
    state = State(batch_size=recipe.batch_size)
    if resume and (out / checkpoint.LAST).is_file():
        state = checkpoint.load_last(out, training.model, training.optimizer, training.precision.scaler)
    else:
        checkpoint.write_description(out, recipe, classes, describe(built, training.ladder))
        (out / checkpoint.BEST).unlink(missing_ok=True)
        checkpoint.save_last(out, training.model, training.optimizer, training.precision.scaler, state)
    yield from (Note(message=note, level="warning" if note.key == "fit.no_validation" else "info")
                for note in [*built.notes, *notes])
    state = replace(state, seconds=state.seconds + time.monotonic() - began)
    yield from epochs(training, out, state)


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


def check_data(manifest: Manifest) -> None:
    """Raises `BadRecipe` for a dataset nothing can be learned from."""
    if len(manifest.classes) < 2:
        raise BadRecipe("too_few_classes", count=len(manifest.classes))
    if not manifest.of("train"):
        raise BadRecipe("nothing_to_train_on")


def _prepare(recipe: Recipe, manifest: Manifest, home: Home, built: Built, device: torch.device, step: TrainStep,
             out: Path | None, compiled: bool) -> Generator[Event, None, tuple[Training, list]]:
    """Everything a training needs, in the order it must be made, and notes on what a person should know.

    `out` is where the choice of a cut is kept; None goes the plain way."""
    classes, notes = manifest.classes, []
    train = ImageInputs.of(manifest.of("train"), classes, home, built.preprocessing, recipe)
    validation = ImageInputs.of(manifest.of("validation"), classes, home, built.preprocessing)
    ladder = climb(recipe, built.model, built.groups, len(train.labels))
    in_fast_layout(built.model).to(device)
    for head in built.source_head:
        head.to(device)
    balance = class_weights(train.labels, len(classes)).to(device) if recipe.class_balance == "weights" else None
    objective = Objective(recipe, built, ladder, balance)
    freeze(built.model, ladder)
    precision = make_precision(recipe, device)
    network, inputs = built.model, (train, validation)
    short = None
    if out:
        short = yield from _shortened(recipe, built, ladder, train, validation, home, out, precision, device)
    if short:
        network, inputs = short.network, (short.train, short.validation)
        if objective.teacher is not None:
            objective.teacher = Suffix(short.parts, objective.teacher)
    elif out:
        inputs = yield from keep_pixels(inputs, recipe.epochs, home)
    if not ladder.head_only:
        few = placed(_some_of(inputs), device)
        fold(built.model, network, ladder, few, recipe.batch_size)
        if compiled and objective.source:
            notes.append(message("fit.compile.watched", source=recipe.source_loss))
        elif compiled:
            network, note = _compiled(built, network, few, precision)
            notes.append(note)
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
    images = {split: len(manifest.of(split)) for split in SPLITS}
    return Training(recipe, built.model, network, ladder, objective, optimizer, precision, device, *inputs,
                    classes, images, step), notes


def _compiled(built: Built, network: Network, images: Images, precision: Precision) -> tuple[Network, Message]:
    made = compile_network(built.model, network, images, precision)
    if made is None:
        return network, message("fit.compile.not")
    return made[0], message("fit.compile.done", seconds=round(made[1]))


def _some_of(splits: Sequence[Inputs]) -> Tensor | tuple[Tensor, ...]:
    """Two images to try a network with, unvaried where there are any."""
    inputs = next(split for split in reversed(splits) if len(split.labels))
    images, _ = next(iter(inputs.batches([list(range(min(2, len(inputs.labels))))], 1)))
    return images


def _shortened(*things) -> Generator[Event, None, Short | None]:
    try:
        return (yield from shorten(*things))
    except Exception as error:
        if not is_out_of_memory(error):
            raise
    return None  # the long way halves its batch


def describe(built: Built, ladder: Ladder) -> dict:
    """The content of `info.json`. Call it with the ladder applied."""
    sizes = {name: parameter.numel() for name, parameter in built.model.named_parameters()}
    rungs = [{"name": group.name, "position": position, "parameters": sum(sizes[name] for name in group.parameters)}
             for group, position in ladder.rungs]
    return {"architecture": built.architecture, "arguments": built.arguments,
            "preprocessing": built.preprocessing.to_dict(), "groups": rungs,
            "parameters": sum(sizes.values()),
            "trainable_parameters": trainable_parameters(built.model)}
