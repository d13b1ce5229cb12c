"""How much disk activations may take, and how room is made."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from functools import partial
from itertools import chain

from transfer_core.activations.shelf import Shelf
from transfer_core.settings import settings

_SHARE = 0.25
"""Of what is free (with what the entries hold counted as free), unless `TRANSFER_STUDIO_CACHE_BYTES` says how much."""
_MOST = 20_000_000_000


def budget(*shelves: Shelf) -> int:
    """Bytes all entries of these shelves, on one disk, may take together."""
    told = settings().cache_bytes
    if told is not None:
        return told
    return int(min(_MOST, _SHARE * (shutil.disk_usage(shelves[0].folder).free + sum(shelf.bytes for shelf in shelves))))


def keep_within(shelves: Sequence[Shelf]) -> int:
    """Of the entries of all these shelves, remove those not used longest until they fit the budget of one; returns the bytes
    freed. Each home has a shelf, and `make_room` looks at its own: those of n people would take n times as much.

    Exported prefixes go first, as there. What somebody is writing stays.
    """
    if not shelves:
        return 0
    over = sum(shelf.bytes for shelf in shelves) - budget(*shelves)
    oldest = sorted(((entry.used, shelf, entry.key) for shelf in shelves for entry in shelf), key=lambda found: found[0])
    ways = chain((partial(shelf.remove_exported, prefix) for shelf in shelves for prefix in shelf.exported()),
                 (partial(shelf.remove, key) for _, shelf, key in oldest))
    freed = 0
    for remove in ways:
        if freed >= over:
            break
        freed += remove()
    return freed


def make_room(shelf: Shelf, wanted: int, keep: frozenset[str] = frozenset()) -> bool:
    """Remove what was not used longest, but no entry of `keep`, until `wanted` more bytes fit; False when they cannot.

    Exported prefixes go first: what they say is in the entries, and exporting one again takes a second.
    """
    allowed, stored, exported = budget(shelf), list(shelf), shelf.exported()
    taken = sum(entry.bytes for entry in stored) + sum(exported.values())
    if wanted + sum(entry.bytes for entry in stored if entry.key in keep) > allowed:
        return False
    needed = {entry.spec.prefix for entry in stored if entry.key in keep}
    for prefix in exported:
        if taken + wanted <= allowed:
            return True
        if prefix not in needed:
            taken -= shelf.remove_exported(prefix)
    for entry in stored:
        if taken + wanted <= allowed:
            return True
        if entry.key not in keep:
            taken -= shelf.remove(entry.key)
    return taken + wanted <= allowed
