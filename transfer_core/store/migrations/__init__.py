"""The way from every earlier database to the present one. A migration, once released, is never edited.

Each is a module of its own with its own definitions: what `transfer_core.store.schema` says changes, what a release did does not.
"""

from __future__ import annotations

from collections.abc import Callable

import sqlalchemy as sa
from sqlalchemy import Connection

from transfer_core.errors import Unavailable
from transfer_core.store.migrations import m1_first, m2_demos, m3_owners, m4_people
from transfer_core.store.schema import applied

MIGRATIONS: list[Callable[[Connection], None]] = [m1_first.apply, m2_demos.apply, m3_owners.apply, m4_people.apply]


def migrate(connection: Connection) -> None:
    """Bring the database up to date, or leave it as it was. The caller lets one process at a time do this.

    Raises `Unavailable("database_newer")` for one that a later release of the program has changed.
    """
    applied.create(connection, checkfirst=True)
    done = set(connection.scalars(sa.select(applied.c.number)))
    if max(done, default=0) > len(MIGRATIONS):
        raise Unavailable("database_newer", found=max(done), known=len(MIGRATIONS))
    for number, migration in enumerate(MIGRATIONS, start=1):
        if number not in done:
            migration(connection)
            connection.execute(sa.insert(applied).values(number=number))
