"""Datasets, their versions, jobs and events."""

from __future__ import annotations

from sqlalchemy import JSON, Column, Connection, Float, ForeignKey, Integer, MetaData, String, Table, Text

_tables = MetaData()

Table(
    "datasets", _tables,
    Column("id", String, primary_key=True),
    Column("name", String, nullable=False),
    Column("created", Float, nullable=False),
    Column("deleted", Float),
)
Table(
    "versions", _tables,
    Column("dataset", ForeignKey("datasets.id"), primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("created", Float, nullable=False),
    Column("change", JSON, nullable=False),
    Column("summary", JSON, nullable=False),
)
Table(
    "jobs", _tables,
    Column("id", String, primary_key=True),
    Column("kind", String, nullable=False, index=True),
    Column("state", String, nullable=False, index=True),
    Column("device", String, nullable=False),
    Column("payload", JSON, nullable=False),
    Column("result", JSON),
    Column("created", Float, nullable=False),
    Column("started", Float),
    Column("ended", Float),
    Column("pid", Integer),
    Column("heartbeat", Float),
    Column("stop", String),
    Column("deleted", Float),
)
Table(
    "events", _tables,
    Column("job", ForeignKey("jobs.id"), primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("time", Float, nullable=False),
    Column("type", String, nullable=False),
    Column("body", Text, nullable=False),
)


def apply(connection: Connection) -> None:
    _tables.create_all(connection)
