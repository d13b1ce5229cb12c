"""What a worker can do. A task is a generator of events; what it returns is the job's result.

Facts of a task: `torch`, whether it needs it; `stays`, whether its worker may take another job after it; `short`, whether it is
done in a minute or two and a person waits for it: it then runs beside a long one on the same device (see `store.queue`).

Whoever runs it may throw `StopAsked` in at a `yield`: a task that catches it may still finish what makes sense,
one that does not is simply over. Heavy modules are imported inside, so that this file stays light.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Generator
from contextlib import closing, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from transfer_core.depot.tidying import remove
from transfer_core.errors import NotFound
from transfer_core.events import Epoch, Event, Exported, Imported, Progressed, Stopped
from transfer_core.jobs.history import write_history
from transfer_core.jobs.result import Result
from transfer_core.paths import Home
from transfer_core.progress import Progress, fold
from transfer_core.recipe import Recipe
from transfer_core.registry import Registry
from transfer_core.store import Job, Store
from transfer_core.store.queue import LAST, lane, running
from transfer_core.store.versions import new_id

Work = Generator[Event, None, dict[str, Any] | None]
TASKS: Registry = Registry("task")


class StopAsked(BaseException):
    """A person wants the job to stop. `how`: "keep" what there is, or "discard" it.

    Not an `Exception`, so that no `except Exception` inside the work swallows it.
    """

    def __init__(self, how: str) -> None:
        self.how = how
        super().__init__(how)


class GaveWay(BaseException):
    """Somebody waits for the device of a job that nobody asked for: it goes to the end of the queue, and keeps what it has."""


@TASKS.add("understand", torch=False, short=True)
def understand(job: Job, store: Store) -> Work:
    """Look at an upload without decoding anything: its layout, its classes, what has to be asked."""
    from transfer_core import datasets

    yield Progressed(stage="understanding", done=0)
    return datasets.understand(_source(job, store), job.payload.get("answers")).to_dict()


@TASKS.add("import", torch=False, short=False)
def import_(job: Job, store: Store) -> Work:
    """Make a dataset of an upload, a folder, a zip or a bundled example."""
    # A worker that died after it had imported was replaced by this one: what it did must not be done twice.
    dataset = new_id(job.payload["name"], key=job.id)
    made = store.first_version(dataset)
    if made is None:
        imported = yield from _import(job, store, dataset)
    else:
        imported = Imported(dataset=dataset, version=1, summary=made.summary)
        if not store.events(job.id, kinds=("imported",)):
            yield imported
    if upload := job.payload.get("upload"):
        with suppress(NotFound):
            remove(store.home, "uploads", _upload(store.home, upload).name)
    if imported and job.payload.get("then") == "train":
        _train_recommended(job, store, imported)
    elif imported and job.payload.get("then") == "look":
        take_first_look(store, imported.dataset, imported.version, imported.summary, job.payload["name"])
    return imported.summary if imported else None


def _import(job: Job, store: Store, dataset: str) -> Generator[Event, None, Imported | None]:
    from transfer_core import datasets

    payload, drawn = job.payload, store.home.uploads / f"example-{job.id}"
    seed = payload.get("seed", 0)
    imported: Imported | None = None
    try:
        if example := payload.get("example"):
            from transfer_core.examples import make_example

            yield from make_example(example, drawn, payload.get("images_per_class"), seed)
        source = drawn if example else _source(job, store)
        how = {"answers": payload.get("answers"), "seed": seed, "dataset_id": dataset}
        for event in datasets.import_dataset(source, payload["name"], store, **how):
            imported = event if isinstance(event, Imported) else imported
            yield event
    finally:
        shutil.rmtree(drawn, ignore_errors=True)
    return imported


def _train_recommended(job: Job, store: Store, imported: Imported) -> None:
    """Queue the training that was asked for together with the import, so that it starts whether or not a page still waits."""
    from transfer_core import presets
    from transfer_core.jobs import beside
    from transfer_core.jobs.devices import devices

    if any(run.payload.get("request") == job.id for run in store.jobs("train")):
        return
    recipe = presets.recommended_recipe(imported.dataset, imported.version, imported.summary)
    payload = {"recipe": recipe.model_dump(), "name": job.payload["name"], "request": job.id, **beside.usual(store.home, recipe)}
    store.submit("train", payload, devices()[0])


def take_first_look(store: Store, dataset: str, version: int, summary: dict[str, Any], name: str) -> Job | None:
    """Queue a first model of this version of a dataset, unless there is one or nothing to learn; returns the newest such job."""
    from transfer_core.jobs.devices import devices

    made = first_look(store, dataset)
    if made and made.payload["version"] == version and (made.live or made.result):
        return made
    if not can_be_looked_at(summary):
        return None
    return store.submit("guess", {"dataset": dataset, "version": version, "name": name}, devices()[0])


def can_be_looked_at(summary: dict[str, Any]) -> bool:
    """Whether a version of a dataset has anything to tell apart."""
    return len(summary["classes"]) > 1 and summary["split"]["train"] > 0


def first_look(store: Store, dataset: str) -> Job | None:
    """The newest first model of a dataset, whichever version it saw."""
    return next((job for job in store.jobs("guess") if job.payload["dataset"] == dataset), None)


@TASKS.add("guess", torch=True, stays=True, short=True)
def guess(job: Job, store: Store) -> Work:
    """A first model before anybody chose anything. At most 2,000 photos, so it gives way to nobody once it runs."""
    from transfer_core.datasets.manifest import Manifest
    from transfer_core.training.instant import guess

    dataset, out = job.payload["dataset"], store.home.run(job.id)
    for older in store.jobs("guess"):
        if older.payload["dataset"] == dataset and older.id != job.id and not older.live:
            remove(store.home, "runs", older.id)
    manifest = Manifest.read(store.home, dataset, job.payload["version"])
    found = None
    try:
        found = yield from guess(manifest, store.home, out, name=job.payload["name"], device=job.device)
    finally:
        if found is None:
            remove(store.home, "runs", job.id)
    (out / "model.safetensors").unlink(missing_ok=True)  # it is in the ONNX file, and nothing goes on from here
    return found


@TASKS.add("check", torch=True, stays=True, short=True)
def check(job: Job, store: Store) -> Work:
    """Look for what is wrong with a dataset: doubtful labels, like photos on both sides, odd and poor photos."""
    from transfer_core.datasets.manifest import Manifest
    from transfer_core.training.problems import find_problems

    manifest = Manifest.read(store.home, job.payload["dataset"], job.payload["version"])
    return (yield from find_problems(manifest, store.home, device=job.device))


def last_check(store: Store, dataset: str, version: int | None = None) -> Job | None:
    """The newest check of a dataset that has a result or is under way; of this version, where one is named."""
    return next((job for job in store.jobs("check") if job.payload["dataset"] == dataset and (job.live or job.result)
                 and version in (None, job.payload["version"])), None)


def is_waited_for(job: Job, store: Store) -> bool:
    """Whether a person waits for its lane of its device. Two jobs that came along with trainings do not wait for each other: they
    would give way in turns, and neither would ever end. Nor does anybody wait where there is room for one more."""
    same = [other for other in store.everyone().jobs(None, "queued", "running") if lane(other) == lane(job)]
    full = len(running(same)) >= store.room(job.device)
    return full and any(other.state == "queued" and other.kind not in LAST and not came_along(other) for other in same)


def came_along(job: Job) -> bool:
    """Whether it is a measurement that a training brought along, and nobody asked for by itself."""
    return job.kind == "crossvalidate" and "request" in job.payload


@TASKS.add("train", torch=True, short=False)
def train(job: Job, store: Store) -> Work:
    """Train a recipe, or average trained models, then measure the outcome on images it never saw and export it. Goes on from a
    checkpoint. A cross-validation that was asked for with it is put in the queue at its end."""
    from transfer_core.datasets.manifest import Manifest
    from transfer_core.jobs import averages, beside, ranks
    from transfer_core.training.finish import finish
    from transfer_core.training.fit import fit

    recipe = Recipe(**job.payload["recipe"])
    manifest = Manifest.read(store.home, recipe.dataset, recipe.version)
    name = averages.named(store, job)
    out = store.home.run(job.id)
    result = Result()
    before = [event for _, event in store.events(job.id)]
    result.recall(before)
    told = max((event.epoch for event in before if isinstance(event, Epoch)), default=0)
    try:
        crew = yield from ranks.crew(job, store)
        made = averages.make(job, store) if job.is_average else fit(
            recipe, manifest, store.home, out, device=job.device, resume=(out / "last.pt").is_file(),
            cache=job.payload.get("cache", True), compiled=job.payload.get("compiled", False), told=told, crew=crew)
        yield from result.of(made)
        write_history(store, job)
        yield from result.of(finish(out, manifest, store.home, name=name, device=job.device))
    except StopAsked as stop:
        if stop.how == "keep" and (out / "model.safetensors").is_file():
            write_history(store, job)
            yield from result.of(finish(out, manifest, store.home, name=name, device=job.device))
            yield Stopped(kept=True, best_epoch=result.best_epoch)
            beside.follow(job, store)
            return result.summary()
        remove(store.home, "runs", job.id)
        raise
    finally:
        ranks.let_go(job, store)
    beside.follow(job, store)
    return result.summary()


@TASKS.add("sweep", torch=True, short=False)
def sweep(job: Job, store: Store) -> Work:
    """Train a recipe with several λ and seeds, to show what each learns and keeps. Goes on after an interruption."""
    from transfer_core.jobs.sweeps import sweep

    return (yield from sweep(job, store))


@TASKS.add("crossvalidate", torch=True, short=False)
def crossvalidate(job: Job, store: Store) -> Work:
    """Train a recipe several times, so that every photo is a test photo once. Goes on after an interruption."""
    from transfer_core.jobs.crossvalidating import crossvalidate

    return (yield from crossvalidate(job, store))


@TASKS.add("learning_curve", torch=True, short=False)
def learning_curve(job: Job, store: Store) -> Work:
    """Train a recipe on parts of the photos, to see whether more of them would help. Goes on after an interruption."""
    from transfer_core.jobs.learning_curve import learning_curve

    return (yield from learning_curve(job, store))


@TASKS.add("part", torch=True, short=False)
def part(job: Job, store: Store) -> Work:
    """One training of a sweep or a cross-validation, where several run at the same time; or help with one training."""
    from transfer_core.jobs import crossvalidating, ranks, sweeps

    whole = store.job(job.payload["of"])
    if whole.kind == "train":
        return (yield from ranks.help_with(job, whole, store))
    if whole.kind == "sweep":
        return (yield from sweeps.point(job, whole, store))
    yield from crossvalidating.fold(job, whole, store, crossvalidating.Turn(**job.payload["part"]))
    return {}


@TASKS.add("blend", torch=True, stays=True, short=False)
def blend(job: Job, store: Store) -> Work:
    """Mix a run's model with the one it began as, from one end to the other, and measure each mixture."""
    from transfer_core.datasets.manifest import Manifest
    from transfer_core.jobs.averages import can_be_mixed
    from transfer_core.training.blending import blend

    run = can_be_mixed(store, job.payload["run"])
    recipe = Recipe(**run.payload["recipe"])
    manifest = Manifest.read(store.home, recipe.dataset, recipe.version)
    return (yield from blend(store.home.run(run.id), manifest, store.home, device=job.device))


