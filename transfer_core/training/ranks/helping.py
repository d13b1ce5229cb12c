"""What a helper does: make the training as rank 0 made it, say so, and take its share of the batches it is told of."""

from __future__ import annotations

import json
import logging
import secrets
import shutil
import time
from collections.abc import Callable, Generator
from contextlib import closing
from pathlib import Path
from typing import Any

from transfer_core.datasets.manifest import Manifest
from transfer_core.events import Event, Progressed
from transfer_core.paths import Home, write_json
from transfer_core.recipe import Recipe
from transfer_core.training import starts
from transfer_core.training.budget import Budget
from transfer_core.training.fit import choose_device, made
from transfer_core.training.loop import Training, batches_of
from transfer_core.training.optim import set_learning_rate
from transfer_core.training.prefix.inputs import moved
from transfer_core.training.prefix.shorten import CHOICE
from transfer_core.training.ranks.crew import facts
from transfer_core.training.ranks.norms import shared
from transfer_core.training.ranks.team import END, EPOCH, LEAVE, REGROUP, STEP, RankLost, Team
from transfer_core.training.step import is_out_of_memory, train_step

log = logging.getLogger(__name__)
LOOK, SAY = 0.05, 1.0
STALE = 60.0
"""Seconds for which a network share may show a file as it was."""


def help_with(recipe: Recipe, manifest: Manifest, home: Home, out: Path, folder: Path, address: str, wanted: Callable[[], bool],
              *, device: str = "auto", cache: bool = True, compiled: bool = False) -> Generator[Event, None, None]:
    """Progress, until rank 0 needs nobody any more. `out` is the folder of its run, of which checkpoints are read and nothing is
    written; `folder` where ranks meet (see `crew`). `wanted` is asked now and then: False when rank 0 is no more.

    Raises what `fit` raises, and `Unavailable` where this machine computes something else.
    """
    name = secrets.token_hex(4)
    own = folder / name  # what preparing writes down here must not change the run
    own.mkdir(parents=True, exist_ok=True)
    try:
        for kept in (CHOICE, starts.KEPT):
            if (out / kept).is_dir():
                shutil.copytree(out / kept, own / kept)
            elif (out / kept).is_file():
                shutil.copyfile(out / kept, own / kept)
        training, _, _ = yield from _without_events(made(
            recipe, manifest, home, own, choose_device(device), train_step, cache, compiled, Budget(None, time.monotonic)))
        yield from _rounds(training, out, folder, name, address, wanted)
    finally:
        (folder / f"ready-{name}.json").unlink(missing_ok=True)
        shutil.rmtree(own, ignore_errors=True)


def _rounds(training: Training, out: Path, folder: Path, name: str, address: str,
            wanted: Callable[[], bool]) -> Generator[Event, None, None]:
    own, last = {"facts": json.loads(json.dumps(facts(training)))}, 0
    write_json(folder / f"ready-{name}.json", own | {"after": 0}, lasting=False)
    spoken = float("-inf")
    while True:
        told = _told(folder / "round.json")
        if told.get("over"):
            return
        if told.get("round", 0) > last and name in told["names"]:
            last = told["round"]
            try:
                rank = 1 + told["names"].index(name)
                with closing(Team(folder, last, rank, 1 + len(told["names"]), address, training.device)) as team:
                    training.team = team
                    if (yield from _round(training, out, team)) == LEAVE:
                        return
            except RankLost as error:
                log.warning("a shared training broke off: %s", error)
            training.team = None
            write_json(folder / f"ready-{name}.json", own | {"after": last}, lasting=False)
        if time.monotonic() - spoken > SAY:
            spoken = time.monotonic()
            yield Progressed(stage="helping", done=0)
            if not wanted():
                return
        time.sleep(LOOK)


def _round(training: Training, out: Path, team: Team) -> Generator[Event, None, int]:
    """As rank 0 says, until it says that this round is over: returns how."""
    with shared(training):
        command = team.hear()
        while command.what not in (LEAVE, REGROUP):
            if command.what == EPOCH:
                yield Progressed(stage="helping", done=command.epoch, total=training.recipe.epochs)
                if command.fresh:
                    training.optimizer.zero_grad(set_to_none=True)
                    training.model.zero_grad(set_to_none=True)
                    _load(training, out, command.epoch)
                team.agree(training)
                command = _epoch(training, team, command.epoch, command.batch)
            else:
                command = team.hear()
    return command.what


def _load(training: Training, out: Path, epoch: int) -> None:
    """The checkpoint that rank 0 begins this epoch with. A network share may show an older one for a while, whose weights would
    be put right by rank 0's, and whose optimiser would not. Raises `RankLost`."""
    until = time.monotonic() + STALE
    while (found := training.load(out).epoch) != epoch - 1:
        if time.monotonic() > until:
            raise RankLost(f"the checkpoint seen here is of epoch {found}, and not of {epoch - 1}")
        time.sleep(LOOK)


def _epoch(training: Training, team: Team, epoch: int, batch: int) -> Any:
    """Returns the command that is none of this epoch's."""
    order = training.order(batch, epoch)
    source = training.objective.source
    if source:
        source.begin(epoch, batch)
    training.model.train()
    batches = batches_of(training, training.train, [team.part(places) for places in order], epoch)
    try:
        for places in order:
            command = team.hear()
            if command.what != STEP:
                break
            team.take(len(places))
            set_learning_rate(training.optimizer, command.factor)
            labels = moved(training.train.labels[places], training.device)
            try:
                images, _ = next(batches)
            except Exception as error:
                if not is_out_of_memory(error):
                    raise
                images = None
            try:
                training.step(training, images, labels)
            except Exception as error:
                if not is_out_of_memory(error):
                    raise
                return team.hear()  # rank 0 begins the epoch again, with half the batch
        else:
            command = team.hear()
    finally:
        batches.close()
        if source:
            source.end()
    return team.hear() if command.what == END else command


def _told(file: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(file.read_text("utf-8")))
    except (OSError, ValueError):
        return {}


def _without_events(work: Generator[Event, None, Any]) -> Generator[Event, None, Any]:
    """How far it is, as that of a helper."""
    while True:
        try:
            event = next(work)
        except StopIteration as end:
            return end.value
        if isinstance(event, Progressed):
            yield event
