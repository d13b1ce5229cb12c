"""Run one claimed job: consume its generator of events, store them, say the worker lives, honour a wish to stop."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Generator
from contextlib import suppress
from typing import Any, Literal

from transfer_core import logs
from transfer_core.depot import looking
from transfer_core.depot.jobs import Keeper
from transfer_core.errors import StudioError, Unavailable, says_disk_full
from transfer_core.events import Event, Failed, Note, Stopped
from transfer_core.jobs.apart import PARTS
from transfer_core.jobs.tasks import TASKS, GaveWay, StopAsked
from transfer_core.people.quotas import check_room
from transfer_core.settings import settings
from transfer_core.store import Job, Store
from transfer_core.store.queue import IO, is_short
from transfer_core.words import Message, has, message

log = logging.getLogger(__name__)
FLUSH = 0.25
"""Seconds an event waits for others to be stored with: one transaction instead of many, and still live to the eye."""
BEAT = 2.0
"""Seconds between two heartbeats. A wish to stop is noticed with them."""

PATIENCE = 600.0
"""Seconds a worker waits for a database that is locked or away, and for room on a full disk to store its last words: an hour's
training is not given up for a restart."""
CAME_BACK = "jobs.came_back"
"""What a job's note says that was stopped because it came from a backup."""
AGAIN = 1.0
"""Seconds between two tries to store them."""
MEASURED = 10.0
"""Minutes for what comes before and after a training: storing, measuring, exporting."""


def run_job(store: Store, job: Job, interrupted: threading.Event | None = None,
            watch: Callable[[Event], None] | None = None, ready: Callable[[], object] | None = None) -> str:
    """Run a job this process has claimed, to its end; returns its state then.

    Never raises for what goes wrong inside the job: that becomes a `Failed` event and the state `failed`.
    `interrupted`: set when the process is asked to go (SIGTERM); what a checkpoint holds can be resumed.
    `watch` is called with every event as it happens. `ready` is waited for before the work begins, heartbeats already going.
    """
    store.wait_longer(PATIENCE)
    reporter = Reporter(store, job, watch)
    keeper = Keeper(store, job, reporter.add, lambda: not reporter.lost, PATIENCE)
    reporter.start()
    try:
        if ready is not None:
            ready()
        state, result = _consume(store, job, reporter, interrupted or threading.Event(), keeper)
        keeper.end(patient=interrupted is None or not interrupted.is_set())
    finally:
        keeper.leave()
        reporter.stop()
    ended = state == "queued" or insist(lambda: store.end(job.id, state, result, os.getpid()))
    if state == "queued":  # everything it reported is stored by now: whoever takes it next must find it
        insist(lambda: store.give_way(job.id, os.getpid()))
    if reporter.lost or not ended:
        log.warning("%s went on elsewhere; this worker lets go of it", job.id)
        return "lost"
    return state


def _consume(store: Store, job: Job, reporter: Reporter, interrupted: threading.Event,
             keeper: Keeper) -> tuple[str, dict[str, Any] | None]:
    # The work is closed on every way out, so that its own clean-up runs here and not when memory is collected.
    work: Generator[Event, None, dict[str, Any] | None] | None = None
    try:
        check_room(store)
        keeper.begin()
        work = TASKS[job.kind](job, store)
        event = next(work)
        while True:
            reporter.add(event)
            keeper.see(event)
            if interrupted.is_set() or reporter.lost:
                work.close()
                reporter.add(failure(Unavailable("worker_interrupted"), store, job))
                return "failed", None
            if reporter.asked and not reporter.passed_on:
                reporter.passed_on = True
                event = work.throw(StopAsked(reporter.asked))
            else:
                event = next(work)
    except StopIteration as end:
        return ("stopped" if reporter.passed_on else "finished"), end.value
    except GaveWay:
        return "queued", None
    except StopAsked:
        reporter.add(Stopped(kept=False))
        return "stopped", {}  # {} and not None: a result of an earlier part of the run is gone too
    except Exception as error:  # noqa: BLE001 — whatever it is, a person is told and the worker ends in order
        # People are told where it is, not what it says.
        with suppress(OSError):  # of a full disk, say
            logs.note_down(store.home.job(job.id) / "log.txt", error, **logs.ids(job))
        reporter.add(failure(error, store, job))
        return "failed", None
    except BaseException:
        reporter.add(failure(Unavailable("worker_interrupted"), store, job))
        reporter.flush()
        store.end(job.id, "failed", worker=os.getpid())
        raise
    finally:
        if work is not None:
            work.close()


def insist(write: Callable[[], Any]) -> Any:
    """Store what must not be lost: while the disk is full or the database locked, somebody may yet make room."""
    end = time.monotonic() + PATIENCE
    while True:
        try:
            return write()
        except (Unavailable, OSError):
            if time.monotonic() > end:
                raise
            time.sleep(AGAIN)