@TASKS.add("explain", torch=True, stays=True, short=True)
def explain(job: Job, store: Store) -> Work:
    """Show which places of some photos speak for a run's answers, as heat maps."""
    from transfer_core.jobs.heat import heat_maps

    return (yield from heat_maps(job, store))


@TASKS.add("background", torch=True, stays=True, short=True)
def background(job: Job, store: Store) -> Work:
    """Ask a run's model again with the middle of the photos hidden, and with nothing else, to see what it goes by."""
    from transfer_core.datasets.manifest import Manifest
    from transfer_core.training.explain import background

    run = store.job(job.payload["run"])
    recipe = Recipe(**run.payload["recipe"])
    manifest = Manifest.read(store.home, recipe.dataset, recipe.version)
    return (yield from background(store.home.run(run.id), manifest, store.home, device=job.device))


@TASKS.add("strangers", torch=False, short=True)
def strangers(job: Job, store: Store) -> Work:
    """Show a run photos of something else, to see how many it calls “perhaps none of these”."""
    from transfer_core.jobs.strangers import ask_strangers

    return (yield from ask_strangers(job, store))


@TASKS.add("nearest", torch=True, stays=True, short=True)
def nearest(job: Job, store: Store) -> Work:
    """Find the training photos that a run's model finds most like some photos."""
    from transfer_core.jobs.similar import nearest

    return (yield from nearest(job, store))


