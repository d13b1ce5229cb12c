"""One connection to the database per process, and what is asked of it."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import sqlalchemy as sa
from sqlalchemy import Connection

from transfer_core.errors import Unavailable, says_disk_full
from transfer_core.paths import Home
from transfer_core.store.demos import Demos
from transfer_core.store.jobs import Jobs
from transfer_core.store.schema import jobs, migrate
from transfer_core.store.versions import Datasets

PATIENCE = 30.0
"""Seconds to wait for another program that writes to the same database."""


class Store(Datasets, Jobs, Demos):
    """Datasets, versions, jobs, events and demos. SQLite (WAL) in the data home, or what `TRANSFER_STUDIO_DATABASE_URL` names.

    The connection stays open: opening one per event costs 18 ms, an open one 0.1 ms. Threads of one process share it
    behind a lock; every write is one `BEGIN IMMEDIATE` transaction.
    """

    def __init__(self, home: Home | None = None, url: str | None = None) -> None:
        self.home = home or Home.default()
        self.url = url = url or os.environ.get("TRANSFER_STUDIO_DATABASE_URL") or f"sqlite:///{self.home.database}"
        self._lock = threading.RLock()
        sqlite = url.startswith("sqlite")
        self._engine = sa.create_engine(
            url,
            poolclass=sa.StaticPool if sqlite else None,
            connect_args={"check_same_thread": False, "timeout": PATIENCE} if sqlite else {},
        )
        if sqlite:
            sa.event.listen(self._engine, "connect", _prepare_sqlite)
            sa.event.listen(self._engine, "begin", _begin)
        with self._write() as connection:
            migrate(connection)

    @contextmanager
    def _write(self) -> Iterator[Connection]:
        with self._lock, _in_words(self.home), self._engine.begin() as connection:
            yield connection

    def wait_longer(self, seconds: float) -> None:
        """Wait so long for another program that writes, instead of `PATIENCE`. A worker has nothing better to do."""
        if self.url.startswith("sqlite"):
            with self._read() as connection:
                connection.exec_driver_sql(f"PRAGMA busy_timeout={int(1000 * seconds)}")

    def can_be_written(self, job_id: str) -> bool:
        """Whether others could have written lately. A job is not silent while nobody can say anything."""
        began = time.monotonic()
        try:
            with self._write() as connection:
                connection.execute(sa.update(jobs).where(jobs.c.id == job_id).values(heartbeat=jobs.c.heartbeat))
        except Unavailable:
            return False
        return time.monotonic() - began < 1

    @contextmanager
    def _read(self) -> Iterator[Connection]:
        # Autocommit: a reader must not take the write lock that "begin" asks for.
        with self._lock, self._engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            yield connection

    def close(self) -> None:
        self._engine.dispose()


@contextmanager
def _in_words(home: Home) -> Iterator[None]:
    try:
        yield
    except sa.exc.OperationalError as error:
        if says_disk_full(error):
            raise Unavailable("disk_full", folder=str(home.root)) from error
        if "locked" in str(error.orig):
            raise Unavailable("database_busy", file=str(home.database)) from error
        raise


def _begin(connection: Connection) -> None:
    # SQLAlchemy announces a "begin" in autocommit, too; a reader that took the write lock would wait for every writer.
    if connection.get_execution_options().get("isolation_level") != "AUTOCOMMIT":
        connection.exec_driver_sql("BEGIN IMMEDIATE")


def _prepare_sqlite(connection: object, _record: object) -> None:
    connection.isolation_level = None  # SQLAlchemy's "begin" says BEGIN IMMEDIATE, the driver says nothing
    cursor = connection.cursor()
    for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "foreign_keys=ON", f"busy_timeout={int(1000 * PATIENCE)}"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()
