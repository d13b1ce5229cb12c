"""What whoever runs the server wants to know of the database: whether it answers, how fast, and what it counts."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from transfer_core.store.schema import jobs

OPERATIONS = ("SELECT", "INSERT", "UPDATE", "DELETE", "BEGIN")


@dataclass(frozen=True)
class Waiting:
    """The queue of one device."""

    device: str
    jobs: int
    oldest: float
    """When the one that waits longest was submitted, seconds since 1970."""


class Watching:
    """The part of the store that is watched. (Mixed into `Store`.)"""

    def ping(self) -> None:
        """Raises what the database raises when it does not answer."""
        with self._read() as connection:
            connection.execute(sa.text("SELECT 1")).all()

    def waiting(self) -> list[Waiting]:
        """The queues in which anything waits."""
        query = (sa.select(jobs.c.device, sa.func.count(), sa.func.min(jobs.c.created))
                 .where(jobs.c.state == "queued", jobs.c.deleted.is_(None)).group_by(jobs.c.device).order_by(jobs.c.device))
        with self._read() as connection:
            return [Waiting(*row) for row in connection.execute(query)]

    def state_counts(self) -> dict[str, int]:
        """State → jobs, deleted ones too. From an index: 1 ms for 10,000 jobs."""
        query = sa.select(jobs.c.state, sa.func.count()).group_by(jobs.c.state)
        with self._read() as connection:
            return {row[0]: row[1] for row in connection.execute(query)}

    def job_counts(self, *states: str) -> dict[tuple[str, str], int]:
        """(kind, state) → jobs there ever were, deleted ones too, so that what has ended does not become less.

        It reads the rows of these states (100 ms for 10,000): ask for those that `state_counts` says have changed.
        """
        query = (sa.select(jobs.c.kind, jobs.c.state, sa.func.count()).where(jobs.c.state.in_(states))
                 .group_by(jobs.c.kind, jobs.c.state))
        with self._read() as connection:
            return {(kind, state): count for kind, state, count in connection.execute(query)}

    def observe(self, told: Callable[[str, float], None]) -> None:
        """Have `told` called after every statement with its operation (one of `OPERATIONS`, or "other") and its seconds.

        With SQLite a BEGIN takes as long as the writer waits for others.
        """
        def before(connection: Any, *_: object) -> None:
            connection.info["began"] = time.perf_counter()

        def after(connection: Any, _cursor: object, statement: str, *_: object) -> None:
            word = statement.split(None, 1)[0].upper() if statement.strip() else ""
            told(word if word in OPERATIONS else "other", time.perf_counter() - connection.info.pop("began", time.perf_counter()))

        sa.event.listen(self._engine, "before_cursor_execute", before)
        sa.event.listen(self._engine, "after_cursor_execute", after)
