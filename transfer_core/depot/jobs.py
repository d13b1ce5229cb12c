"""What a worker does around its job: fetch what it needs, push at every checkpoint and at the end, say when that has to wait."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress

from transfer_core.depot import is_on, things
from transfer_core.depot.folders import Folder, Kept
from transfer_core.depot.listing import all_but_checkpoint, everything
from transfer_core.depot.marks import pinned
from transfer_core.depot.place import patience, wait_longer
from transfer_core.errors import NotFound
from transfer_core.events import Event, Note, Progressed
from transfer_core.paths import Home
from transfer_core.store import Job, Store
from transfer_core.words import message

log = logging.getLogger(__name__)
CHECKPOINTS = frozenset(("epoch", "swept", "folded", "sampled"))
"""Events that say something is whole now, and would be lost with the machine."""
PAUSE = 5.0
"""Seconds from the end of one push to the next checkpoint that is pushed: short epochs make one each second."""
_MEASURES = ("crossvalidate", "learning_curve")


class Keeper:
    """Of one job. Without a store it does nothing. `say` tells events, `is_mine` whether the job is still this worker's."""

    def __init__(self, store: Store, job: Job, say: Callable[[Event], object], is_mine: Callable[[], bool],
                 patience: float) -> None:
        self._store, self._job, self._say, self._is_mine, self._patience = store, job, say, is_mine, patience
        self._held = ExitStack()
        self._thread: threading.Thread | None = None
        self._calm = float("-inf")
        self._on = is_on()

    def begin(self) -> None:
        """Fetch what the job needs. Raises `Unavailable` when the store stays away, but not for what is nowhere."""
        if not self._on:
            return
        wait_longer(self._patience)
        for name in _own(self._store, self._job):
            self._held.enter_context(Folder(self._store.home, name).at_work())
        self._held.enter_context(fetched(
            self._store, self._job, lambda done, total: self._say(Progressed(stage="fetching", done=done, total=total))))

    def see(self, event: Event) -> None:
        """Push in the background when this is a checkpoint and the one before has arrived."""
        if not self._on or event.type not in CHECKPOINTS or time.monotonic() < self._calm:
            return
        if self._thread is not None and self._thread.is_alive():
            return
        kept = [(folder, folder.keep()) for folder in self._made() if folder.path.is_dir()]  # before the work goes on
        self._thread = threading.Thread(target=self._push_quietly, args=(kept,), name=f"push {self._job.id}", daemon=True)
        self._thread.start()

    def end(self, patient: bool = True) -> None:
        """Push what the job made, before anybody is told that it has ended. What cannot be pushed now is pushed later."""
        if not self._on:
            return
        try:
            if self._thread is not None:
                self._thread.join()
            if self._is_mine():
                with patience(self._patience if patient else 0):
                    for folder in self._made():
                        folder.push(still=self._holds)
        except Exception as error:  # noqa: BLE001 — a full disk, say: what was trained must not be lost for it
            log.warning("what %s made is not in the store yet: %s", self._job.id, error)
            self._say(Note(level="warning", message=message("jobs.not_pushed")))
        finally:
            self._held.close()

    def leave(self) -> None:
        self._held.close()

    def _push_quietly(self, kept: list[tuple[Folder, Kept]]) -> None:
        try:
            with patience(0):
                for folder, now in kept:
                    folder.push(still=self._holds, kept=now)
        except Exception as error:  # noqa: BLE001 — the training goes on; the next checkpoint tries again
            log.warning("a checkpoint of %s is not in the store yet: %s", self._job.id, error)
        self._calm = time.monotonic() + PAUSE

    def _holds(self) -> bool:
        """Whether the job is this worker's, by its row: a process that slept does not know yet who went on with it, or that it
        was deleted."""
        try:
            now = self._store.everyone().job(self._job.id)
        except NotFound:
            return False
        return self._is_mine() and now.state == "running" and now.worker == self._job.worker

    def _made(self) -> list[Folder]:
        return [Folder(self._store.home, name) for name in made(self._store, self._job)]


def _own(store: Store, job: Job) -> Iterator[str]:
    """Folders that the job goes on with."""
    if job.kind in ("train", "guess"):
        yield f"runs/{job.id}"
    elif job.kind in _MEASURES:
        yield f"jobs/{job.id}"
    elif job.kind == "export":
        yield f"runs/{job.payload['run']}"


