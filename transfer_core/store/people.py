"""The people of a studio for many: since when they are there, when they last made something, and who is about to leave."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from transfer_core.errors import BadInput, Busy
from transfer_core.settings import settings
from transfer_core.store.connecting import lock, persistent
from transfer_core.store.queue import IO, LAST, is_short
from transfer_core.store.schema import datasets, demos, events, jobs, people, versions
from transfer_core.store.scope import Scope

EVERY = 60.0
"""Seconds within which two signs of life are one."""
_BROUGHT = ("understand", "import_project", "describe_weights")
"""Kinds of jobs that begin with what somebody brought along."""
PART = "part"
"""Kind of a job that another one has put into the queue, a training of a sweep, say: a turn of that person's, and no place."""
MOST_SHORT = 20
"""Short jobs, imports and what pages ask for by themselves, that one person may have waiting or running."""
SETTLE = 2000
"""Milliseconds to wait for readers of an earlier state: pages of this process wait behind it."""
GONE = 60.0
"""Seconds without a heartbeat after which a job that was deleted while it ran is over: nobody looks after it any more."""


@dataclass(frozen=True)
class Person:
    id: str
    name: str | None
    """None, as `email`: somebody who has not signed in."""
    email: str | None
    created: float
    active: float
    """When this person last made something, or asked that all be kept. Seconds since 1970."""
    leaving: float | None
    """Since when all that is theirs is to be deleted."""


def _check_trial(kind: str, payload: dict[str, Any]) -> None:
    if kind in _BROUGHT or (kind == "import" and not payload.get("example")):
        raise BadInput("trial_photos")
    model = (payload.get("recipe") or {}).get("model")
    if model is not None:
        from transfer_core.catalog import suggested  # reads the index of all models

        if model not in (advised := [each.model.name for each in suggested()]):
            raise BadInput("trial_model", model=model, known=", ".join(advised))


