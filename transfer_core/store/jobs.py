"""Jobs. A run is a job of kind "train"."""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from transfer_core import depot
from transfer_core.cluster.state import room
from transfer_core.errors import NotFound
from transfer_core.store import queue
from transfer_core.store.connecting import lock, persistent
from transfer_core.store.leases import lease
from transfer_core.store.people import People
from transfer_core.store.queue import IO
from transfer_core.store.schema import jobs

ENDED = ("finished", "stopped", "failed")
SILENT_AFTER = 30.0
"""Seconds without a heartbeat after which a running job's worker is taken for dead."""


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
    worker: str | None = None
    """Who holds it, or held it last (see `leases`)."""
    owner: str | None = None
    """Whose it is; None: the one person of a studio without accounts."""

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


class Jobs(People):
    """The part of the store that knows jobs. (Mixed into `Store`.)

    What finds jobs finds those of this store's person. What goes on with a job that was found takes its id.
    """

    def submit(self, kind: str, payload: dict[str, Any], device: str = IO) -> Job:
        """Put a job of this store's person in its device's queue, behind that person's other ones. Raises what `admit` and
        `check_trial` raise."""
        self.check_trial(kind, payload)
        self.touch()
        payload = self.limited(kind, payload)
        if depot.is_on():
            from transfer_core.depot.folders import before_submitting

            before_submitting(self.home, payload)
        job_id = f"{kind}-{secrets.token_hex(5)}"
        with self._write() as connection:
            self.admit(connection, kind, device, payload.get("request"))
            connection.execute(sa.insert(jobs).values(
                id=job_id, kind=kind, state="queued", device=device, payload=payload, created=time.time(), owner=self.person))
        return self.job(job_id)

    def enter(self, kind: str, payload: dict[str, Any], device: str) -> str:
        """Enter a job that another one does as part of its own: no worker is wanted for it. It counts as stopped, and can be
        put back into the queue like any such job. Returns its id."""
        job_id, now = f"{kind}-{secrets.token_hex(5)}", time.time()
        with self._write() as connection:
            connection.execute(sa.insert(jobs).values(
                id=job_id, kind=kind, state="stopped", device=device, payload=payload, created=now, started=now, ended=now,
                owner=self.person))
        return job_id

    @persistent
    def job(self, job_id: str) -> Job:
        with self._read() as connection:
            row = connection.execute(sa.select(*_COLUMNS).where(
                jobs.c.id == job_id, jobs.c.deleted.is_(None), self.mine(jobs))).first()
        if row is None:
            raise NotFound("no_run", name=job_id)
        return _job(row)

    @persistent
    def jobs(self, kind: str | None = None, *states: str, limit: int | None = None, offset: int = 0) -> list[Job]:
        """Jobs, newest first; of one kind, in some states if asked."""
        query = (sa.select(*_COLUMNS).where(jobs.c.deleted.is_(None), self.mine(jobs)).order_by(jobs.c.created.desc())
                 .limit(limit).offset(offset or None))
        if kind:
            query = query.where(jobs.c.kind == kind)
        if states:
            query = query.where(jobs.c.state.in_(states))
        with self._read() as connection:
            return [_job(row) for row in connection.execute(query)]

    @persistent
    def runs(self, limit: int | None = None, offset: int = 0, measured: bool = False) -> list[Job]:
        """Trainings as a person counts them, newest first: no points of sweeps (`Job.is_part`). `measured`: with a result."""
        query = (sa.select(*_COLUMNS).where(self.mine(jobs), *_a_run(measured)).order_by(jobs.c.created.desc())
                 .limit(limit).offset(offset or None))
        with self._read() as connection:
            return [_job(row) for row in connection.execute(query)]

    @persistent
    def run_count(self) -> int:
        with self._read() as connection:
            return connection.scalar(sa.select(sa.func.count()).select_from(jobs).where(self.mine(jobs), *_a_run()))

    def ahead(self, job: Job) -> int:
        """How many jobs stand before this one in its lane of its device."""
        if job.state != "queued" or job.device == IO:
            return 0
        live = self.everyone().jobs(None, "queued", "running")  # all wait in one line
        return queue.ahead(len(queue.before(job, live, self.turns(live))), self.room(job.device))

    def startable(self, live: list[Job]) -> list[Job]:
        """The next job of every lane that is free, of these that are queued or run."""
        return queue.startable(live, self.turns(live), self.room)

    def room(self, device: str) -> int:
        """How many jobs of one lane of a device may run at once: one, or on a cluster as many as it has room for."""
        return room(self.home, device)

    @persistent
    def turns(self, live: list[Job]) -> queue.Turns:
        """What `queue` has to know of jobs that have ended: nothing, where one owner alone waits."""
        if not _contested(live):
            return {}
        with self._read() as connection:
            return _turns(connection, live)

    @persistent
    def claim(self, job_id: str, worker: int | str, within: str | None = None) -> bool:
        """Make a queued job mine. False when it is not queued, or its lane is full, or others are next.

        `worker`, here and below: a lease, or the number of a process of this machine. `within`: a running job of that worker, in
        whose place this one is worked at, as a part of it. One transaction, and one at a time for every device: two workers that
        ask at once cannot both get it. Who asks twice, because the answer to the first time was lost, is told True twice.
        """
        holder = lease(worker)
        with self._write() as connection:
            device = connection.scalar(sa.select(jobs.c.device).where(jobs.c.id == job_id))
            if device is None:
                return False
            if device != IO:
                lock(connection, f"device {device}")
            row = connection.execute(sa.select(*_COLUMNS).where(jobs.c.id == job_id).with_for_update()).one()
            if row.state == "running" and row.worker == holder:
                return True
            if row.state != "queued" or row.stop == "discard":
                return False
            if device != IO:
                # Those of all devices: were it asked for one, SQLite would look at all jobs that ever ended on it.
                live = [_job(each) for each in connection.execute(sa.select(*_COLUMNS).where(
                    jobs.c.state.in_(("queued", "running")), jobs.c.deleted.is_(None), jobs.c.id != (within or "")))]
                if len(queue.before(_job(row), live, _turns(connection, live))) >= self.room(device):
                    return False
            now = time.time()
            connection.execute(sa.update(jobs).where(jobs.c.id == job_id).values(
                state="running", started=row.started or now, ended=None, worker=holder, pid=int(holder.split(":")[1]),
                heartbeat=now, stop=None))
        return True

    @persistent
    def beat(self, job_id: str, worker: int | str | None = None) -> str | None:
        """Say the worker lives; returns what is asked of it: None, "keep", "discard", or "lost".

        "lost": the job is no longer this worker's. The machine slept, say, and another went on with it.
        """
        with self._write() as connection:
            row = connection.execute(sa.select(jobs.c.stop, jobs.c.worker, jobs.c.state).where(jobs.c.id == job_id)
                                     .with_for_update()).first()
            if worker is not None and (row is None or row.state != "running" or row.worker != lease(worker)):
                return "lost"
            connection.execute(sa.update(jobs).where(jobs.c.id == job_id).values(heartbeat=time.time()))
        return row.stop if row else None

    def take_from(self, silent: Job, state: str) -> bool:
        """Take a running job from a worker that died. False when it spoke up meanwhile, or someone else was faster."""
        ended = None if state == "queued" else time.time()
        with self._write() as connection:
            changed = connection.execute(
                sa.update(jobs).where(jobs.c.id == silent.id, jobs.c.state == "running", jobs.c.worker == silent.worker,
                                      jobs.c.heartbeat == silent.heartbeat, jobs.c.stop == silent.stop)
                .values(state=state, ended=ended, pid=None, worker=None, heartbeat=None))
        return changed.rowcount == 1

    @persistent
    def ask_stop(self, job_id: str, how: str = "keep") -> None:
        """Ask a job to stop: "keep" makes a model of the best weights so far, "discard" throws the run away.

        A queued job stops at once. Only one that has run before and is to be discarded stays queued until the supervisor has
        it: there are files to remove. (Nobody can claim it meanwhile.)
        """
        it, files = self._it(job_id), jobs.c.started.is_not(None) if how == "discard" else sa.false()
        with self._write() as connection:
            connection.execute(sa.select(jobs.c.id).where(it).with_for_update())  # nobody claims it in between
            connection.execute(sa.update(jobs).where(it, jobs.c.state == "running").values(stop=how))
            connection.execute(sa.update(jobs).where(it, jobs.c.state == "queued", files).values(stop=how))
            connection.execute(sa.update(jobs).where(it, jobs.c.state == "queued", sa.not_(files)).values(
                state="stopped", stop=how, ended=time.time()))

    def drop_queued(self, job_id: str) -> bool:
        """Stop a queued job that is to be discarded, without a result. False when it is none, or someone else was faster."""
        with self._write() as connection:
            changed = connection.execute(
                sa.update(jobs).where(jobs.c.id == job_id, jobs.c.state == "queued", jobs.c.stop == "discard")
                .values(state="stopped", ended=time.time(), result={}))
        return changed.rowcount == 1

    @persistent
    def end(self, job_id: str, state: str, result: dict[str, Any] | None = None, worker: int | str | None = None) -> bool:
        """End a job. With `worker`, only if it is that worker's: False when another has gone on with it."""
        is_it = jobs.c.id == job_id
        values = {"state": state, "ended": time.time()} | ({} if result is None else {"result": result})
        mine = sa.true() if worker is None else sa.and_(jobs.c.state == "running", jobs.c.worker == lease(worker))
        with self._write() as connection:
            if connection.execute(sa.update(jobs).where(is_it, mine).values(**values)).rowcount:
                return True
            # Told twice, because the answer to the first time was lost.
            same = sa.and_(is_it, jobs.c.state == state, jobs.c.worker == (worker and lease(worker)))
            return connection.scalar(sa.select(jobs.c.id).where(same)) is not None

    @persistent
    def requeue(self, job_id: str) -> None:
        """Put a stopped or failed job back in its queue, to go on from its last checkpoint. Raises `Busy` as `submit` does."""
        self.touch()
        with self._write() as connection:
            it = connection.execute(sa.select(jobs.c.kind, jobs.c.device, jobs.c.state).where(self._it(job_id))).first()
            if it is None or it.state not in ("stopped", "failed"):
                return
            self.admit(connection, it.kind, it.device)
            connection.execute(sa.update(jobs).where(self._it(job_id), jobs.c.state.in_(("stopped", "failed"))).values(
                state="queued", ended=None, pid=None, worker=None, heartbeat=None, stop=None))

    @persistent
    def give_way(self, job_id: str, worker: int | str) -> None:
        """Put a running job of this worker back, behind all that wait."""
        mine = sa.and_(jobs.c.id == job_id, jobs.c.state == "running", jobs.c.worker == lease(worker))
        with self._write() as connection:
            connection.execute(sa.update(jobs).where(mine).values(
                state="queued", created=time.time(), ended=None, pid=None, worker=None, heartbeat=None))

    @persistent
    def delete_job(self, job_id: str, undo: bool = False) -> None:
        """Hide a job (or show it again). One that runs is stopped: nobody could see any more that it does. One that waits waits
        on when it is shown again; where people have quotas it does not, since another one may have its place by then."""
        it = self._it(job_id)
        with self._write() as connection:
            if not undo:
                connection.execute(sa.update(jobs).where(it, jobs.c.state == "running").values(stop="discard"))
                connection.execute(sa.update(jobs).where(
                    it, jobs.c.state == "queued", jobs.c.owner.is_not(None)).values(
                        state="stopped", stop="discard", ended=time.time()))
            connection.execute(sa.update(jobs).where(it).values(deleted=None if undo else time.time()))

    def _it(self, job_id: str) -> sa.ColumnElement[bool]:
        return sa.and_(jobs.c.id == job_id, self.mine(jobs))


