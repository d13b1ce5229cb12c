"""Jobs and their events. A run is a job of kind "train"."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from transfer_core.errors import NotFound
from transfer_core.events import Event, from_json, to_json
from transfer_core.store.schema import events, jobs

ENDED = ("finished", "stopped", "failed")
SILENT_AFTER = 30.0
"""Seconds without a heartbeat after which a running job's worker is taken for dead."""
IO = "io"
"""The device of jobs that need none (imports): any number of them may run beside a training."""
LAST = ("guess", "measure")
"""Kinds of jobs hardly anybody asked for: whatever else waits for their device goes first."""


@dataclass(frozen=True)
class Job:
    id: str
    kind: str
    state: str
    device: str
    payload: dict[str, Any]
    result: dict[str, Any] | None
    created: float
    started: float | None
    ended: float | None
    pid: int | None
    heartbeat: float | None
    stop: str | None

    @property
    def live(self) -> bool:
        return self.state not in ENDED

    @property
    def is_part(self) -> bool:
        """Whether it is a point of a sweep that nobody has gone on with."""
        return "sweep" in self.payload and self.state == "stopped" and self.result is None

    @property
    def is_average(self) -> bool:
        """Whether its model is an average of others' and was not trained."""
        return "mixture" in self.payload or "soup" in self.payload


_COLUMNS = [column for column in jobs.c if column.name != "deleted"]


def _job(row: Any) -> Job:
    return Job(**row._mapping)