def failure(error: Exception, store: Store, job: Job) -> Failed:
    """What a person is told of an error: what happened, what to do, and whether the job can be resumed."""
    if says_disk_full(error):
        error = Unavailable("disk_full", folder=store.home.told(store.home.shared))
    if not isinstance(error, StudioError):
        error = StudioError("unexpected", kind=type(error).__name__, log=store.home.told(store.home.job(job.id) / "log.txt"))
    hint = f"errors.{error.code}.hint"
    values = {name: value if isinstance(value, str | int | float | bool | None) else str(value)
              for name, value in error.values.items()}
    return Failed(message=message(f"errors.{error.code}.text", **values),
                  hint=Message(key=hint, values=values) if has(hint) else None,
                  resumable=resumable(store, job) or (job.kind == "train" and isinstance(error, Unavailable)))


def came_back(store: Store, job: Job) -> bool:
    """Whether it ran or waited when a backup was made, was stopped when that came back, and nobody has gone on with it since."""
    if job.state != "stopped":
        return False
    told = [event for _, event in store.events(job.id, kinds=("note", "started", "stopped", "failed"))]
    return bool(told) and isinstance(told[-1], Note) and told[-1].message.key == CAME_BACK


def resumable(store: Store, job: Job) -> bool:
    """Whether a checkpoint is there to go on from, or none is needed. What was thrown away has an empty result.

    A training that something from outside ended before its first checkpoint begins again: its settings are all that it had.
    """
    if job.kind == "train" and job.is_average:
        return job.result is None
    if job.kind in ("sweep", *PARTS) or (job.kind == "train" and _has_checkpoint(store, job)):
        return True
    if job.kind != "train" or job.state != "failed":
        return job.kind == "train" and came_back(store, job)
    failures = store.events(job.id, kinds=("failed",))
    return not failures or failures[-1][1].resumable  # none: whoever was to say so died, too


def _has_checkpoint(store: Store, job: Job) -> bool:
    """Where an object store that would know it is away: a training that begins anew loses less than one that cannot go on."""
    try:
        return looking.has(store.home, job, "last.pt")
    except Unavailable:
        return True


Wish = Literal["keep", "discard"]


class Reporter:
    """Stores a job's events in small batches and its heartbeat, from a thread of its own.

    A step of the work may take minutes; what was reported before it must not wait for its end.
    """

    def __init__(self, store: Store, job: Job, watch: Callable[[Event], None] | None = None) -> None:
        self.asked: Wish | None = None
        self.passed_on = False
        self.lost = False
        self._store, self._job, self._pid, self._watch = store, job, os.getpid(), watch
        self._waiting: list[Event] = []
        self._until = _deadline(store, job)
        self._lock, self._storing = threading.Lock(), threading.Lock()
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._live, name=f"reporter {job.id}", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Store what is left. Raises when that fails: an end nobody can read about is worse than a crash."""
        self._done.set()
        self._thread.join()
        if not self.lost:
            insist(self.flush)

    def add(self, event: Event) -> None:
        with self._lock:
            self._waiting.append(event)
        if self._watch is not None:
            self._watch(event)

    def flush(self) -> None:
        with self._storing:  # a lock of its own: the work goes on while the database is locked or away for minutes
            with self._lock:
                batch, self._waiting = self._waiting, []
            try:
                if batch and not self.lost:
                    self._store.append(self._job.id, *batch)
            except BaseException:
                with self._lock:
                    self._waiting = batch + self._waiting
                raise

    def _live(self) -> None:
        beaten, told = 0.0, ""
        while not self._done.wait(FLUSH):
            try:
                self.flush()
                if time.monotonic() - beaten >= BEAT:
                    beaten = time.monotonic()
                    self._beat()
                told = ""
            except Exception as error:
                # A full disk or a locked database may pass; the events wait, and silence is noticed by others.
                if told != str(error):  # said once: four times a second would fill the disk it complains about
                    log.exception("%s could not report", self._job.id)
                told = str(error)

    def _beat(self) -> None:
        asked = self._store.beat(self._job.id, self._pid)
        if asked == "lost":
            self.lost = True
        elif asked in ("keep", "discard"):
            self.asked = asked
        elif time.monotonic() > self._until and self.asked is None:
            self.add(Note(level="warning", message=message("jobs.time_is_up", minutes=f"{settings().quota_minutes:g}")))
            self.asked = "keep"


def _deadline(store: Store, job: Job) -> float:
    """When a person's job has had the time one may take (`quota_minutes`). A training knows its end by its settings, and cools
    down before it; this is for one whose settings know of no end (a sweep's that goes on, say), or that cannot keep to it."""
    most = settings().quota_minutes
    if store.person is None or most is None or job.device == IO or is_short(job.kind):
        return float("inf")
    return time.monotonic() + 60 * (2 * most + MEASURED if job.kind == "train" else most)
