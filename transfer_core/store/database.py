"""The connections of a process to the database, and what is asked of it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import TypeVar

import sqlalchemy as sa
from sqlalchemy import Connection

from transfer_core.errors import Unavailable, says_disk_full
from transfer_core.paths import Home
from transfer_core.settings import settings
from transfer_core.store.connecting import (
    LOCK_WAIT,
    Away,
    away,
    check_encoding,
    lock,
    open_engine,
    parse,
    refused,
    shown,
    sqlite_url,
)
from transfer_core.store.demos import Demos
from transfer_core.store.history import History
from transfer_core.store.jobs import Jobs
from transfer_core.store.migrations import migrate
from transfer_core.store.schema import jobs
from transfer_core.store.versions import Datasets
from transfer_core.store.watching import Watching

T = TypeVar("T")
PATIENCE = 15.0
"""Seconds a server that was there may be away before a page is told so. A restart takes two."""
_PAUSE = 0.2
_READ_ONLY = "25006"
"""What a server answers that is about to take over from another one, and does not write yet."""


class Store(Datasets, Jobs, History, Demos, Watching):  # and with `Jobs`, `People`
    """Datasets, versions, jobs, events and demos, of one person (see `scope`). SQLite (WAL) in the data home, or what
    `TRANSFER_STUDIO_DATABASE_URL` names.

    SQLite: the connection stays open, since opening one per event costs 18 ms, an open one 0.1 ms. Threads of one process share
    it behind a lock; every write is one `BEGIN IMMEDIATE` transaction.
    PostgreSQL: a few connections; each thread has its own while it asks. A server that goes away is waited for, `patience` s.

    Raises `Unavailable` for an address that cannot be used, a server that does not answer, a database newer than the program.
    """

    def __init__(self, home: Home | None = None, url: str | None = None, patience: float = PATIENCE) -> None:
        self.home = home or Home.default()
        self.url = url = url or settings().database_url or sqlite_url(self.home.database)
        self._address = parse(url)
        self._shared = self._address.get_backend_name() != "sqlite"
        self._patience = patience
        self._reached = False
        self._lock: AbstractContextManager[object] = nullcontext() if self._shared else threading.RLock()
        self._lock_wait = LOCK_WAIT
        self._engine = open_engine(self._address, lambda: self._lock_wait)
        with self._write() as connection:
            check_encoding(connection, self._address)
            lock(connection, "migrations")
            migrate(connection)

    @contextmanager
    def _write(self) -> Iterator[Connection]:
        with self._lock, self._in_words(), self._connect() as connection, connection.begin():
            yield connection

    def wait_longer(self, seconds: float) -> None:
        """Wait so long for another program that writes, instead of half a minute. A worker has nothing better to do."""
        self._lock_wait = seconds
        if self._shared:
            self._engine.dispose()  # those in use go on as they are; new ones wait longer
            return
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
        with self._lock, self._in_words(), self._connect(isolation_level="AUTOCOMMIT") as connection:
            yield connection

    @contextmanager
    def _connect(self, **options: str) -> Iterator[Connection]:
        try:
            with self._open().execution_options(**options) as connection:
                yield connection
        except sa.exc.DBAPIError as error:
            if self._shared and (error.connection_invalidated or getattr(error.orig, "sqlstate", "") == _READ_ONLY):
                raise away(self._address, error) from error
            raise

    def _open(self) -> Connection:
        """A connection that answers. Nothing was asked of it yet, so waiting for one never does anything twice."""
        until = time.monotonic() + self._patience
        while True:
            try:
                connection = self._engine.connect()
            except (sa.exc.OperationalError, sa.exc.InterfaceError) as error:
                if not self._shared:
                    raise
                if not self._reached or time.monotonic() > until:
                    raise away(self._address, error) from error
                time.sleep(_PAUSE)
            except sa.exc.TimeoutError:  # as many threads as may ask at once, and none had its answer for half a minute
                raise Away("database_away", address=shown(self._address), reason="all connections are taken") from None
            else:
                self._reached = True
                return connection

    def _until_done(self, work: Callable[[], T]) -> T:
        """For work that may be done twice without harm: again, as long as the server breaks off in the middle of it."""
        until = time.monotonic() + self._patience
        while True:
            try:
                return work()
            except Away:
                if time.monotonic() > until:
                    raise
                time.sleep(_PAUSE)

    @contextmanager
    def _in_words(self) -> Iterator[None]:
        try:
            yield
        except sa.exc.OperationalError as error:
            if self._shared:
                if told := refused(self._address, error):
                    raise told from error
                raise
            if says_disk_full(error):
                raise Unavailable("disk_full", folder=self.home.told(self.home.shared)) from error
            if "locked" in str(error.orig):
                raise Unavailable("database_busy", file=self.home.told(Path(self._address.database or ""))) from error
            raise

    def close(self) -> None:
        self._engine.dispose()
