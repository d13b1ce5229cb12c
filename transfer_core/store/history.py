"""What jobs have reported: every event, numbered from 1."""

from __future__ import annotations

import time
from collections.abc import Iterable

import sqlalchemy as sa

from transfer_core.events import Event, from_json, to_json
from transfer_core.store.connecting import persistent
from transfer_core.store.schema import events, jobs
from transfer_core.store.scope import Scope


class History(Scope):
    """The part of the store that knows events. (Mixed into `Store`.)"""

    def append(self, job_id: str, *facts: Event) -> int:
        """Add events to a job's history; returns the number of the last one."""
        now, tried = time.time(), False
        told = [(fact.type, to_json(fact)) for fact in facts]

        def add() -> int:
            nonlocal tried
            with self._write() as connection:
                if self._shared:  # others who add to this job wait here, so that all numbers are given once
                    connection.execute(sa.select(jobs.c.id).where(jobs.c.id == job_id).with_for_update(key_share=True))
                last = connection.scalar(sa.select(sa.func.max(events.c.number)).where(events.c.job == job_id)) or 0
                if tried and _are_there(connection, job_id, now, told):
                    return last
                tried = True
                rows = [{"job": job_id, "number": number, "time": now, "type": kind, "body": body}
                        for number, (kind, body) in enumerate(told, start=last + 1)]
                if rows:
                    connection.execute(sa.insert(events), rows)
            return last + len(rows)

        return self._until_done(add)

    def events(self, job_id: str, after: int = 0, kinds: Iterable[str] = (), limit: int | None = None) -> list[tuple[int, Event]]:
        """(number, event) pairs in order, those after a number, of some types if asked."""
        return [(number, from_json(body)) for number, body in self.raw_events(job_id, after, kinds, limit)]

    @persistent
    def raw_events(self, job_id: str, after: int = 0, kinds: Iterable[str] = (),
                   limit: int | None = None) -> list[tuple[int, str]]:
        """The same, unparsed: what the event stream sends to browsers."""
        query = (sa.select(events.c.number, events.c.body).where(events.c.job == job_id, events.c.number > after,
                                                                self._seen(job_id))
                 .order_by(events.c.number).limit(limit))
        if kinds := tuple(kinds):
            query = query.where(events.c.type.in_(kinds))
        with self._read() as connection:
            return [(row.number, row.body) for row in connection.execute(query)]

    @persistent
    def curve(self, job_id: str, after: int, most: int) -> list[tuple[int, str]]:
        """`raw_events`, but of optimiser steps only every k-th, so that about `most` remain: enough to draw a curve.

        The newest event is always among them, so whoever asks again after its number misses nothing.
        """
        is_step = sa.and_(events.c.job == job_id, events.c.number > after, events.c.type == "step")
        with self._read() as connection:
            newest = connection.scalar(sa.select(sa.func.max(events.c.number)).where(events.c.job == job_id,
                                                                                     self._seen(job_id))) or 0
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

    def _seen(self, job_id: str) -> sa.ColumnElement[bool]:
        """Whether the job is this person's."""
        return sa.true() if self.is_everyones else sa.exists().where(jobs.c.id == job_id, self.mine(jobs))


def _are_there(connection: sa.Connection, job_id: str, now: float, told: list[tuple[str, str]]) -> bool:
    """Whether these events were stored although the server broke off before it said so."""
    if not told:
        return True
    stored = connection.execute(sa.select(events.c.type, events.c.body).where(events.c.job == job_id, events.c.time == now)
                                .order_by(events.c.number))
    return [tuple(row) for row in stored] == told
