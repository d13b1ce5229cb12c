"""Starts workers for queued jobs and notices dead ones. A thread of the web process, or of a waiting command.

Any number of supervisors may look at one database: which worker gets a job is decided by `Store.claim` alone.
"""

from __future__ import annotations

import contextlib
import logging
import os
import subprocess
import sys
import threading
import time
from collections import Counter
from dataclasses import dataclass

from transfer_core import logs
from transfer_core.cluster.hands import Handed, Hands
from transfer_core.depot import is_on
from transfer_core.depot.tidying import catch_up
from transfer_core.errors import Unavailable
from transfer_core.events import Epoch, Folded, Note, Sampled, Swept
from transfer_core.jobs.discard import discard, discard_queued
from transfer_core.jobs.run import failure
from transfer_core.jobs.tasks import TASKS
from transfer_core.paths import Home
from transfer_core.people import quotas
from transfer_core.settings import settings, with_settings
from transfer_core.store import Job, Store
from transfer_core.store.jobs import SILENT_AFTER
from transfer_core.store.leases import held_by, is_here
from transfer_core.store.queue import IO, in_order, is_short
from transfer_core.words import message

log = logging.getLogger(__name__)
EVERY = 0.25
"""Seconds between two looks at the queue; one look is one short query."""
IO_WORKERS = 2
"""Imports at once: each takes a core and some 200 MB."""
ATTEMPTS = 3
"""Workers that may die before they claim their job; then the job has failed."""
WARM_MEMORY = 3_000_000_000
"""Free memory below which no idle worker is kept: it holds 0.5 GB that a training may need."""
SHORT_MEMORY = 2_000_000_000
"""Free memory below which no short job starts beside a long one: an instant model takes 1.3 GB at most, and some must be left."""
CATCH_UP = 60.0
"""Seconds between two looks at what is still to be pushed to an object store."""
MAKE_ROOM = 900.0
"""Seconds between two looks at how much copies of what lies there take on this machine."""
CALM = 20.0
"""Seconds after a job was handed out before the next warm worker is prepared: its imports would slow that job's start."""