class People(Scope):
    """The part of the store that knows people. (Mixed into `Store`.)"""

    @persistent
    def people(self) -> list[Person]:
        """All, who was active last first."""
        with self._read() as connection:
            return [Person(**row._mapping) for row in connection.execute(sa.select(people).order_by(people.c.active.desc()))]

    @persistent
    def known(self) -> Person | None:
        """Whose store this is; None for somebody who has made nothing yet."""
        with self._read() as connection:
            row = connection.execute(sa.select(people).where(people.c.id == self.person)).first()
        return Person(**row._mapping) if row else None

    @persistent
    def introduce(self, name: str | None, email: str | None) -> None:
        """Remember by what name somebody has signed in. That is no sign of life."""
        known = self.known()
        if self.person is None or (known is not None and (known.name, known.email) == (name, email)):
            return
        with self._write() as connection:
            self._alone(connection)
            self._enter(connection, name=name, email=email)

    @persistent
    def touch(self, every: float = EVERY) -> None:
        """Whoever's store this is has made something. Raises `Busy("leaving")` for one whose things are being deleted."""
        if self.person is None:
            return
        known, now = self.known(), time.time()
        if known is not None and known.leaving is not None:
            raise Busy("leaving")
        if known is not None and now - known.active < every:
            return
        with self._write() as connection:
            self._alone(connection)
            row = connection.execute(sa.select(people.c.leaving).where(people.c.id == self.person)).first()
            if row is not None and row.leaving is not None:
                raise Busy("leaving")
            self._enter(connection, active=now)

    def check_trial(self, kind: str, payload: dict[str, Any]) -> None:
        """In a studio for strangers to try, raises `BadInput`: `trial_photos`, `trial_model`."""
        if self.person is not None and settings().mode == "trial":
            _check_trial(kind, payload)

    def _alone(self, connection: sa.Connection) -> None:
        """Until the end of this transaction, no other one admits, introduces or deletes this person."""
        lock(connection, f"person {self.person}")

    def _enter(self, connection: sa.Connection, **values: Any) -> None:
        """Write down of this person what is new, or that there is one. Only after `_alone`: two would enter the same one."""
        if not connection.execute(sa.update(people).where(people.c.id == self.person).values(**values)).rowcount:
            now = time.time()
            connection.execute(sa.insert(people).values(**{"id": self.person, "created": now, "active": now, **values}))

    def admit(self, connection: sa.Connection, kind: str, device: str, request: object = None) -> None:
        """Whether this person may have one more job waiting, asked in the transaction that enters it: of two that are asked for
        at once, the second is counted after the first. `request`: what it came along with. Call `touch` before.

        Raises `Busy`: `too_many_runs`, `too_many_jobs`, `leaving`.
        """
        if self.person is None:
            return
        self._alone(connection)
        known = connection.execute(sa.select(people.c.leaving).where(people.c.id == self.person)).first()
        if known is None or known.leaving is not None:
            raise Busy("leaving")
        live = connection.execute(sa.select(jobs.c.id, jobs.c.kind, jobs.c.device).where(self._live)).all()
        if kind == PART or (_follows(kind, request) and any(job.id == request for job in live)):
            return  # nobody asked for it by itself
        short = _is_small(kind, device)
        most = MOST_SHORT if short else settings().quota_runs
        if most is not None and sum(_is_small(job.kind, job.device) == short and job.kind != PART for job in live) >= most:
            raise Busy("too_many_jobs" if short else "too_many_runs", limit=most)

    @property
    def _live(self) -> sa.ColumnElement[bool]:
        """A condition on jobs: this person's that wait or run, those too that were deleted while they ran."""
        lately = sa.and_(jobs.c.state == "running", jobs.c.heartbeat > time.time() - GONE)
        return sa.and_(jobs.c.owner == self.person, jobs.c.state.in_(("queued", "running")),
                       sa.or_(jobs.c.deleted.is_(None), lately))

    @persistent
    def has_live(self) -> bool:
        """Whether anything of this person's waits or runs, even what was deleted meanwhile."""
        with self._read() as connection:
            return connection.execute(sa.select(jobs.c.id).where(self._live).limit(1)).first() is not None

    def limited(self, kind: str, payload: dict[str, Any]) -> dict[str, Any]:
        """A training's payload with the time a person's run may take: it ends with the best model by then."""
        most, recipe = settings().quota_minutes, payload.get("recipe")
        if self.person is None or most is None or kind != "train" or not recipe or "mixture" in payload or "soup" in payload:
            return payload
        return {**payload, "recipe": {**recipe, "minutes": min(recipe.get("minutes") or most, most)}}

    # What was deleted

    @persistent
    def deleted_jobs(self, before: float) -> list[str]:
        query = sa.select(jobs.c.id).where(jobs.c.deleted < before, self.mine(jobs), jobs.c.state.not_in(("queued", "running")))
        with self._read() as connection:
            return list(connection.scalars(query))

    @persistent
    def deleted_datasets(self, before: float) -> list[str]:
        with self._read() as connection:
            return list(connection.scalars(sa.select(datasets.c.id).where(datasets.c.deleted < before, self.mine(datasets))))

    @persistent
    def forget_job(self, job_id: str) -> None:
        """Its row and its history. Only one that was deleted."""
        it = sa.and_(jobs.c.id == job_id, jobs.c.deleted.is_not(None), self.mine(jobs))
        with self._write() as connection:
            connection.execute(sa.delete(events).where(events.c.job.in_(sa.select(jobs.c.id).where(it))))
            connection.execute(sa.delete(jobs).where(it))

    @persistent
    def forget_dataset(self, dataset: str) -> None:
        it = sa.and_(datasets.c.id == dataset, datasets.c.deleted.is_not(None), self.mine(datasets))
        with self._write() as connection:
            connection.execute(sa.delete(versions).where(versions.c.dataset.in_(sa.select(datasets.c.id).where(it))))
            connection.execute(sa.delete(datasets).where(it))

    # Leaving

    @persistent
    def leave(self, unless_after: float | None = None) -> None:
        """From now on nothing is added to what this person has, and it may be deleted. `unless_after`: not of somebody who has
        made something, or asked that all be kept, after that moment."""
        it = sa.and_(people.c.id == self.person, people.c.leaving.is_(None))
        with self._write() as connection:
            self._alone(connection)
            connection.execute(sa.update(people).where(it if unless_after is None else it & (people.c.active <= unless_after))
                               .values(leaving=time.time()))

    @persistent
    def erase(self) -> None:
        """Delete every row of this person, the person too. SQLite overwrites what it deletes."""
        if self.person is None:
            raise ValueError("rows without an owner are nobody's to erase")
        mine, sets = sa.select(jobs.c.id).where(jobs.c.owner == self.person), sa.select(datasets.c.id).where(
            datasets.c.owner == self.person)
        with self._write() as connection:
            self._alone(connection)
            connection.execute(sa.delete(events).where(events.c.job.in_(mine)))
            connection.execute(sa.delete(jobs).where(jobs.c.owner == self.person))
            connection.execute(sa.delete(versions).where(versions.c.dataset.in_(sets)))
            connection.execute(sa.delete(datasets).where(datasets.c.owner == self.person))
            connection.execute(sa.delete(demos).where(demos.c.owner == self.person))
            connection.execute(sa.delete(people).where(people.c.id == self.person))
        self.settle()

    def settle(self) -> bool:
        """Empty SQLite's log of changes, which holds what was deleted as it was before. False while somebody else still reads an
        earlier state. (A server has its own log and its own rules.)"""
        if self._shared:
            return True
        with self._read() as connection:
            before = connection.exec_driver_sql("PRAGMA busy_timeout").scalar_one()
            connection.exec_driver_sql(f"PRAGMA busy_timeout={SETTLE}")
            try:
                return not connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)").one()[0]
            finally:
                connection.exec_driver_sql(f"PRAGMA busy_timeout={before}")


def _follows(kind: str, request: object) -> bool:
    """Whether it came along with a job that was asked for: the training with an import, the cross-validation with a training.
    (The address of a page can name any such request: see `admit`, which wants that job to be there.)"""
    return str(request or "").startswith("import-" if kind == "train" else "train-")


def _is_small(kind: str, device: str) -> bool:
    return device == IO or kind in LAST or is_short(kind)
