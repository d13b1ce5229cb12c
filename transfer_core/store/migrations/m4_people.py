"""The people of a studio for many."""

from __future__ import annotations

from sqlalchemy import Connection

_EVERYWHERE = (
    "CREATE TABLE people (id VARCHAR NOT NULL, name VARCHAR, email VARCHAR, created FLOAT NOT NULL, active FLOAT NOT NULL, "
    "leaving FLOAT, PRIMARY KEY (id))",
)


def apply(connection: Connection) -> None:
    for statement in _EVERYWHERE:
        connection.exec_driver_sql(statement)
