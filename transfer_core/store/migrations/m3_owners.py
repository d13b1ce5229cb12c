"""Whose things are, which worker on which machine holds a job, and indexes for many jobs."""

from __future__ import annotations

from sqlalchemy import Connection

_EVERYWHERE = (
    "ALTER TABLE jobs ADD COLUMN worker VARCHAR",
    "ALTER TABLE jobs ADD COLUMN owner VARCHAR",
    "ALTER TABLE datasets ADD COLUMN owner VARCHAR",
    "ALTER TABLE demos ADD COLUMN owner VARCHAR",
    "DROP INDEX ix_jobs_kind",
    "CREATE INDEX ix_jobs_kind_created ON jobs (kind, created)",
    "CREATE INDEX ix_jobs_kind_owner_created ON jobs (kind, owner, created)",
    "CREATE INDEX ix_jobs_device_ended ON jobs (device, ended)",
)
_JSON = (("versions", "change"), ("versions", "summary"), ("jobs", "payload"), ("jobs", "result"), ("demos", "facts"))


def apply(connection: Connection) -> None:
    for statement in _EVERYWHERE:
        connection.exec_driver_sql(statement)
    if connection.dialect.name == "postgresql":  # its own type for JSON refuses NaN
        for table, column in _JSON:
            connection.exec_driver_sql(f"ALTER TABLE {table} ALTER COLUMN {column} TYPE TEXT USING {column}::text")
