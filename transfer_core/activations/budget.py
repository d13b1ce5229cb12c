"""How much disk activations may take, and how room is made."""

from __future__ import annotations

import shutil

from transfer_core.activations.shelf import Shelf
from transfer_core.settings import settings

_SHARE = 0.25
"""Of what is free (with what the entries hold counted as free), unless `TRANSFER_STUDIO_CACHE_BYTES` says how much."""
_MOST = 20_000_000_000


def budget(shelf: Shelf) -> int:
    """Bytes all entries together may take."""
    told = settings().cache_bytes
    if told is not None:
        return told
    return int(min(_MOST, _SHARE * (shutil.disk_usage(shelf.folder).free + shelf.bytes)))


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
