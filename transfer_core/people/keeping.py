"""For how long a person's work is kept: `keep_days` after something was last made, unless the person asks for more."""

from __future__ import annotations

from transfer_core.settings import settings
from transfer_core.store import Store
from transfer_core.store.people import Person

DAY = 86_400.0
WARNED = 7.0
"""Days before the end from which every page says so; a quarter of the whole time where that is less."""


def ends(person: Person | None) -> float | None:
    """When all of a person's work is deleted, seconds since 1970; None: it is kept."""
    days = settings().keep_days
    return None if person is None or days is None else person.active + days * DAY


def is_warned(person: Person | None, now: float) -> bool:
    end, days = ends(person), settings().keep_days
    return end is not None and days is not None and now > end - min(WARNED, days / 4) * DAY


def keep(store: Store) -> None:
    """Keep it all for the whole time again, from now on."""
    store.touch(every=0.0)