@TASKS.add("map", torch=True, stays=True, short=True)
def photo_map(job: Job, store: Store) -> Work:
    """Draw all photos of a run's dataset as a map: what its model finds alike lies side by side."""
    from transfer_core.jobs.similar import photo_map

    return (yield from photo_map(job, store))


@TASKS.add("export", torch=True, stays=True, short=True)
def export(job: Job, store: Store) -> Work:
    """Make one more format of a trained run. That it is there now, the run itself tells."""
    from transfer_core.jobs.averages import named
    from transfer_core.training.export import export

    run = store.job(job.payload["run"])
    last = None
    known = fold(Progress(), (event for _, event in store.events(run.id))).exported  # since it last went on
    for event in export(store.home.run(run.id), store.home, job.payload["format"], name=named(store, run)):
        if isinstance(event, Exported) and known.get(event.format) != event:
            store.append(run.id, event)
        last = event
        yield event
    return last.model_dump(exclude={"type"}) if isinstance(last, Exported) else None


@TASKS.add("import_project", torch=True, short=False)
def import_project(job: Job, store: Store) -> Work:
    """Make a run of an exported zip, and a dataset of its photos where it holds any."""
    from transfer_core.jobs.projects import import_project

    found = yield from import_project(job, store, _source(job, store))
    if upload := job.payload.get("upload"):
        with suppress(NotFound):
            remove(store.home, "uploads", _upload(store.home, upload).name)
    return found


