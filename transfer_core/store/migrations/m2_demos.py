"""Published demos."""

from __future__ import annotations

from sqlalchemy import JSON, Column, Connection, Float, Integer, MetaData, String, Table, Text

_tables = MetaData()

Table(
    "demos", _tables,
    Column("id", String, primary_key=True),
    Column("run", String, nullable=False, index=True),
    Column("title", String, nullable=False),
    Column("description", Text, nullable=False),
    Column("key", String, nullable=False),
    Column("facts", JSON, nullable=False),
    Column("created", Float, nullable=False),
    Column("ended", Float),
    Column("views", Integer, nullable=False),
    Column("answers", Integer, nullable=False),
)


def apply(connection: Connection) -> None:
    _tables.create_all(connection)
