"""Run a job here and now, through the same queue, events and checkpoints as the pages use."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from transfer_core.cli.tell import Teller
from transfer_core.cluster.state import trouble
from transfer_core.errors import NotFound, StudioError
from transfer_core.events import Failed
from transfer_core.jobs import Supervisor, run_job
from transfer_core.jobs.worker import limit_threads
from transfer_core.settings import settings
from transfer_core.store import Job, Store
from transfer_core.words import Message, message

EVERY = 0.25


class JobFailedError(StudioError):
    """The job's own `Failed` event, as an error to leave the program with."""

    def __init__(self, failed: Failed | None) -> None:
        self._failed = failed or Failed(message=message("errors.worker_died.text"))
        super().__init__(self._failed.message.key.removeprefix("errors.").removesuffix(".text"))

    def message(self, language: str = "en") -> str:
        return self._failed.message.say(language)

    def hint(self, language: str = "en") -> str:
        return self._failed.hint.say(language) if self._failed.hint else ""

    def as_message(self) -> Message:
        return self._failed.message


def requeued(store: Store, name: str, kind: str) -> Job:
    """A job of this kind that was interrupted, put back to go on. Raises `NotFound`."""
    job = store.job(name)
    if job.kind != kind:
        raise NotFound("no_run", name=name)
    store.requeue(job.id)
    return store.job(job.id)


def run_here(store: Store, job: Job) -> Job:
    """Run a queued job in this process when its device is free, else wait for it; returns the ended job. Where jobs are handed
    to a cluster, this one is, too.

    Ctrl-C stops it and keeps the best so far; a second one leaves at once. Raises `JobFailedError`.
    """
    tell = Teller()
    with _stops(store, job, tell):
        limit_threads()
        if not settings().ray_address and store.claim(job.id, os.getpid()):
            with _helpers(store, job):
                run_job(store, store.job(job.id), watch=tell)
        else:
            _follow(store, job.id, tell)
    job = store.job(job.id)
    if job.state == "failed":
        failures = store.events(job.id, kinds=("failed",))
        raise JobFailedError(failures[-1][1] if failures else None)
    return job


@contextmanager
def _helpers(store: Store, job: Job) -> Iterator[None]:
    """Somebody starts those of a training that is shared among graphics cards, even where no studio runs."""
    if job.payload.get("workers", 1) < 2:
        yield
        return
    supervisor = Supervisor(store, warm=False)
    supervisor.start()
    try:
        yield
    finally:
        supervisor.stop()


def _follow(store: Store, job_id: str, tell: Teller) -> None:
    """Tell what a worker reports until the job has ended. The queue moves even where no web server runs."""
    supervisor = Supervisor(store, warm=False)
    supervisor.start()
    seen = len(store.raw_events(job_id))
    ahead = wrong = None
    try:
        while True:
            job = store.job(job_id)
            if job.state == "queued" and (reason := trouble(store.home, job.device)) != wrong:
                wrong = reason
                if wrong:
                    tell.say(wrong)
            if (place := store.ahead(job)) != ahead and place > 0:
                ahead = place
                tell.say(message("cli.waiting", count=ahead))
            for number, event in store.events(job_id, after=seen):
                seen = number
                tell(event)
            if not job.live:
                return
            time.sleep(EVERY)
    finally:
        supervisor.stop()


@contextmanager
def _stops(store: Store, job: Job, tell: Teller) -> Iterator[None]:
    """The first Ctrl-C asks the job to stop and keep; the second is an ordinary one."""
    before = signal.getsignal(signal.SIGINT)

    def ask(_number: int, _frame: FrameType | None) -> None:
        signal.signal(signal.SIGINT, before)
        tell.say(message("cli.stopping"))
        store.ask_stop(job.id, "keep")

    signal.signal(signal.SIGINT, ask)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