def made(store: Store, job: Job) -> list[str]:
    """Folders that the job writes to, as far as is known by now."""
    found = list(_own(store, job))
    if job.kind in ("sweep", "part", "import_project"):
        name = {"sweep": "sweep", "part": "part", "import_project": "project"}[job.kind]
        found += [f"runs/{run.id}" for run in store.jobs("train") if run.payload.get(name) == job.id]
    if job.kind == "part" and not found:
        whole = store.job(job.payload["of"])
        if whole.kind == "crossvalidate":
            from transfer_core.jobs.crossvalidating import Turn

            found.append(f"jobs/{whole.id}/{Turn(**job.payload['part']).name}")
    if job.kind in ("explain", "map"):
        found.append(f"jobs/{job.id}")
    if run := job.payload.get("run"):
        found.append(f"runs/{run}")
    return list(dict.fromkeys(found))


@contextmanager
def working_in(store: Store, run: Job) -> Iterator[None]:
    """Around a command's own work in a run's folder: it is there with its photos, and what was made is pushed."""
    if not is_on():
        yield
        return
    folder = Folder(store.home, f"runs/{run.id}")
    with fetched(store, run), folder.at_work(all_but_checkpoint):
        yield
        folder.push(still=lambda: is_wanted(store, folder))


def is_wanted(store: Store, folder: Folder) -> bool:
    """Whether the database knows whose folder it is, shown or hidden: what was deleted for good must not come back from a machine
    where it still lies. For folders of runs, jobs and demos; an upload belongs to whoever is there."""
    kind, name = folder.name.split("/")[:2]
    everyone, home = store.everyone(), folder.home
    if home.studio is not None and (found := everyone.of(home.root.name).known()) is not None and found.leaving is not None:
        return False
    try:
        if kind == "demos":
            return everyone.demo(name).id == name
        if kind in ("runs", "jobs"):
            return everyone.job(name).result != {}
    except NotFound:
        return kind != "demos" and name in everyone.deleted_jobs(float("inf"))
    return home.studio is None or everyone.of(home.root.name).known() is not None


@contextmanager
def fetched(store: Store, job: Job, told: Callable[[int, int], object] = lambda done, total: None) -> Iterator[None]:
    """All that the job reads is here and stays inside the block: runs, datasets with their photos, uploads, weights."""
    with ExitStack() as pins:
        def pin(*names: str) -> None:  # before any of it is looked for
            pins.enter_context(pinned(store.home, names))

        _fetch(store, job, pin, told)
        yield


def _fetch(store: Store, job: Job, pin: Callable[..., None], told: Callable[[int, int], object]) -> None:
    payload, home = job.payload, store.home
    recipes = [payload["recipe"]] if isinstance(payload.get("recipe"), dict) else []
    runs = [payload.get("run"), (payload.get("mixture") or {}).get("run"), *(payload.get("soup") or {}).get("runs", ())]
    if whole := payload.get("of"):
        with suppress(NotFound):
            recipes.append(store.job(whole).payload["recipe"])
    runs += [recipe.get("start_from") for recipe in recipes if recipe.get("weights") == "run"]
    for run in dict.fromkeys(filter(None, runs)):
        pin(f"runs/{run}")
        Folder(home, f"runs/{run}").bring(all_but_checkpoint)
        with suppress(NotFound, KeyError):
            recipes.append(store.job(run).payload["recipe"])
    uploads = [payload.get("upload"), *(photo.get("upload") for photo in payload.get("photos", ()) if isinstance(photo, dict))]
    for upload in dict.fromkeys(filter(None, uploads)):
        Folder(home, f"uploads/{upload}").bring(everything)
    for weights in [recipe.get("weights_file") for recipe in recipes] + [payload.get("file")]:
        if weights:
            pin(f"weights/{weights}")
            things.bring_weights(home, str(weights))
    versions = [(payload.get("dataset"), payload.get("version"))]
    for recipe in recipes:
        versions += [(recipe.get("dataset"), recipe.get("version")), (recipe.get("source_dataset"), recipe.get("source_version"))]
    wanted = [photo["sha256"] for photo in payload.get("photos", ()) if isinstance(photo, dict) and photo.get("sha256")]
    for dataset, version in dict.fromkeys(versions):
        if dataset and version:
            wanted += _photos(home, dataset, version)
    pin(*(f"images/{sha256[:2]}/{sha256}" for sha256 in dict.fromkeys(wanted)))
    things.bring_images(home, wanted, job.kind == "check", told)


def _photos(home: Home, dataset: str, version: int) -> list[str]:
    from transfer_core.datasets.manifest import Manifest

    if not things.bring_sealed(home, home.manifest(dataset, version), fresh=0):
        return []  # its job says so
    return [image.sha256 for image in Manifest.read(home, dataset, version).images]
