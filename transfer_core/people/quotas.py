"""How much one person may use: settings `quota_…`. Without accounts nothing is counted.

Trainings at a time are counted where jobs enter the queue (`store.people`), minutes where they run.
"""

from __future__ import annotations

import os
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from transfer_core import depot
from transfer_core.errors import BadInput, Unavailable
from transfer_core.paths import Home
from transfer_core.settings import settings
from transfer_core.store import Store

COUNTED_EVERY = 10.0
"""Seconds for which a folder's size is remembered: adding up 10,000 photos takes 0.1 s."""
BLOCK = 4096
"""Bytes that a file takes at least: of files with one byte in each, a quota of 1 GB would hold 4 TB of disk."""
IN_STORE_EVERY = 60.0
"""Seconds for which is remembered what lies in an object store: a thousand names a request, and a page asks for two numbers."""
GB = 1_000_000_000
_UNCOUNTED = ("cache",)
"""What can be computed again, and is thrown away by itself."""
_sizes: dict[Path, tuple[float, int]] = {}
_in_store: dict[Path, tuple[float, int, int]] = {}
"""When it was counted, bytes in the store, bytes here at that moment."""
_counting = threading.Lock()


@dataclass(frozen=True)
class Usage:
    bytes: int
    images: int
    """In the latest versions of all datasets."""
    most_bytes: int | None
    most_images: int | None


def usage(store: Store) -> Usage:
    now = settings()
    return Usage(stored(store.home, fresh=True), images(store), now.quota_bytes, now.quota_images)


def images(store: Store) -> int:
    return sum(sum(dataset.latest.summary.get("split", {}).values()) for dataset in store.datasets())


def stored(home: Home, *, fresh: bool = False) -> int:
    """Bytes of a person's files, those left out that can be computed again. Where files go through an object store: of those that
    lie there, and of what has been added here since they were counted."""
    # Two counts, since neither is the whole: what lies in the store need never have lain here, and what has just been added here
    # lies there only when its job pushes. Which of the files here lie there, too, is not asked: that would be a hash of each.
    here = _stored_here(home, fresh)
    if not depot.is_on() or home.studio is None:
        return here
    with _counting:
        known = _in_store.get(home.root)
    if known is None or time.monotonic() - known[0] > (COUNTED_EVERY if fresh else IN_STORE_EVERY):
        try:
            known = (time.monotonic(), _size_in_store(home), here)
        except Unavailable:  # what was counted last, or what lies here
            return here if known is None else max(here, known[1])
        with _counting:
            _in_store[home.root] = known
            for old in sorted(_in_store, key=lambda root: _in_store[root][0])[:-1000]:
                del _in_store[old]
    return max(here, known[1] + max(0, here - known[2]))


def recount() -> None:
    """What was counted before holds no more: what is added here would be taken for what was removed here to make room."""
    with _counting:
        _in_store.clear()


def _stored_here(home: Home, fresh: bool) -> int:
    with _counting:
        known = _sizes.get(home.root)
        if known is not None and not fresh and time.monotonic() - known[0] < COUNTED_EVERY:
            return known[1]
    size = _size(home.root)
    with _counting:
        _sizes[home.root] = (time.monotonic(), size)
        for old in sorted(_sizes, key=lambda root: _sizes[root][0])[:-1000]:
            del _sizes[old]
    return size


def check_room(store: Store, more: int = 0) -> None:
    """Raises `BadInput("quota_bytes")` when a person's files, and `more` bytes, are more than they may be."""
    most = settings().quota_bytes
    if store.person is None or most is None:
        return
    used = stored(store.home)
    if used + more > most and depot.is_on():  # what was fetched meanwhile looks like something new
        used = stored(store.home, fresh=True)
    if used + more > most:
        raise BadInput("quota_bytes", used=f"{used / GB:.2f}", most=f"{most / GB:g}")


def check_images(store: Store, more: int) -> None:
    """Raises `BadInput("quota_images")` when a person's datasets, and `more` photos, hold more than they may."""
    most = settings().quota_images
    if store.person is None or most is None:
        return
    there = images(store)
    if there + more > most:
        raise BadInput("quota_images", there=there, more=more, most=most)


def _size_in_store(home: Home) -> int:
    from transfer_core.depot.place import patience, place

    with patience(0):
        return sum(max(BLOCK, fact.size) for fact in place().names("/".join(home.root.relative_to(home.shared).parts)).values())


def _size(folder: Path) -> int:
    total, waiting = 0, [str(folder)]
    while waiting:
        try:
            with os.scandir(waiting.pop()) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        if entry.name not in _UNCOUNTED:
                            waiting.append(entry.path)
                    else:
                        total += max(BLOCK, entry.stat(follow_symlinks=False).st_size)
        except OSError:  # removed meanwhile
            continue
    return total
