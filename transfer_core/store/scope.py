"""Whose rows a store sees. Every question that could find somebody's things asks `Scope.mine`, so that nobody's answer holds
another one's, whatever id was guessed.

`Store(home)` is that of the only person of a studio without accounts: rows without an owner. `store.of(person)` sees what that
person owns, in that person's home. `store.everyone()` sees all; only what serves the machine has it: the queue, the supervisor,
the numbers for whoever runs the server.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any, Self

import sqlalchemy as sa

if TYPE_CHECKING:
    from transfer_core.paths import Home


class Scope:
    """(Mixed into `Store`.)"""

    home: Home
    person: str | None = None
    """Whose store this is; None: of the only person, or of everyone."""
    is_everyones: bool = False

    def of(self, person: str | None) -> Self:
        """The store of one person, over the same connections. Raises `ValueError` for a name no person can have."""
        other = copy.copy(self)
        other.home, other.person, other.is_everyones = self.home.of(person), person, False
        return other

    def everyone(self) -> Self:
        """All rows of all people. Its home is the studio's own: for a person's files, take `of(row.owner)`."""
        other = self.of(None)
        other.is_everyones = True
        return other

    def mine(self, table: sa.Table) -> sa.ColumnElement[bool]:
        """A condition on rows of a table that has an owner."""
        return sa.true() if self.is_everyones else _is(table.c.owner, self.person)


def _is(column: sa.Column[Any], person: str | None) -> sa.ColumnElement[bool]:
    return column.is_(None) if person is None else column == person
