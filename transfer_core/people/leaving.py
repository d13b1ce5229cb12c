"""Deleting all that is one person's: files, rows, the person. Asked for, or because nobody came back."""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Iterator

from transfer_core.depot import is_on
from transfer_core.depot.notes import made_with
from transfer_core.depot.place import place
from transfer_core.depot.tidying import is_empty, remove_person
from transfer_core.errors import Unavailable
from transfer_core.paths import Home
from transfer_core.people.keeping import ends
from transfer_core.store import Store

log = logging.getLogger(__name__)


def leave(store: Store) -> bool:
    """All of it is to be deleted. True when it is done already; False while a worker still has to let go (see `erase`)."""
    if store.person is None:
        raise ValueError("what is nobody's is not deleted")
    if store.known() is None:  # who has made nothing is unknown so far; a file may lie there nevertheless
        store.touch()
    store.leave()
    return erase(store)


def erase(store: Store) -> bool:
    """Go on with a deletion: end what runs, then delete files and rows. False while something still runs; ask again then.

    Rows last: as long as they are there, what is left of the files is known to be nobody's.
    """
    for job in store.jobs(None, "queued", "running"):
        store.ask_stop(job.id, "discard")
    if store.has_live():
        return False
    shutil.rmtree(store.home.root, ignore_errors=True)
    if store.home.root.exists():
        log.warning("not all files of a person who left could be deleted")
        return False
    try:
        remove_person(store.home)
    except Unavailable as error:
        log.warning("not all objects of a person who left could be deleted: %s", error)
        return False
    store.erase()
    log.info("a person left, and all that was theirs is deleted")
    return True


def sweep(store: Store) -> int:
    """Remove empty homes of people there are none of (any more); returns how many. A page that was drawn while all of it was
    deleted may have made folders. One that holds anything stays: with another database, everybody is unknown."""
    known, gone = {person.id for person in store.people()}, 0
    for home in store.home.people():
        if home.root.name not in known and (not any(_sizes(home)) or _is_leftover(home)):
            shutil.rmtree(home.root, ignore_errors=True)
            gone += 1
    return gone


def _is_leftover(home: Home) -> bool:
    """Whether this is the working copy of somebody who left on another machine: the store that it was made with has none of it
    any more. (Another store, as another database, would know nobody either.)"""
    return is_on() and made_with(home) == place().address and is_empty(home)


def _sizes(home: Home) -> Iterator[int]:
    return (file.lstat().st_size for file in home.root.rglob("*") if not file.is_dir())


def expired(store: Store, now: float | None = None) -> list[Store]:
    """The stores of people whose time is over, and of those who left and are not gone yet. Their deletion has begun."""
    now, found = time.time() if now is None else now, []
    for person in store.people():
        end, theirs = ends(person), store.of(person.id)
        if person.leaving is None and end is not None and end < now:
            theirs.leave(unless_after=person.active)  # who has just come back stays
            if (known := theirs.known()) is None or known.leaving is None:
                continue
        elif person.leaving is None:
            continue
        found.append(theirs)
    return found
