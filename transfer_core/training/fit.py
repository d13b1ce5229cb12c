"""Train a recipe: a generator of events. Whoever iterates stores, prints or draws them; to stop, stop iterating."""

from __future__ import annotations

import math
import platform
import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import replace
from pathlib import Path

import timm
import torch

from transfer_core.datasets.manifest import Manifest
from transfer_core.errors import Unavailable
from transfer_core.events import Event, Note
from transfer_core.paths import Home, studio_version
from transfer_core.recipe import Recipe
from transfer_core.training import checkpoint, starts, weights
from transfer_core.training.budget import Budget
from transfer_core.training.checkpoint import State
from transfer_core.training.freezing import Ladder, trainable_parameters
from transfer_core.training.loop import Training, epochs
from transfer_core.training.models import Built, build
from transfer_core.training.prefix.shorten import CHOICE
from transfer_core.training.preparing import check_data, prepare
from transfer_core.training.ranks.crew import Crew
from transfer_core.training.step import TrainStep, train_step
from transfer_core.training.tuning import LowRank
from transfer_core.words import Message


def fit(recipe: Recipe, manifest: Manifest, home: Home, out: Path | str, *, device: str = "auto", resume: bool = False,
        cache: bool = True, compiled: bool = False, step: TrainStep | None = None,
        told: int | None = None, clock: Callable[[], float] = time.monotonic, crew: Crew | None = None) -> Iterator[Event]:
    """Train `recipe` on the train split of `manifest`, looking at the validation split after every epoch.

    Writes into `out`: `recipe.json`, `classes.json`, `info.json`, `model.safetensors` (the epoch that named most validation
    images right; of equals, the one with the lower loss), `epochs.jsonl` (what each reported) and `last.pt` (to resume; the
    result is the same as without the interruption). All are usable whenever the generator is closed, once an epoch is finished.
    What frozen layers say of the images is computed once and kept in the home (see `prefix`), or else the photos' pixels (see
    `pixels`), unless `cache` is off. With `compiled` what is left runs as one compiled program where that is possible (see
    `compiling`). `step` replaces one optimiser step (tests inject failures). `told` is the last epoch that whoever resumes has
    heard of: later ones that were trained before the interruption are reported again; without it none is. `clock` says the
    seconds by which `Recipe.minutes` are counted. With a `crew`, other processes take a share of every batch (see `ranks`).
    Raises `BadRecipe`, `NotFound`, `BadWeights`, `BadImage`, `Unavailable`, `TrainingFailed`.
    """
    where, out = choose_device(device), Path(out)
    budget = Budget(None if recipe.minutes is None else 60 * recipe.minutes, clock, since=clock())
    checkpoint.sweep_up(out)
    if resume:
        checkpoint.check_same_recipe(out, recipe)
    if not resume:
        (out / CHOICE).unlink(missing_ok=True)
    training, built, notes = yield from made(recipe, manifest, home, out, where, step or train_step, cache, compiled, budget)
    training.crew = crew
    torch.manual_seed(recipe.seed)  # what was stored or tried above must not change what dropout draws
    state = State(batch_size=recipe.batch_size)
    if resume and (out / checkpoint.LAST).is_file():
        state = training.load(out)
        yield from checkpoint.noted_epochs(out, state.epoch if told is None else told, state.epoch)
    else:
        facts = describe(built, training.ladder, training.factors) | {"versions": versions()}
        checkpoint.write_description(out, recipe, manifest.classes, facts)
        for old in (checkpoint.BEST, checkpoint.EPOCHS):
            (out / old).unlink(missing_ok=True)
        training.save(out, state)
    yield from (Note(message=note, level="warning" if note.key == "fit.no_validation" else "info")
                for note in [*built.notes, *notes])
    state = replace(state, seconds=state.seconds + budget.spent)
    state = state if state.step else replace(state, begun=state.seconds)
    if 0 < state.epoch < recipe.epochs and state.seconds + state.looking >= (budget.seconds or math.inf):
        state = replace(state, out_of_time=True)
    try:
        yield from epochs(training, out, state)
    finally:
        if crew:
            crew.close()


def made(recipe: Recipe, manifest: Manifest, home: Home, out: Path, device: torch.device, step: TrainStep, cache: bool,
         compiled: bool, budget: Budget) -> Generator[Event, None, tuple[Training, Built, list[Message]]]:
    """Progress; returns a training before its first step, its model, and notes on what a person should know."""
    check_data(manifest)
    torch.manual_seed(recipe.seed)
    if recipe.weights == "pretrained":
        yield from weights.fetch(recipe.model)
    start = starts.keep(recipe.start_from, home, out) if recipe.weights == "run" else None
    built = build(recipe, len(manifest.classes), home, manifest.classes, start)
    if built.transferred:
        yield built.transferred
    training, notes = yield from prepare(recipe, manifest, home, built, device, step, out if cache else None, compiled, budget)
    return training, built, notes


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


def versions() -> dict[str, str]:
    """Of what a training is computed with: the same recipe gives the same model with the same ones only."""
    return {"transfer-studio": studio_version(), "timm": timm.__version__, "torch": str(torch.__version__),
            "python": platform.python_version()}


def describe(built: Built, ladder: Ladder, factors: LowRank | None = None) -> dict:
    """The content of `info.json`. Call it with the ladder applied."""
    sizes = {name: parameter.numel() for name, parameter in built.model.named_parameters()}
    rungs = [{"name": group.name, "position": position, "parameters": sum(sizes[name] for name in group.parameters)}
             for group, position in ladder.rungs]
    return {"architecture": built.architecture, "arguments": built.arguments,
            "preprocessing": built.preprocessing.to_dict(), "structure": built.structure.to_dict(), "groups": rungs,
            "parameters": sum(sizes.values()),
            "trainable_parameters": trainable_parameters(built.model, factors)}
