"""The trainings that a sweep or a cross-validation is made of, as jobs of their own: on a cluster they run at the same time.

Each is a job of kind "part" in the lane of the one it belongs to, with everything a job has: a worker, a lease, another try. The
one they belong to gathers what they find, and works at one of them itself in the place it has; so all of them end, however
little room there is.
"""

from __future__ import annotations

import json
import logging
import os
import threading
import time
from collections.abc import Callable, Generator, Iterable, Sequence
from typing import Any

from transfer_core.errors import StudioError, Unavailable
from transfer_core.events import Event, Failed, Progressed
from transfer_core.store import ENDED, Job, Store

log = logging.getLogger(__name__)
LOOK = 0.5
"""Seconds between two looks at the parts."""
EVERY = 1.0
"""Seconds between two signs of life; a wish to stop is heard at each."""
LEAVING = 60.0
"""Seconds a part that was told to stop may take to end."""
Part = dict[str, Any]


def spreads(job: Job, store: Store) -> bool:
    """Whether its trainings run as jobs of their own: where several have room, or some of them do already. A measurement that
    nobody asked for by itself takes one place only."""
    from transfer_core.jobs.tasks import came_along

    return (store.room(job.device) > 1 and not came_along(job)) or bool(parts_of(store, job.id))


def parts_of(store: Store, job_id: str, *states: str) -> list[Job]:
    """Oldest first."""
    return [child for child in reversed(store.jobs("part", *states)) if child.payload["of"] == job_id]


def spread(job: Job, store: Store, parts: Sequence[Part], stage: str, place: tuple[int, int],
           told: Callable[[Part, Job], Iterable[Event]]) -> Generator[Event, None, None]:
    """Have all `parts` trained; `told` is asked for events as each has ended, in whatever order. `place`: how many trainings went
    before, of how many. An interrupted one finds its parts again.

    Raises what ended a part. Asked to stop, its parts stop, too, and nothing of theirs is left to wait for.
    """
    known = {_key(child.payload["part"]): child for child in parts_of(store, job.id)}
    missing: dict[str, Part] = {}
    for part in parts:
        child = known.get(_key(part))
        if child is None:
            name = {"name": job.payload["name"]} if job.payload.get("name") else {}
            child = store.submit("part", {"of": job.id, "part": part, **name}, job.device)
        elif child.state in ("stopped", "failed"):
            store.requeue(child.id)
        missing[child.id] = part
    own, done, spoken = Own(job, store), place[0], float("-inf")
    try:
        while missing:
            for child in parts_of(store, job.id, *ENDED):
                if child.id in missing:
                    if child.state != "finished":
                        _again(store, child)
                        continue
                    yield from told(missing.pop(child.id), child)
                    store.delete_job(child.id)
                    done += 1
            own.take(parts_of(store, job.id, "queued"))
            if time.monotonic() - spoken > EVERY:
                spoken = time.monotonic()
                yield Progressed(stage=stage, done=100 * done, total=100 * place[1])
            time.sleep(LOOK if missing else 0)
    except GeneratorExit:  # this process is to go, or another went on with the job: its parts may go on
        own.leave()
        raise
    except BaseException:
        dismiss(store, job.id)
        own.leave()
        _wait(store, job.id)
        clear(store, job.id)
        raise


class Own:
    """The part that this process works at, in the place of the job it belongs to."""

    def __init__(self, job: Job, store: Store) -> None:
        self._job, self._store, self._interrupted = job, store, threading.Event()
        self._thread: threading.Thread | None = None

    def take(self, queued: Sequence[Job]) -> None:
        """The first of these, where there is none at work; those behind it are not to be had before it."""
        if not queued or (self._thread is not None and self._thread.is_alive()):
            return
        if self._store.claim(queued[0].id, os.getpid(), within=self._job.id):
            self._thread = threading.Thread(target=self._work, args=(queued[0].id,), name=queued[0].id, daemon=True)
            self._thread.start()

    def _work(self, part: str) -> None:
        from transfer_core.jobs.run import run_job

        try:
            run_job(self._store, self._store.job(part), self._interrupted)
        except BaseException:  # in a process of its own it would have died of this, and somebody would have noticed
            log.exception("%s broke off", part)
            self._store.end(part, "failed", worker=os.getpid())

    def leave(self) -> None:
        self._interrupted.set()
        if self._thread is not None:
            self._thread.join()


def dismiss(store: Store, job_id: str) -> None:
    """Tell the parts of a job to stop; what they have is not wanted."""
    for child in parts_of(store, job_id, "queued", "running"):
        store.ask_stop(child.id, "discard" if child.state == "running" else "keep")


def clear(store: Store, job_id: str) -> None:
    """Take the parts of a job that has all it wants of them off the lists."""
    for child in parts_of(store, job_id, *ENDED):
        store.delete_job(child.id)


def _wait(store: Store, job_id: str) -> None:
    """Until none runs: what they write must not come after it was thrown away."""
    end = time.monotonic() + LEAVING
    while parts_of(store, job_id, "running") and time.monotonic() < end:
        time.sleep(LOOK)


def _key(part: Part) -> str:
    return json.dumps(part, sort_keys=True)


def _again(store: Store, child: Job) -> None:
    """Put back a part whose process was asked to go, or that somebody stopped by itself. What else ended one is raised, as an
    error of the job it belongs to."""
    found = [event for _, event in store.events(child.id, kinds=("failed",)) if isinstance(event, Failed)]
    code = found[-1].message.key.removeprefix("errors.").removesuffix(".text") if found else "worker_died"
    if child.state == "failed" and code != "worker_interrupted":
        raise StudioError(code, **found[-1].message.values) if found else Unavailable(code)
    store.requeue(child.id)
