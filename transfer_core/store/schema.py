"""The tables, and the numbered migrations that lead to them. A migration, once released, is never edited."""

from __future__ import annotations

from collections.abc import Callable

import sqlalchemy as sa
from sqlalchemy import JSON, Column, Connection, Float, ForeignKey, Integer, MetaData, String, Table, Text

metadata = MetaData()

datasets = Table(
    "datasets", metadata,
    Column("id", String, primary_key=True),
    Column("name", String, nullable=False),
    Column("created", Float, nullable=False),
    Column("deleted", Float),
)

versions = Table(
    "versions", metadata,
    Column("dataset", ForeignKey("datasets.id"), primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("created", Float, nullable=False),
    Column("change", JSON, nullable=False),   # the Message that says what made this version
    Column("summary", JSON, nullable=False),  # what `import --json` prints
)

jobs = Table(
    "jobs", metadata,
    Column("id", String, primary_key=True),
    Column("kind", String, nullable=False, index=True),   # train, import, …
    Column("state", String, nullable=False, index=True),  # queued running finished stopped failed
    Column("device", String, nullable=False),             # one running job per device
    Column("payload", JSON, nullable=False),
    Column("result", JSON),
    Column("created", Float, nullable=False),
    Column("started", Float),
    Column("ended", Float),
    Column("pid", Integer),
    Column("heartbeat", Float),
    Column("stop", String),                               # keep / discard, once asked for
    Column("deleted", Float),
)

events = Table(
    "events", metadata,
    Column("job", ForeignKey("jobs.id"), primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("time", Float, nullable=False),
    Column("type", String, nullable=False),
    Column("body", Text, nullable=False),
)

demos = Table(
    "demos", metadata,
    Column("id", String, primary_key=True),       # cannot be guessed: who has the link may look
    Column("run", String, nullable=False, index=True),
    Column("title", String, nullable=False),
    Column("description", Text, nullable=False),
    Column("key", String, nullable=False),        # SHA-256 of the key for the API
    Column("facts", JSON, nullable=False),        # what the page says of the model
    Column("created", Float, nullable=False),
    Column("ended", Float),
    Column("views", Integer, nullable=False),
    Column("answers", Integer, nullable=False),
)

_applied = Table("migrations", metadata, Column("number", Integer, primary_key=True))


def _first(connection: Connection) -> None:
    metadata.create_all(connection, tables=[datasets, versions, jobs, events])


def _demos(connection: Connection) -> None:
    metadata.create_all(connection, tables=[demos])


MIGRATIONS: list[Callable[[Connection], None]] = [_first, _demos]


def migrate(connection: Connection) -> None:
    """Bring the database up to date; safe when two processes start at once (the caller holds the write lock)."""
    _applied.create(connection, checkfirst=True)
    done = set(connection.scalars(sa.select(_applied.c.number)))
    for number, migration in enumerate(MIGRATIONS, start=1):
        if number not in done:
            migration(connection)
            connection.execute(sa.insert(_applied).values(number=number))
