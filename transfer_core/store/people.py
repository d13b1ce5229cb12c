"""The people of a studio for many: since when they are there, when they last made something, and who is about to leave."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from transfer_core.errors import BadInput, Busy
from transfer_core.settings import settings
from transfer_core.store.connecting import persistent
from transfer_core.store.queue import IO, is_short
from transfer_core.store.schema import datasets, demos, events, jobs, people, versions
from transfer_core.store.scope import Scope

EVERY = 60.0
"""Seconds within which two signs of life are one."""
_BROUGHT = ("understand", "import_project", "describe_weights")
"""Kinds of jobs that begin with what somebody brought along."""
MOST_SHORT = 20
"""Short jobs and imports that one person may have waiting or running."""


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


def _follows(kind: str, payload: dict[str, Any]) -> bool:
    """Whether it came along with a job that was asked for: the training with an import, the cross-validation with a training."""
    return str(payload.get("request", "")).startswith("import-" if kind == "train" else "train-")


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
        now, values = time.time(), {"name": name, "email": email}
        with self._write() as connection:
            if not connection.execute(sa.update(people).where(people.c.id == self.person).values(**values)).rowcount:
                connection.execute(sa.insert(people).values(id=self.person, created=now, active=now, **values))

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
            if not connection.execute(sa.update(people).where(people.c.id == self.person).values(active=now)).rowcount:
                connection.execute(sa.insert(people).values(id=self.person, created=now, active=now))

    def admit(self, kind: str, payload: dict[str, Any], device: str) -> None:
        """Whether this person may ask for one more job. What came along with another one is asked for by nobody.

        Raises `Busy`: `too_many_runs`, `too_many_jobs`, `leaving`; in a studio for strangers to try `BadInput`: `trial_photos`,
        `trial_model`.
        """
        if self.person is None:
            return
        self.touch()
        if settings().mode == "trial":
            _check_trial(kind, payload)
        if _follows(kind, payload):
            return
        short = device == IO or is_short(kind)
        live = [kind for kind, where in self._live_kinds() if (where == IO or is_short(kind)) == short]
        most = MOST_SHORT if short else settings().quota_runs
        if most is not None and len(live) >= most:
            raise Busy("too_many_jobs" if short else "too_many_runs", limit=most)

    def limited(self, kind: str, payload: dict[str, Any]) -> dict[str, Any]:
        """A training's payload with the time a person's run may take: it ends with the best model by then."""
        most, recipe = settings().quota_minutes, payload.get("recipe")
        if self.person is None or most is None or kind != "train" or not recipe or "mixture" in payload or "soup" in payload:
            return payload
        return {**payload, "recipe": {**recipe, "minutes": min(recipe.get("minutes") or most, most)}}

    def _live_kinds(self) -> list[tuple[str, str]]:
        query = sa.select(jobs.c.kind, jobs.c.device).where(
            jobs.c.state.in_(("queued", "running")), jobs.c.deleted.is_(None), jobs.c.owner == self.person)
        with self._read() as connection:
            return [(row.kind, row.device) for row in connection.execute(query)]

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
    def leave(self) -> None:
        """From now on nothing is added to what this person has, and it may be deleted."""
        with self._write() as connection:
            connection.execute(sa.update(people).where(people.c.id == self.person, people.c.leaving.is_(None))
                               .values(leaving=time.time()))

    @persistent
    def erase(self) -> None:
        """Delete every row of this person, the person too. SQLite overwrites what it deletes."""
        if self.person is None:
            raise ValueError("rows without an owner are nobody's to erase")
        mine, sets = sa.select(jobs.c.id).where(jobs.c.owner == self.person), sa.select(datasets.c.id).where(
            datasets.c.owner == self.person)
        with self._write() as connection:
            if not self._shared:
                connection.exec_driver_sql("PRAGMA secure_delete=ON")
            connection.execute(sa.delete(events).where(events.c.job.in_(mine)))
            connection.execute(sa.delete(jobs).where(jobs.c.owner == self.person))
            connection.execute(sa.delete(versions).where(versions.c.dataset.in_(sets)))
            connection.execute(sa.delete(datasets).where(datasets.c.owner == self.person))
            connection.execute(sa.delete(demos).where(demos.c.owner == self.person))
            connection.execute(sa.delete(people).where(people.c.id == self.person))
        if not self._shared:
            with self._read() as connection:  # the log of changes holds the old pages, too
                connection.exec_driver_sql("PRAGMA secure_delete=OFF")
                connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)").all()