class Supervisor:
    def __init__(self, store: Store, warm: bool | None = None) -> None:
        self._store = store.everyone()
        self.cluster = Hands(self._store) if settings().ray_address else None
        self._warm_wanted = self.cluster is None and (settings().warm if warm is None else warm)
        self._warm: subprocess.Popen[bytes] | None = None
        self._workers: dict[str, Worker] = {}
        self._suspects: dict[str, tuple[float | None, float]] = {}
        self._handed_out = self._caught_up = self._made_room = float("-inf")
        self._pushing: threading.Thread | None = None
        self.count = 0
        """Jobs handed out; one whose worker died before it began counts again."""
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._supervise, name="supervisor", daemon=True)

    def start(self) -> None:
        self._thread.start()

    @property
    def alive(self) -> bool:
        return self._thread.is_alive()

    def stop(self) -> None:
        """End the thread and the idle worker. Workers of running jobs live on."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()
        if self.cluster is not None:
            self.cluster.stop()
        for worker in self._workers.values():
            worker.dismiss()
        if self._warm is not None:
            self._warm.stdin.close()  # it reads the end of its input and leaves
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._warm.wait(0.5)
            if self._warm.poll() is None:
                self._warm.terminate()
                self._warm.wait()

    def _supervise(self) -> None:
        told = ""
        while not self._stopping.wait(EVERY):
            try:
                self.look()
                told = ""
            except Exception as error:  # a locked database passes; the loop must not end
                if told != str(error):
                    log.exception("the supervisor stumbled")
                told = str(error)
                self._suspects.clear()  # while we hear nobody, nobody is silent

    def look(self) -> None:
        """One round: collect ended workers, start what may start, look after silent jobs, keep one worker warm."""
        live = [job for job in self._store.jobs(None, "queued", "running") if not discard_queued(self._store.of(job.owner), job)]
        if self.cluster is not None:
            self.cluster.look()
        self._collect({job.id: job for job in live})
        for job in self._startable(live):
            self._hand_out(job)
        self._look_after_silent([job for job in live if job.state == "running"])
        self._keep_warm()
        self._catch_up()

    def _catch_up(self) -> None:
        """What has to wait for an object store that was away, or for a machine that was: pushed from a thread of its own. Now and
        then it makes room on this one, too."""
        if not is_on() or time.monotonic() - self._caught_up < CATCH_UP or (self._pushing and self._pushing.is_alive()):
            return
        self._caught_up = time.monotonic()
        homes = [self._store.home, *self._store.home.people()]
        self._pushing = threading.Thread(target=self._catch_up_with, args=(homes,), name="catch up", daemon=True)
        self._pushing.start()

    def _catch_up_with(self, homes: list[Home]) -> None:
        catch_up(self._store, homes)
        if time.monotonic() - self._made_room < MAKE_ROOM:
            return
        self._made_room = time.monotonic()
        from transfer_core.depot.room import make_room

        try:
            if make_room(self._store.home).freed:
                quotas.recount()
        except Exception:  # a full disk, a store that is away: soon it may be otherwise
            log.exception("could not make room on this machine")

    # Queue

    def _startable(self, live: list[Job]) -> list[Job]:
        """The next job of every free lane, and imports up to `IO_WORKERS`; none that has its worker already."""
        if self.cluster is not None and not self.cluster.ready:
            return []
        chosen = [job for job in self._store.startable(live) if job.id not in self._workers and not self._is_too_much(job, live)]
        imports = [job for job in live if job.device == IO and (job.state == "running" or job.id in self._workers)]
        waiting = sorted((job for job in live if job.device == IO and job.state == "queued" and job.id not in self._workers),
                         key=lambda job: job.created)
        turns = in_order(waiting, {}, [job.owner for job in imports])
        most = IO_WORKERS if self.cluster is None else IO_WORKERS * self.cluster.machines
        chosen += _one_place_left(turns, imports, most)[:max(0, most - len(imports))]
        return sorted(chosen, key=lambda job: job.created)

    @staticmethod
    def _is_too_much(job: Job, live: list[Job]) -> bool:
        """Whether a short job must wait for the end of a long one on this machine, because both together would need more memory
        than there is."""
        long = (other for other in live if other.state == "running" and other.device != IO and not is_short(other.kind))
        return is_short(job.kind) and any(is_here(other.worker) for other in long) and free_memory() < SHORT_MEMORY

    def _hand_out(self, job: Job, attempt: int = 1) -> None:
        self.count += 1
        if self.cluster is not None:
            self._workers[job.id] = Worker(self.cluster.give(job), attempt)
            return
        facts = TASKS[job.kind].facts if job.kind in TASKS else {}
        warm, stays = None, self._warm_wanted and facts.get("stays", False)
        if facts.get("torch"):
            warm = self._take_warm() or (_start("--warm", self._store) if stays else None)
        if warm is not None and _name(job.id, warm):
            worker = Worker(warm, attempt, stays=True)
            if not stays:
                worker.dismiss()
        else:
            worker = Worker(_start(job.id, self._store), attempt)
        self._workers[job.id] = worker
        self._handed_out = time.monotonic()

    def _collect(self, live: dict[str, Job]) -> None:
        for job_id, worker in list(self._workers.items()):
            job = live.get(job_id)
            if (code := worker.process.poll()) is None:
                if job is None and worker.stays:
                    self._keep(job_id, worker)
                continue
            del self._workers[job_id]
            if job is None:
                continue
            for each in live.values():
                if each.state == "running" and worker.holds(each):  # its job, or a part of that which it worked at itself
                    self._bury(self._store.job(each.id), code)
            if job.state == "queued" and code not in (0, 3):
                with logs.about(**logs.ids(job)):
                    log.warning("a worker died with %s before it claimed %s", code, job_id)
                if self.cluster is not None:
                    self.cluster.did_not_start()
                elif worker.attempt < ATTEMPTS:
                    self._hand_out(job, worker.attempt + 1)
                elif self._store.claim(job_id, os.getpid()):
                    self._store.append(job_id, failure(Unavailable("worker_did_not_start"), self._store.of(job.owner), job))
                    self._store.end(job_id, "failed")

    # Workers that died

    def _look_after_silent(self, running: list[Job]) -> None:
        """A job is dead when its heartbeat stood still for `SILENT_AFTER` seconds of *our* waking time.

        Wall clocks jump when a laptop sleeps, and then every worker looks silent for a moment. Nor is it dead while the database
        is locked or its disk full: nobody can say anything then.
        """
        now = time.monotonic()
        self._suspects = {job.id: self._suspects.get(job.id, (job.heartbeat, now)) for job in running}
        for job in running:
            heartbeat, since = self._suspects[job.id]
            silent = now - since
            if heartbeat != job.heartbeat or (silent > SILENT_AFTER / 2 and not self._store.can_be_written(job.id)):
                self._suspects[job.id] = (job.heartbeat, time.monotonic())
            elif silent > SILENT_AFTER:
                self._bury(job, None)

    def _bury(self, job: Job, code: int | None) -> None:
        """Give a dead worker's job back to the queue once; when it dies again without any progress, it has failed.

        One that was to stop is not tried again: what was to be discarded is, what was to be kept can be resumed.
        """
        if job.state != "running":
            return
        again = job.stop is None and self._may_go_on(job)
        if not self._store.take_from(job, "queued" if again else "stopped" if job.stop == "discard" else "failed"):
            return
        with logs.about(**logs.ids(job)):
            log.warning("the worker of %s died (%s)", job.id, "silent" if code is None else code)
        if again:
            self._store.append(job.id, Note(level="warning", message=message("jobs.went_on")))
        elif job.stop == "discard":
            self._store.end(job.id, "stopped", {})
            discard(self._store.of(job.owner), job)
        else:
            cause = "worker_killed" if code in (-9, 137) else "worker_died"
            self._store.append(job.id, failure(Unavailable(cause), self._store.of(job.owner), job))

    def _may_go_on(self, job: Job) -> bool:
        """Not twice at the same place: a photo that crashes the decoder, or a model too big for the memory, would again."""
        for _, event in reversed(self._store.events(job.id, kinds=("note", "epoch", "swept", "folded", "sampled"))):
            if isinstance(event, Epoch | Swept | Folded | Sampled):
                return True
            if event.message.key == "jobs.went_on":
                return False
        return True

    # The warm worker

    def _take_warm(self) -> subprocess.Popen[bytes] | None:
        process, self._warm = self._warm, None
        return process if process is not None and process.poll() is None else None

    def _keep(self, job_id: str, worker: Worker) -> None:
        """A worker whose short job has ended is warm: the next job need not wait for its imports."""
        if self._warm is None and free_memory() > WARM_MEMORY:
            self._warm = self._workers.pop(job_id).process
        else:
            worker.dismiss()

    def _keep_warm(self) -> None:
        if self._warm is not None and self._warm.poll() is not None:
            self._warm_wanted = False  # it died on its own: torch does not import, or memory is short
            self._warm = None
        calm = time.monotonic() - self._handed_out > CALM
        if self._warm_wanted and self._warm is None and calm and free_memory() > WARM_MEMORY:
            self._warm = _start("--warm", self._store)


@dataclass
class Worker:
    process: subprocess.Popen[bytes] | Handed
    attempt: int
    stays: bool = False
    """Whether it waits for another job when this one has ended."""

    def holds(self, job: Job) -> bool:
        if isinstance(self.process, Handed):
            return self.process.holds(job.worker)
        return held_by(job.worker, self.process.pid)

    def dismiss(self) -> None:
        """Let it go when its job has ended."""
        if self.stays:
            self.stays = False
            with contextlib.suppress(OSError):
                self.process.stdin.close()


def _name(job_id: str, process: subprocess.Popen[bytes]) -> bool:
    """Tell a waiting worker its job. False when it is no more."""
    try:
        process.stdin.write(f"{job_id}\n".encode())
        process.stdin.flush()
    except OSError:
        return False
    return True


def _one_place_left(waiting: list[Job], running: list[Job], most: int = IO_WORKERS) -> list[Job]:
    """Of the imports that wait, those that leave a place to others: one person's own never take them all."""
    counts, found = Counter(job.owner for job in running), []
    for job in waiting:
        if job.owner is None or counts[job.owner] < most - 1:
            counts[job.owner] += 1
            found.append(job)
    return found


def _start(argument: str, store: Store) -> subprocess.Popen[bytes]:
    """A worker in a session of its own: neither Ctrl-C in the terminal nor the end of the server reaches it."""
    return subprocess.Popen(  # noqa: S603
        [sys.executable, "-m", "transfer_core.jobs.worker", argument], start_new_session=True,
        env=with_settings(home=str(store.home.shared), database_url=store.url),
        stdin=subprocess.PIPE if argument == "--warm" else subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=None)


def free_memory() -> int:
    """Bytes that can be had without swapping; a large number where the system does not say."""
    try:
        with open("/proc/meminfo", encoding="ascii") as lines:  # noqa: PTH123
            return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable"))
    except (OSError, StopIteration):
        return 1 << 62