def _a_run(measured: bool = False) -> list[sa.ColumnElement[bool]]:
    """What makes a row one of `runs`: decided where the rows are, since a thousand runs take the page's time for ten."""
    words = sa.type_coerce(jobs.c.result, sa.Text)
    none = sa.or_(words.is_(None), words.in_(("null", "{}")) if measured else words == "null")
    # A quote inside a name is escaped in JSON, so these signs can only be a key.
    part = sa.and_(jobs.c.state == "stopped", sa.or_(words.is_(None), words == "null"),
                   sa.type_coerce(jobs.c.payload, sa.Text).like('%"sweep":%'))
    return [jobs.c.kind == "train", jobs.c.deleted.is_(None), sa.not_(none) if measured else sa.not_(part)]


def _contested(live: list[Job]) -> dict[queue.Line, float]:
    """Lines in which several owners wait → when the oldest job there came."""
    return {line: waiting[0].created for line, waiting in queue.waiting(live).items() if len({job.owner for job in waiting}) > 1}


def _turns(connection: sa.Connection, live: list[Job]) -> queue.Turns:
    since = _contested(live)
    if not since:
        return {}
    query = (sa.select(jobs.c.device, jobs.c.kind, jobs.c.owner, sa.func.max(jobs.c.ended).label("ended"))
             .where(jobs.c.device.in_({line.lane.device for line in since}), jobs.c.ended >= min(since.values()),
                    jobs.c.started.is_not(None))
             .group_by(jobs.c.device, jobs.c.kind, jobs.c.owner))
    turns: dict[tuple[queue.Line, str | None], float] = {}
    for row in connection.execute(query):
        line = queue.line_of(row.device, row.kind)
        if row.ended >= since.get(line, float("inf")):
            turns[line, row.owner] = max(row.ended, turns.get((line, row.owner), 0.0))
    return turns
