"""Making room: what has been used longest ago goes from this machine, when the copies here of what lies in the store take more
than they may. What is needed again is fetched again.

Copies are photos and what pages show of them, weights, and what is heavy in the folders of runs and demos. Only that goes which
the store has as it is here, nobody has asked for in an hour, no job of this machine needs (`marks`), and is no part of what waits
to be pushed. Whoever is killed meanwhile leaves whole files and whole notes.
"""

from __future__ import annotations

import heapq
import json
import logging
import re
import shutil
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from itertools import groupby
from pathlib import Path

from transfer_core.datasets.garbage import files_alone
from transfer_core.depot import marks, things
from transfer_core.depot.folders import Folder
from transfer_core.depot.place import Away, Fact, patience, place
from transfer_core.errors import StudioError
from transfer_core.paths import Home, taking, write_json
from transfer_core.settings import settings

log = logging.getLogger(__name__)
FREE = 0.1
"""Share of the disk that copies leave free, where nobody says how much they may take."""
AT_A_TIME = 10_000
"""Copies that are chosen in one look through all: of a million, a list would take 300 MB."""
BATCH = 200
"""Files that are removed while nobody can mark any: some milliseconds."""
KINDS = ("runs", "demos")
_HASH = re.compile(r"[0-9a-f]{64}")
_DISPLAY = ".display.webp"


@dataclass(frozen=True)
class Copy:
    home: Home
    name: str
    """In the store, and as pins have it. What pages show of a photo is made from it: then the photo's."""
    path: Path
    bytes: int
    used: float
    """When it was last asked for, in seconds since 1970."""

    @property
    def is_folder(self) -> bool:
        return self.path.parent.name in KINDS


@dataclass(frozen=True)
class Room:
    """What was found, or left, at `at` (seconds since 1970)."""

    bytes: int
    most: int
    freed: int
    at: float


def make_room(home: Home, now: float | None = None) -> Room:
    """Of all homes of the studio that `home` belongs to. One process at a time: another one is told what the last one left."""
    home = home.of(None)
    with taking(home.root / "depot" / "making-room.lock") as alone:
        if not alone and (said := last(home)):
            return said
        found = count(home)
        freed = _freed(home, found.bytes - found.most, now) if alone else 0
        room = Room(found.bytes - freed, found.most, freed, time.time())
        write_json(_said(home), asdict(room), lasting=False)
        return room


def count(home: Home) -> Room:
    """How much copies take, and how much they may. Looks at every file: 0.8 s of computing for 50,000."""
    home = home.of(None)
    taken = sum(copy.bytes for each in _homes(home) for copy in copies(each))
    return Room(taken, most(home, taken), 0, time.time())


def most(home: Home, taken: int) -> int:
    """Bytes that copies may take. `taken`: what they do."""
    told = settings().copies_bytes
    if told is not None:
        return told
    disk = shutil.disk_usage(next(folder for folder in (home.root, *home.root.parents) if folder.is_dir()))
    return max(0, taken + disk.free - int(FREE * disk.total))