class Jobs:
    """The part of the store that knows jobs. (Mixed into `Store`.)"""

    def submit(self, kind: str, payload: dict[str, Any], device: str = IO) -> Job:
        """Put a job at the end of its device's queue."""
        job_id = f"{kind}-{secrets.token_hex(5)}"
        with self._write() as connection:
            connection.execute(sa.insert(jobs).values(
                id=job_id, kind=kind, state="queued", device=device, payload=payload, created=time.time()))
        return self.job(job_id)

    def enter(self, kind: str, payload: dict[str, Any], device: str) -> str:
        """Enter a job that another one does as part of its own: no worker is wanted for it. It counts as stopped, and can be
        put back into the queue like any such job. Returns its id."""
        job_id, now = f"{kind}-{secrets.token_hex(5)}", time.time()
        with self._write() as connection:
            connection.execute(sa.insert(jobs).values(
                id=job_id, kind=kind, state="stopped", device=device, payload=payload, created=now, started=now, ended=now))
        return job_id

    def job(self, job_id: str) -> Job:
        with self._read() as connection:
            row = connection.execute(sa.select(*_COLUMNS).where(jobs.c.id == job_id, jobs.c.deleted.is_(None))).first()
        if row is None:
            raise NotFound("no_run", name=job_id)
        return _job(row)

    def jobs(self, kind: str | None = None, *states: str) -> list[Job]:
        """Jobs, newest first; of one kind and in some states if asked."""
        query = sa.select(*_COLUMNS).where(jobs.c.deleted.is_(None)).order_by(jobs.c.created.desc())
        if kind:
            query = query.where(jobs.c.kind == kind)
        if states:
            query = query.where(jobs.c.state.in_(states))
        with self._read() as connection:
            return [_job(row) for row in connection.execute(query)]

    def ahead(self, job: Job) -> int:
        """How many jobs stand before this one on its device."""
        if job.state != "queued" or job.device == IO:
            return 0
        rivals = self.jobs(None, "queued", "running")
        return sum(1 for other in rivals if other.device == job.device and other.id != job.id
                   and (other.state == "running" or (other.kind in LAST, other.created) < (job.kind in LAST, job.created)))

    def claim(self, job_id: str, pid: int) -> bool:
        """Make a queued job mine. False when it is not queued, or its device is taken, or others wait longer.

        One write transaction: two workers that ask at once cannot both get it.
        """
        with self._write() as connection:
            row = connection.execute(sa.select(*_COLUMNS).where(jobs.c.id == job_id)).first()
            if row is None or row.state != "queued" or row.stop == "discard":
                return False
            if row.device != IO:
                longer, other_kind = jobs.c.created < row.created, jobs.c.kind.not_in(LAST)
                first = sa.or_(other_kind, longer) if row.kind in LAST else sa.and_(other_kind, longer)
                rival = sa.select(jobs.c.id).where(
                    jobs.c.device == row.device, jobs.c.id != job_id, jobs.c.deleted.is_(None),
                    sa.or_(jobs.c.state == "running", sa.and_(jobs.c.state == "queued", first)))
                if connection.execute(rival.limit(1)).first():
                    return False
            now = time.time()
            connection.execute(sa.update(jobs).where(jobs.c.id == job_id).values(
                state="running", started=row.started or now, ended=None, pid=pid, heartbeat=now, stop=None))
        return True

    def beat(self, job_id: str, pid: int | None = None) -> str | None:
        """Say the worker lives; returns what is asked of it: None, "keep", "discard", or "lost".

        "lost": the job is no longer this worker's (`pid`). The machine slept, say, and another went on with it.
        """
        with self._write() as connection:
            row = connection.execute(sa.select(jobs.c.stop, jobs.c.pid, jobs.c.state).where(jobs.c.id == job_id)).first()
            if pid is not None and (row is None or row.state != "running" or row.pid != pid):
                return "lost"
            connection.execute(sa.update(jobs).where(jobs.c.id == job_id).values(heartbeat=time.time()))
        return row.stop if row else None

    def take_from(self, silent: Job, state: str) -> bool:
        """Take a running job from a worker that died. False when it spoke up meanwhile, or someone else was faster."""
        ended = None if state == "queued" else time.time()
        with self._write() as connection:
            changed = connection.execute(
                sa.update(jobs).where(jobs.c.id == silent.id, jobs.c.state == "running", jobs.c.pid == silent.pid,
                                      jobs.c.heartbeat == silent.heartbeat, jobs.c.stop == silent.stop)
                .values(state=state, ended=ended, pid=None, heartbeat=None))
        return changed.rowcount == 1

    def ask_stop(self, job_id: str, how: str = "keep") -> None:
        """Ask a job to stop: "keep" makes a model of the best weights so far, "discard" throws the run away.

        A queued job stops at once. Only one that has run before and is to be discarded stays queued until the supervisor has
        it: there are files to remove. (Nobody can claim it meanwhile.)
        """
        files = jobs.c.started.is_not(None) if how == "discard" else sa.false()
        with self._write() as connection:
            connection.execute(sa.update(jobs).where(jobs.c.id == job_id, jobs.c.state == "running").values(stop=how))
            connection.execute(sa.update(jobs).where(jobs.c.id == job_id, jobs.c.state == "queued", files).values(stop=how))
            connection.execute(sa.update(jobs).where(jobs.c.id == job_id, jobs.c.state == "queued", sa.not_(files)).values(
                state="stopped", stop=how, ended=time.time()))

    def drop_queued(self, job_id: str) -> bool:
        """Stop a queued job that is to be discarded, without a result. False when it is none, or someone else was faster."""
        with self._write() as connection:
            changed = connection.execute(
                sa.update(jobs).where(jobs.c.id == job_id, jobs.c.state == "queued", jobs.c.stop == "discard")
                .values(state="stopped", ended=time.time(), result={}))
        return changed.rowcount == 1

    def end(self, job_id: str, state: str, result: dict[str, Any] | None = None, pid: int | None = None) -> bool:
        """End a job. With `pid`, only if it still runs and is that worker's: False when another has gone on with it."""
        mine = sa.true() if pid is None else sa.and_(jobs.c.state == "running", jobs.c.pid == pid)
        values = {"state": state, "ended": time.time()} | ({} if result is None else {"result": result})
        with self._write() as connection:
            changed = connection.execute(sa.update(jobs).where(jobs.c.id == job_id, mine).values(**values))
        return changed.rowcount == 1

    def requeue(self, job_id: str) -> None:
        """Put a stopped or failed job back in its queue, to go on from its last checkpoint."""
        with self._write() as connection:
            connection.execute(sa.update(jobs).where(jobs.c.id == job_id, jobs.c.state.in_(("stopped", "failed"))).values(
                state="queued", ended=None, pid=None, heartbeat=None, stop=None))

    def give_way(self, job_id: str, pid: int) -> None:
        """Put a running job of this worker back, behind all that wait."""
        with self._write() as connection:
            connection.execute(sa.update(jobs).where(jobs.c.id == job_id, jobs.c.state == "running", jobs.c.pid == pid).values(
                state="queued", created=time.time(), ended=None, pid=None, heartbeat=None))

    def delete_job(self, job_id: str, undo: bool = False) -> None:
        with self._write() as connection:
            connection.execute(sa.update(jobs).where(jobs.c.id == job_id).values(deleted=None if undo else time.time()))

    # Events

    def append(self, job_id: str, *facts: Event) -> int:
        """Add events to a job's history; returns the number of the last one."""
        with self._write() as connection:
            last = connection.scalar(sa.select(sa.func.max(events.c.number)).where(events.c.job == job_id)) or 0
            now = time.time()
            rows = [{"job": job_id, "number": number, "time": now, "type": fact.type, "body": to_json(fact)}
                    for number, fact in enumerate(facts, start=last + 1)]
            if rows:
                connection.execute(sa.insert(events), rows)
        return last + len(rows)

    def events(self, job_id: str, after: int = 0, kinds: Iterable[str] = (), limit: int | None = None) -> list[tuple[int, Event]]:
        """(number, event) pairs in order, those after a number, of some types if asked."""
        return [(number, from_json(body)) for number, body in self.raw_events(job_id, after, kinds, limit)]

    def raw_events(self, job_id: str, after: int = 0, kinds: Iterable[str] = (),
                   limit: int | None = None) -> list[tuple[int, str]]:
        """The same, unparsed: what the event stream sends to browsers."""
        query = (sa.select(events.c.number, events.c.body).where(events.c.job == job_id, events.c.number > after)
                 .order_by(events.c.number).limit(limit))
        if kinds := tuple(kinds):
            query = query.where(events.c.type.in_(kinds))
        with self._read() as connection:
            return [(row.number, row.body) for row in connection.execute(query)]

    def curve(self, job_id: str, after: int, most: int) -> list[tuple[int, str]]:
        """`raw_events`, but of optimiser steps only every k-th, so that about `most` remain: enough to draw a curve.

        The newest event is always among them, so whoever asks again after its number misses nothing.
        """
        is_step = sa.and_(events.c.job == job_id, events.c.number > after, events.c.type == "step")
        with self._read() as connection:
            newest = connection.scalar(sa.select(sa.func.max(events.c.number)).where(events.c.job == job_id)) or 0
            if newest <= after:
                return []
            steps = connection.scalar(sa.select(sa.func.count()).where(is_step)) or 0
            every = max(1, -(-steps // most))
            query = (sa.select(events.c.number, events.c.body)
                     .where(events.c.job == job_id, events.c.number > after, events.c.number <= newest)
                     .order_by(events.c.number))
            if every > 1:
                query = query.where(sa.or_(events.c.type != "step", events.c.number % every == 0, events.c.number == newest))
            return [(row.number, row.body) for row in connection.execute(query)]
