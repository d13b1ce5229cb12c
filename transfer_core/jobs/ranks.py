"""One training in several places: its helpers are jobs of kind "part" in the same queue, each with a lease and a turn.

On a cluster they go wherever it has room; on one machine with several graphics cards, to the other cards. The training begins
with those who come soon, and whoever comes later joins at the next epoch (see `training.ranks`).
"""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Generator
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from transfer_core import depot
from transfer_core.errors import NotFound
from transfer_core.events import Event, Note
from transfer_core.jobs.devices import devices_here
from transfer_core.jobs.spreading import clear, parts_of
from transfer_core.recipe import Recipe
from transfer_core.settings import settings
from transfer_core.store import Job, Store
from transfer_core.words import message

if TYPE_CHECKING:
    from transfer_core.training.ranks.crew import Crew

QUEUED = 30.0
"""Seconds a helper may wait for a place until the training begins without it."""
PREPARING = 900.0
"""Seconds it may then take until it is ready."""
ENDING = 20.0
"""Seconds helpers may take to end, once they were told."""


def crew(job: Job, store: Store) -> Generator[Event, None, Crew | None]:
    """Who may help with a training whose payload asks for `workers`; a note where there is no room for so many. None: nobody."""
    asked, others = job.payload.get("workers", 1), _others(store, job.device)
    for left in parts_of(store, job.id, "queued", "running"):  # of a process of this job that died
        store.ask_stop(left.id, "keep")
    clear(store, job.id)
    if asked > 1 and _apart():
        yield Note(level="warning", message=message("fit.no_shared_folder"))
    elif asked > 1 + len(others):
        yield Note(level="warning", message=message("fit.fewer_places", asked=asked, count=1 + len(others)))
    if min(asked - 1, len(others)) < 1:
        return None
    from transfer_core.training.ranks.crew import Crew

    held = _Held(job, store, others)
    return Crew(held.folder, address(), min(asked - 1, len(others)), held.hire, held.coming, held.release)


def places(store: Store, device: str) -> int:
    """Among how many a training for this device can be shared."""
    return 1 + len(_others(store, device))


def _others(store: Store, device: str) -> list[str]:
    """The devices of the places beside that of such a training. On a cluster all are called the same."""
    if _apart():
        return []
    if settings().ray_address:
        return [device] * max(0, store.room(device) - 1)
    return [other for other in devices_here() if other != device and other.startswith("cuda") and device.startswith("cuda")]


def _apart() -> bool:
    """Whether nodes have no folder in common, in which they would meet."""
    return bool(settings().ray_address) and depot.is_on()


class _Held:
    def __init__(self, job: Job, store: Store, devices: list[str]) -> None:
        self._job, self._store, self._devices = job, store, devices
        self.folder = store.home.job(job.id) / f"ranks-{job.worker.rpartition(':')[2]}-{time.time_ns()}"
        self._hired = 0.0

    def hire(self, count: int) -> None:
        self._hired = time.monotonic()
        name = {"name": self._job.payload["name"]} if self._job.payload.get("name") else {}
        for number, device in enumerate(self._devices[:count], 1):
            part = {"rank": number, "folder": self.folder.name, "of": self._job.worker}
            self._store.submit("part", {"of": self._job.id, "part": part, **name}, device)

    def coming(self) -> int:
        waited = time.monotonic() - self._hired
        states = [part.state for part in parts_of(self._store, self._job.id)]
        return (states.count("queued") if waited < QUEUED else 0) + (states.count("running") if waited < PREPARING else 0)

    def release(self) -> None:
        """They end by themselves when they hear of it, but for those that have not begun."""
        for part in parts_of(self._store, self._job.id, "queued"):
            self._store.ask_stop(part.id, "keep")


def let_go(job: Job, store: Store) -> None:
    """Of all helpers of a training that needs none any more, and of what they left; unless another process goes on with it."""
    if job.payload.get("workers", 1) < 2 or store.job(job.id).worker != job.worker:
        return
    end = time.monotonic() + ENDING
    while parts_of(store, job.id, "running") and time.monotonic() < end:
        time.sleep(0.2)
    for part in parts_of(store, job.id):  # hidden, and told to stop where one still runs
        store.delete_job(part.id)
    for folder in store.home.job(job.id).glob("ranks-*"):
        shutil.rmtree(folder, ignore_errors=True)


def help_with(job: Job, whole: Job, store: Store) -> Generator[Event, None, dict[str, Any]]:
    """The work of a helper, until its training needs it no more."""
    from transfer_core.datasets.manifest import Manifest
    from transfer_core.training.ranks import helping

    told, recipe = job.payload["part"], Recipe(**whole.payload["recipe"])

    def wanted() -> bool:
        with suppress(NotFound):
            now = store.job(whole.id)
            return now.state == "running" and now.worker == told["of"]
        return False

    if wanted():
        yield from helping.help_with(
            recipe, Manifest.read(store.home, recipe.dataset, recipe.version), store.home, store.home.run(whole.id),
            store.home.job(whole.id) / told["folder"], address(), wanted, device=job.device,
            cache=whole.payload.get("cache", True), compiled=whole.payload.get("compiled", False))
    return {}


def address() -> str:
    """Where processes on other machines of the cluster reach this one; without a cluster nobody has to."""
    ray = sys.modules.get("ray")
    if ray is None or not ray.is_initialized():
        return "127.0.0.1"
    here = ray.get_runtime_context().get_node_id()
    return next(node["NodeManagerAddress"] for node in ray.nodes() if node["NodeID"] == here)