def last(home: Home) -> Room | None:
    """As it was when somebody last looked; a page has no time to count."""
    try:
        return Room(**json.loads(_said(home).read_text("utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def copies(home: Home) -> Iterator[Copy]:
    """All that could be fetched or made again, if the store has it."""
    for file in (home.root / "images").glob("??/*"):
        if _HASH.fullmatch(file.name):
            yield from _copy(home, file, things.key(home, "images", file.name[:2], file.name))
    for file in (home.root / "thumbnails").glob(f"??/*{_DISPLAY}"):
        if _HASH.fullmatch(sha256 := file.name.removesuffix(_DISPLAY)):
            yield from _copy(home, file, things.key(home, "images", sha256[:2], sha256))
    for file in (home.root / "weights").glob("*"):
        if _HASH.fullmatch(file.name):
            yield from _copy(home, file, things.key(home, "weights", file.name))
    for kind in KINDS:
        for path in (home.root / kind).glob("*"):
            with suppress(ValueError):  # a name that none of ours has
                folder = Folder(home, f"{kind}/{path.name}")
                if heavy := folder.heavy():
                    changed = max(changed for _, changed in heavy.values()) / 1e9
                    yield Copy(home, things.key(home, kind, path.name), path, sum(size for size, _ in heavy.values()),
                               max(changed, marks.last_asked(home, folder.notes.name)))


def _copy(home: Home, file: Path, name: str) -> Iterator[Copy]:
    with suppress(FileNotFoundError):  # removed meanwhile
        facts = file.stat()
        yield Copy(home, name, file, facts.st_size, max(facts.st_atime, facts.st_mtime))


def _freed(home: Home, over: int, now: float | None) -> int:
    freed = 0
    while freed < over:
        limit = (now or time.time()) - marks.GRACE
        with marks.removing(home) as pins:
            pass  # what is pinned from now on is seen before it is removed
        try:
            with patience(0):
                spare = (copy for each in _homes(home) for copy in _spare(each, limit, pins))
                oldest = heapq.nsmallest(AT_A_TIME, spare, key=lambda copy: copy.used)
                more = _remove(oldest, over - freed, limit)
        except Away:  # what it has nobody knows now
            break
        freed += more
        if not more:
            break
    if freed:
        log.info("removed copies of %d bytes, which the store has", freed)
    return freed


def _spare(home: Home, limit: float, pins: set[str]) -> Iterator[Copy]:
    """What nobody has asked for since, and the store has as it is here."""
    there: dict[str, dict[str, Fact]] = {}
    for copy in copies(home):
        if copy.used >= limit or copy.name in pins:
            continue
        if copy.is_folder:
            if _folder(copy).spare():
                yield copy
            continue
        kind = copy.path.parent.name if copy.path.parent.name == "weights" else "images"
        if kind not in there:
            there[kind] = place().names(things.key(home, kind))
        fact = there[kind].get(copy.name)  # named by its content: the size says that it is whole
        if fact is not None and (fact.size == copy.bytes or copy.path.name.endswith(_DISPLAY)):
            yield copy


def _remove(oldest: list[Copy], over: int, limit: float) -> int:
    freed = 0
    for (home, is_folder), some in groupby(oldest, key=lambda copy: (copy.home, copy.is_folder)):
        some = list(some)
        for start in range(0, len(some), 1 if is_folder else BATCH):
            if freed >= over:
                return freed
            freed += _remove_folder(some[start], limit) if is_folder else _remove_files(home, some[start:start + BATCH],
                                                                                      over - freed, limit)
    return freed


def _remove_files(home: Home, some: list[Copy], over: int, limit: float) -> int:
    freed = 0
    with files_alone(home) as alone, marks.removing(home) as pins:
        for copy in some if alone else ():
            if freed >= over:
                break
            with suppress(FileNotFoundError):
                facts = copy.path.stat()
                if copy.name not in pins and max(facts.st_atime, facts.st_mtime) < limit and facts.st_size == copy.bytes:
                    copy.path.unlink()
                    freed += copy.bytes
    return freed


def _remove_folder(copy: Copy, limit: float) -> int:
    folder = _folder(copy)
    index, objects = folder.there()  # before anybody waits for us
    with files_alone(copy.home) as alone, marks.removing(copy.home) as pins:
        if not alone or copy.name in pins or marks.last_asked(copy.home, folder.notes.name) >= limit:
            return 0
        try:
            return folder.remove_copies(index, objects)
        except (StudioError, OSError) as error:  # a full disk: it cannot be noted
            log.warning("the copies of %s stay: %s", folder.name, error)
            return 0


def _folder(copy: Copy) -> Folder:
    return Folder(copy.home, f"{copy.path.parent.name}/{copy.path.name}")


def _homes(home: Home) -> Iterator[Home]:
    yield home
    yield from home.people()


def _said(home: Home) -> Path:
    return home.of(None).root / "depot" / "room.json"