@TASKS.add("measure", torch=True, stays=True, short=False)
def measure(job: Job, store: Store) -> Work:
    """Measure how many images a second models process on this machine. It gives way to what waits for its lane, and keeps what it
    has."""
    from transfer_core.training.speed import measure

    with closing(measure(job.payload["models"], store.home)) as work:
        for event in work:
            yield event
            if event.done != event.total and is_waited_for(job, store):
                return None
    return {}


@TASKS.add("describe_weights", torch=True, stays=True, short=True)
def describe_weights(job: Job, store: Store) -> Work:
    """Look into a weight file someone brought, without running anything in it.

    With `upload` and `model` the file is kept for recipes when it fits that model; the result then holds its `sha256`.
    """
    from transfer_core.training.own_weights import take_in
    from transfer_core.training.weight_files import inspect_weights

    yield Progressed(stage="reading_weights", done=0)
    if upload := job.payload.get("upload"):
        return take_in(_upload(store.home, upload), job.payload["model"], store.home)
    return asdict(inspect_weights(store.home.weights / Path(job.payload["file"]).name))


def _source(job: Job, store: Store) -> Path:
    if upload := job.payload.get("upload"):
        return _upload(store.home, upload)
    path = Path(job.payload["path"]).expanduser()
    if not path.exists():
        raise NotFound("no_path", path=str(path))
    return path


def _upload(home: Home, upload: str) -> Path:
    """The folder of an upload. Its id comes from a page, so it is checked before it becomes part of a path."""
    if not re.fullmatch(r"[0-9a-f]{32}", upload) or not (home.uploads / upload).is_dir():
        raise NotFound("no_upload")
    return home.uploads / upload
