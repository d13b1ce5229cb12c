"""The tables as they are now. How a database that is older gets there stands in `transfer_core.store.migrations`."""

from __future__ import annotations

import json
from typing import Any

import sqlalchemy as sa
from sqlalchemy import JSON, Column, Dialect, Float, ForeignKey, Index, Integer, MetaData, Table, TypeDecorator


class _Words(TypeDecorator[str]):
    """Text of which PostgreSQL can store every character: it has no NUL, so that becomes the character for what is unknown."""

    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        return value.replace("\0", "\N{REPLACEMENT CHARACTER}") if value and "\0" in value else value


class String(_Words):
    impl = sa.String
    cache_ok = True


class Text(_Words):
    impl = sa.Text
    cache_ok = True


class _JsonText(TypeDecorator[Any]):
    """PostgreSQL's own type for JSON refuses NaN, which a result may hold."""

    impl = sa.Text
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Dialect) -> str | None:
        return None if value is None else json.dumps(value)

    def process_result_value(self, value: str | None, dialect: Dialect) -> Any:
        return None if value is None else json.loads(value)


Json = JSON().with_variant(_JsonText(), "postgresql")

metadata = MetaData()

datasets = Table(
    "datasets", metadata,
    Column("id", String, primary_key=True),
    Column("name", String, nullable=False),
    Column("created", Float, nullable=False),
    Column("deleted", Float),
    Column("owner", String),  # NULL, here and below: the one person of a studio without accounts
)

versions = Table(
    "versions", metadata,
    Column("dataset", ForeignKey("datasets.id"), primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("created", Float, nullable=False),
    Column("change", Json, nullable=False),   # the Message that says what made this version
    Column("summary", Json, nullable=False),  # what `import --json` prints
)

jobs = Table(
    "jobs", metadata,
    Column("id", String, primary_key=True),
    Column("kind", String, nullable=False),               # train, import, …
    Column("state", String, nullable=False, index=True),  # queued running finished stopped failed
    Column("device", String, nullable=False),             # one long and one short running job per device
    Column("payload", Json, nullable=False),
    Column("result", Json),
    Column("created", Float, nullable=False),
    Column("started", Float),
    Column("ended", Float),
    Column("pid", Integer),                               # for people to read; whose job it is, `worker` says
    Column("heartbeat", Float),
    Column("stop", String),                               # keep / discard, once asked for
    Column("deleted", Float),
    Column("worker", String),                             # who holds it: host:pid:nonce (see leases)
    Column("owner", String),
    Index("ix_jobs_kind_created", "kind", "created"),
    Index("ix_jobs_kind_owner_created", "kind", "owner", "created"),
    Index("ix_jobs_device_ended", "device", "ended"),
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
    Column("facts", Json, nullable=False),        # what the page says of the model
    Column("created", Float, nullable=False),
    Column("ended", Float),
    Column("views", Integer, nullable=False),
    Column("answers", Integer, nullable=False),
    Column("owner", String),
)

people = Table(
    "people", metadata,
    Column("id", String, primary_key=True),   # the owner of the rows above; also a folder in the home
    Column("name", String),                   # NULL, as the next: somebody who has not signed in
    Column("email", String),
    Column("created", Float, nullable=False),
    Column("active", Float, nullable=False),  # when something was last made or asked to be kept
    Column("leaving", Float),                 # since when all of it is to be deleted
)

applied = Table("migrations", metadata, Column("number", Integer, primary_key=True))
