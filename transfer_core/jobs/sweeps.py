"""A sweep: one training for each λ and seed, in one worker. Each is a run of its own, to be gone on with and taken home."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager

from transfer_core.errors import BadRecipe, TrainingFailed
from transfer_core.events import Epoch, Event, Note, Progressed, Step, Swept
from transfer_core.jobs.discard import throw_away
from transfer_core.jobs.spreading import clear, parts_of, spread, spreads
from transfer_core.metrics import wilson
from transfer_core.recipe import Recipe
from transfer_core.store import Job, Store
from transfer_core.sweeping import best_of, hopeless, recommend, setting_of, told_apart
from transfer_core.words import message

EVERY = 1.0
"""Seconds between two signs of life; a wish to stop is heard at each."""


def sweep(job: Job, store: Store) -> Generator[Event, None, dict | None]:
    """Train `payload["recipe"]` with each of `payload["values"]`, once for each seed; what is hopeless gets no further seeds.

    Where there is room for several jobs at once, the trainings of one turn are jobs of their own (see `spreading`).
    What an interrupted sweep has reported is not trained again. When stopped, what is there is judged, or all is thrown away.
    """
    from transfer_core.datasets.manifest import Manifest
    from transfer_core.jobs.tasks import StopAsked

    recipe, values, seeds = Recipe(**job.payload["recipe"]), job.payload["values"], job.payload["seeds"]
    points = [event for _, event in store.events(job.id, kinds=("swept",))]
    parts, known = {part.id for part in parts_of(store, job.id)}, {point.run for point in points}
    for run in store.jobs("train"):
        if run.payload.get("sweep") == job.id and run.id not in known and run.payload.get("part") not in parts:
            throw_away(store, run.id)  # its worker died with this job's before
    if not Manifest.read(store.home, recipe.dataset, recipe.version).of("validation"):
        raise BadRecipe("sweep_unmeasured")
    out: set[float] = set()
    try:
        for turn in range(seeds):
            left = [value for value in values if value not in out]
            before, whole = len(values) + len(left) * (turn - 1) if turn else 0, len(values) + len(left) * (seeds - 1)
            new = [value for value in left if not any((point.value, point.turn) == (value, turn) for point in points)]
            if spreads(job, store):
                def told(_part: dict, child: Job) -> Iterator[Event]:
                    notes = [event for _, event in store.events(child.id, kinds=("note",))]
                    yield from (note for note in notes if note.message.key != "jobs.went_on")
                    if child.result:
                        points.append(Swept(**child.result))
                        yield points[-1]

                yield from spread(job, store, [{"value": value, "turn": turn} for value in new], "sweep",
                                  (before + len(left) - len(new), whole), told)
                points.sort(key=lambda point: (point.turn, point.value))  # as one after another finds them
            else:
                for value in new:
                    point = yield from _one(job, store, recipe, value, turn, (before + left.index(value), whole))
                    if point:
                        points.append(point)
                        yield point
            # By what was known then: once out is out, also where an interrupted sweep goes on.
            gone = hopeless([point for point in points if point.turn <= turn and point.value not in out])
            out |= gone
            if dropped := sorted(gone) if turn < seeds - 1 and not any(point.turn > turn for point in points) else []:
                yield Note(message=message("sweep.dropped", values=", ".join(f"{value:g}" for value in dropped)))
    except StopAsked as stop:
        if stop.how == "discard":
            for point in points:
                throw_away(store, point.run)
            raise
    clear(store, job.id)
    return answer(points)


def answer(points: list[Swept]) -> dict:
    """`{"points": [{"lambda", "seed", "accuracy", …}], "recommended": {"lambda", "why", "shown", "run"}, "split": "validation"}`.

    `shown`: whether any λ differs from the recommended one by more than luck.
    """
    rows = [{"lambda": point.value, **point.model_dump(exclude={"type", "value", "turn", "right"})} for point in points]
    found = recommend(points)
    chosen = None
    if found:
        chosen = {"lambda": found[0].value, "why": found[1].model_dump(), "shown": told_apart(points),
                  "run": best_of(found[0].value, points).run}
    return {"points": rows, "recommended": chosen, "split": "validation"}


def point(job: Job, whole: Job, store: Store) -> Generator[Event, None, dict | None]:
    """One training of a sweep, as a job of its own; returns its `Swept` as plain data."""
    for run in store.jobs("train"):
        if run.payload.get("part") == job.id:
            throw_away(store, run.id)  # its worker died before
    found = yield from _one(whole, store, Recipe(**whole.payload["recipe"]), **job.payload["part"], done=(0, 1), part=job)
    return found and found.model_dump(exclude={"type"})


def _one(job: Job, store: Store, base: Recipe, value: float, turn: int, done: tuple[int, int],
         part: Job | None = None) -> Generator[Event, None, Swept | None]:
    """One training, under its own name in the store. None, and a note, when it failed by itself (its loss exploded, say)."""
    from transfer_core.datasets.manifest import Manifest
    from transfer_core.training.fit import fit

    recipe = base.but(**{setting_of(base): value, "seed": (base.seed + turn) % 2**31})
    manifest = Manifest.read(store.home, recipe.dataset, recipe.version)
    said, best, spoken = 0.0, None, 0.0
    with _run(job, store, recipe, part) as (run, tell):
        try:
            with closing(fit(recipe, manifest, store.home, store.home.run(run), device=job.device)) as events:
                for event in events:
                    tell(event)
                    if isinstance(event, Epoch):
                        said = event.epoch / recipe.epochs
                        best = event if event.best else best
                    if isinstance(event, Epoch) or time.monotonic() - spoken > EVERY:
                        spoken = time.monotonic()
                        yield Progressed(stage="sweep", done=int(100 * (done[0] + min(said, 0.99))), total=100 * done[1])
        except TrainingFailed as error:
            failed = error
        else:
            failed = None
    if failed:
        throw_away(store, run)
        yield Note(level="warning", message=message("sweep.failed", value=f"{value:g}"))
        yield Note(level="warning", message=message(f"errors.{failed.code}.text", **failed.values))
        return None
    gc.collect()  # a frozen model refers to itself: without this it would still hold its memory when the next one is made
    if best is None:
        return None
    n, kept = sum(map(sum, best.confusion)), best.kept
    low, high = wilson(round(best.validation_accuracy * n), n)
    return Swept(value=value, seed=recipe.seed, turn=turn, accuracy=best.validation_accuracy, low=low, high=high, n=n,
                 kept=kept.share, kept_images=kept.source_images or kept.images, kept_is_share=kept.kind != "similarity",
                 drift=kept.moved, right=best.right, run=run)


@contextmanager
def _run(job: Job, store: Store, recipe: Recipe, part: Job | None) -> Iterator[tuple[str, Callable[[Event], None]]]:
    """A row of its own for one training of the sweep. It ends as stopped: to go on with it is to measure and export it."""
    payload = {"recipe": recipe.model_dump(mode="json"), "sweep": job.id} | (
        {"name": job.payload["name"]} if job.payload.get("name") else {}) | ({"part": part.id} if part else {})
    run = store.enter("train", payload, job.device)
    waiting: list[Event] = []

    def tell(event: Event) -> None:
        waiting.append(event)
        if not isinstance(event, Step):
            store.append(run, *waiting)
            waiting.clear()

    try:
        yield run, tell
    except BaseException:
        throw_away(store, run)
        raise
    store.append(run, *waiting)
