"""The way to the database: SQLite in the data home, or a PostgreSQL server. What goes wrong on it is said without passwords."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from hashlib import sha256
from pathlib import Path
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy import URL, Connection, Engine

from transfer_core.errors import Unavailable

T = TypeVar("T")
DRIVERS = {"sqlite": "sqlite", "postgres": "postgresql+psycopg", "postgresql": "postgresql+psycopg",
           "postgresql+psycopg": "postgresql+psycopg"}
"""What an address may begin with → what SQLAlchemy calls it. Hosting services write the short names."""
_CONNECTIONS, _MORE = 2, 8
"""Connections a process keeps open, and how many more it opens while as many threads ask at once."""
_LINE = {"connect_timeout": 10, "application_name": "transfer-studio", "keepalives_idle": 30, "keepalives_interval": 10,
         "keepalives_count": 3, "client_encoding": "utf8"}
"""How psycopg connects, where the address does not say otherwise. A server that fell silent is noticed within a minute. A
database without an encoding of its own (SQL_ASCII, which a server set up without a locale makes) would give bytes for texts."""
_ANY_TEXT = {"UTF8", "SQL_ASCII"}
"""Encodings of a database that take every name a person can give."""


LOCK_WAIT = 30.0
"""Seconds to wait for a lock that another program holds, of either database; a worker waits longer (`Store.wait_longer`)."""
_LOCKED, _FULL = "55P03", "53100"
"""What a server calls a lock that was waited for too long, and a full disk of its own."""


class Away(Unavailable):
    """The database server does not answer, or broke off. It may be back in a moment."""


def parse(address: str) -> URL:
    """Raises `Unavailable` (`database_address`) for what is no address of a database this program can use."""
    try:
        url = sa.make_url(address)
        driver = DRIVERS[url.drivername]
    except (sa.exc.ArgumentError, ValueError, KeyError):
        raise Unavailable("database_address", known="sqlite:///…, postgresql+psycopg://…") from None
    return url.set(drivername=driver)


def sqlite_url(file: Path) -> str:
    """The address of a SQLite file, as text: signs that mean something in an address (`?`, `%`, `#`) are escaped."""
    return URL.create("sqlite", database=str(file)).render_as_string(hide_password=False)


def shown(url: URL) -> str:
    """An address as people may read it: without password and options."""
    host = url.host or url.query.get("host") or "localhost"
    user = f"{url.username}@" if url.username else ""
    return f"{url.get_backend_name()}://{user}{host}{f':{url.port}' if url.port else ''}/{url.database or ''}"


def open_engine(url: URL, patience: Callable[[], float] = lambda: LOCK_WAIT) -> Engine:
    """Connects to nothing yet. Raises `Unavailable` (`database_driver`) where the driver is not installed.

    `patience`: seconds that a server's new connections wait for a lock. (SQLite's has `LOCK_WAIT`, and may be told otherwise.)
    """
    if url.get_backend_name() == "sqlite":
        engine = sa.create_engine(url, poolclass=sa.StaticPool, connect_args={"check_same_thread": False, "timeout": LOCK_WAIT})
        sa.event.listen(engine, "connect", _prepare_sqlite)
        sa.event.listen(engine, "begin", _begin)
        return engine
    try:
        engine = sa.create_engine(
            url, pool_size=_CONNECTIONS, max_overflow=_MORE, pool_pre_ping=True, pool_recycle=1800,
            connect_args={name: value for name, value in _LINE.items() if name not in url.query})
    except ImportError:
        raise Unavailable("database_driver", driver="psycopg", address=shown(url)) from None
    sa.event.listen(engine, "connect", lambda connection, _record: _wait_for_locks(connection, patience()))
    return engine


def check_encoding(connection: Connection, url: URL) -> None:
    """Raises `Unavailable` (`database_encoding`) for a database that cannot hold every name people give: at once, and not when
    somebody's class is called 猫."""
    if connection.dialect.name == "postgresql":
        encoding = connection.exec_driver_sql("SHOW server_encoding").scalar_one()
        if encoding not in _ANY_TEXT:
            raise Unavailable("database_encoding", address=shown(url), encoding=encoding)


def away(url: URL, error: sa.exc.DBAPIError) -> Away:
    """What a person is told of it: the server's own words, first line."""
    said = next(iter(str(error.orig).strip().splitlines()), type(error.orig).__name__)
    for secret in (url.password, url.query.get("password")):
        if secret:
            said = said.replace(str(secret), "…")
    return Away("database_away", address=shown(url), reason=said)


def refused(url: URL, error: sa.exc.DBAPIError) -> Unavailable | None:
    """A server that answered, and said why it does not do it now: `database_busy database_disk_full`. None: something else."""
    state = getattr(error.orig, "sqlstate", None)
    if state == _FULL:
        return Unavailable("database_disk_full", address=shown(url))
    return Unavailable("database_busy", file=shown(url)) if state == _LOCKED else None


def persistent(method: Callable[..., T]) -> Callable[..., T]:
    """Of a store's method that may be called twice without harm: it is, where the server broke off in the middle."""

    @wraps(method)
    def until_done(self: Any, *args: Any, **kwargs: Any) -> T:
        return self._until_done(lambda: method(self, *args, **kwargs))

    return until_done


def lock(connection: Connection, name: str) -> None:
    """Let one transaction at a time go on from here. SQLite does so by itself: every write begins with its one lock."""
    if connection.dialect.name == "postgresql":
        number = int.from_bytes(sha256(f"transfer-studio {name}".encode()).digest()[:8], "big", signed=True)
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(number)))


def _begin(connection: Connection) -> None:
    # SQLAlchemy announces a "begin" in autocommit, too; a reader that took the write lock would wait for every writer.
    if connection.get_execution_options().get("isolation_level") != "AUTOCOMMIT":
        connection.exec_driver_sql("BEGIN IMMEDIATE")


def _prepare_sqlite(connection: Any, _record: object) -> None:
    connection.isolation_level = None  # SQLAlchemy's "begin" says BEGIN IMMEDIATE, the driver says nothing
    cursor = connection.cursor()
    # What is deleted is overwritten: else names of what somebody deleted long ago lie in the file when all of theirs is erased.
    # FULL: what was said to be done outlives a power cut, as the files do that it names (a write then waits for the disk).
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", f"busy_timeout={int(1000 * LOCK_WAIT)}",
                   "secure_delete=ON"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _wait_for_locks(connection: Any, seconds: float) -> None:
    """Without a limit a server waits for ever. One that its owner has set, in the address or for the user, holds."""
    connection.execute("SELECT set_config('lock_timeout', %s, false) WHERE current_setting('lock_timeout') = '0'",
                       [f"{int(1000 * seconds)}ms"])
    connection.commit()
