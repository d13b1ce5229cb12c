"""Trainings that only measure: each in a folder of its own, of which only the answers stay. What several of them cost, too."""

from __future__ import annotations

import gc
import shutil
import time
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from transfer_core import depot
from transfer_core.errors import BadRecipe
from transfer_core.events import Cached, Epoch, Event, Progressed
from transfer_core.paths import Home
from transfer_core.recipe import DEFAULT_MODEL, Recipe
from transfer_core.store import Job, Store

if TYPE_CHECKING:  # with numpy and Pillow: what a short answer on the command line need not wait for
    from transfer_core.datasets.manifest import Manifest, Split

EVERY = 1.0
"""Seconds between two signs of life; a wish to stop is heard at each."""
PARTS = {"crossvalidate": "fold-*", "learning_curve": "share-*"}
"""Kind of a job that is made of such trainings → how their folders are called, in the job's own."""
SLOW = 15.0
"""Images a second of the default model, forward, on a slow computer: what a forecast goes by where nothing was measured. Half of
what one thread of a common processor does (30, ONNX Runtime 90)."""


@dataclass(frozen=True)
class Ended:
    """What is known of one such training beside its answers."""

    best: Epoch | None
    hit: bool | None
    """Whether all that frozen layers say of the images was stored already; None where nothing is stored."""


@dataclass(frozen=True)
class Forecast:
    seconds: float
    measured: bool
    """False where this machine's speed is unknown, and a slow one's was taken."""


def check_unseen(recipe: Recipe) -> None:
    """Raises `BadRecipe` where the model begins with another run, or learns a second dataset: those may have seen any photo."""
    if recipe.weights == "run" or recipe.source_dataset:
        raise BadRecipe("folds_seen")


def train_apart(job: Job, store: Store, recipe: Recipe, manifest: Manifest, split: Split, folder: Path, stage: str,
                place: tuple[int, int]) -> Generator[Event, None, Ended]:
    """Train, and ask for the images of `split`; `place` is (how many went before, of how many). Of the folder only the answers
    stay, and nothing where the training did not come to its end."""
    from transfer_core.measured import predictions_file

    shutil.rmtree(folder, ignore_errors=True)
    try:
        return (yield from _answered(job, store, recipe, manifest, split, folder, stage, place))
    finally:
        kept = predictions_file(folder, split)
        if not kept.is_file():
            shutil.rmtree(folder, ignore_errors=True)
        for file in folder.iterdir() if folder.is_dir() else ():
            if file.name != kept.name:
                shutil.rmtree(file) if file.is_dir() else file.unlink()
        gc.collect()  # a frozen model refers to itself: without this it would still hold its memory when the next one is made


def _answered(job: Job, store: Store, recipe: Recipe, manifest: Manifest, split: Split, folder: Path, stage: str,
              place: tuple[int, int]) -> Generator[Event, None, Ended]:
    from transfer_core.jobs.tasks import GaveWay, came_along, is_waited_for
    from transfer_core.training.evaluate import evaluate
    from transfer_core.training.fit import choose_device, fit
    from transfer_core.training.models import load_run
    from transfer_core.training.prefix.answers import StoredAnswers

    said = spoken = 0.0
    best, hit = None, None
    with closing(fit(recipe, manifest, store.home, folder, device=job.device)) as events:
        for event in events:
            hit = event.hit if isinstance(event, Cached) else hit
            if isinstance(event, Epoch):
                said, best = event.epoch / recipe.epochs, event if event.best else best
            if isinstance(event, Epoch) or time.monotonic() - spoken > EVERY:
                spoken = time.monotonic()
                yield Progressed(stage=stage, done=int(100 * (place[0] + min(said, 0.99))), total=100 * place[1])
                if came_along(job) and is_waited_for(job, store):
                    raise GaveWay  # a person's next training goes first
    model, classes, how = load_run(folder)
    device = choose_device(job.device)
    stored = StoredAnswers(folder, model, store.home, device)
    for _ in evaluate(model, classes, how, manifest, split, store.home, folder, device, stored):
        pass
    return Ended(best, hit)


@contextmanager
def thrown_away_if_asked(job: Job, store: Store) -> Iterator[None]:
    """Around the work of such a job: who wants it discarded finds nothing of it left. Kept, it can go on from there."""
    from transfer_core.jobs.tasks import StopAsked

    try:
        yield
    except StopAsked as stop:
        if stop.how == "discard":
            throw_away(store.home, job)
        raise


def throw_away(home: Home, job: Job) -> None:
    for folder in home.job(job.id).glob(PARTS[job.kind]):
        shutil.rmtree(folder, ignore_errors=True)
    if depot.is_on():
        from transfer_core.depot.folders import Folder

        Folder(home, f"jobs/{job.id}").remove()


def forecast(home: Home, recipe: Recipe, images: int, classes: int, trainings: int, *, stored: bool = False) -> Forecast | None:
    """What so many trainings on so many training images take. `stored`: what frozen layers say of the images is there already,
    as after a training; else the first of them finds it out. None for a model that the catalog does not know."""
    from transfer_core import catalog
    from transfer_core.errors import NotFound
    from transfer_core.estimate import estimate
    from transfer_core.speeds import Speed, Speeds, speeds

    try:
        info = catalog.model(recipe.model)
    except NotFound:
        return None
    speed = speeds(home).get(info.name)
    taken = speed or Speeds({DEFAULT_MODEL: Speed(SLOW)}).get(info.name)
    if taken is None:
        return None
    cost = estimate(recipe, info, images, taken, classes=classes)
    first = cost.seconds_again if stored else cost.seconds
    return Forecast(first + (trainings - 1) * cost.seconds_again, speed is not None)
