"""From a backup to a data home: everything is checked, and nothing is in its place before all of it is there."""

from __future__ import annotations

import errno
import os
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa

from transfer_core.backups import tables
from transfer_core.backups.shelf import CHUNK, FILES, FORMAT, TOPS, Entry, Head, Shelf
from transfer_core.errors import BadInput, NotFound, Unavailable
from transfer_core.events import Progressed
from transfer_core.jobs.run import failure
from transfer_core.paths import Home
from transfer_core.store import Store

STAGE = ".restoring"
"""Where things lie in the home until all are there."""
DATABASE = "studio.db"


@dataclass
class Restored:
    folder: str
    created: float
    """When the backup was made."""
    files: int
    bytes: int
    interrupted: list[str]
    """Jobs that ran when the backup was made. They can be resumed."""
    unfinished: bool
    """Whether a later backup into that folder had not ended; this is the one before it."""
    seconds: float = 0.0


def restore(folder: Path, home: Home, url: str, tell: Callable[[Progressed], None] = lambda _: None,
            check_only: bool = False) -> Restored:
    """Put a backup into an empty home. With `check_only`, say whether that would work, and read every byte of the backup for it.

    The folder may come from a stranger: no path leads out of the home, no link is followed, and the database holds nothing but
    tables. Raises `NotFound("no_backup")`, `Unavailable("backup_no_room")`, and `BadInput`: `backup_unfinished backup_newer
    backup_damaged backup_bad_path home_not_empty database_not_empty`.
    """
    began, folder = time.monotonic(), folder.expanduser().resolve()
    shelf = Shelf(folder)
    head = _head(shelf)
    entries = shelf.entries(head)
    if len({entry.path for entry in entries}) != len(entries) or len(entries) != head.files:
        raise BadInput("backup_damaged", folder=str(folder), file="backup.json")
    told = Restored(str(folder if check_only else home.root), head.created, head.files, head.bytes, [], shelf.mark.exists())
    if check_only:
        _check(shelf, head, entries, tell)
    else:
        _check_home(home, url, sum(entry.bytes for entry in entries))
        try:
            told.interrupted = _restore(shelf, head, entries, home, url, tell)
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise Unavailable("backup_no_room", folder=str(home.root)) from error
            raise
    told.seconds = round(time.monotonic() - began, 2)
    return told


def _head(shelf: Shelf) -> Head:
    head = shelf.head()
    if head is None:
        if shelf.mark.exists():
            raise BadInput("backup_unfinished", folder=str(shelf.root))
        raise NotFound("no_backup", folder=str(shelf.root))
    if head.format > FORMAT or head.schema > len(tables.MIGRATIONS):
        raise BadInput("backup_newer", folder=str(shelf.root))
    return head


def _check_home(home: Home, url: str, needed: int) -> None:
    """Raises unless nothing is there. (Of a studio that uses this home, its database is.)"""
    stage = home.root / STAGE
    if home.root.exists() and not home.root.is_dir():
        raise BadInput("home_not_empty", folder=str(home.root))
    names = _names(home.root) if home.root.is_dir() else set()
    if STAGE in names and names <= {STAGE, *TOPS} and not stage.is_symlink():  # a restore was killed: all is its own
        for name in sorted(names, key=lambda name: name == STAGE):
            shutil.rmtree(home.root / name) if (home.root / name).is_dir() else (home.root / name).unlink()
        names = set()
    if names:
        raise BadInput("home_not_empty", folder=str(home.root))
    if not _in_home(home, url) and _used(url):
        raise BadInput("database_not_empty")
    home.root.mkdir(parents=True, exist_ok=True)
    if shutil.disk_usage(home.root).free < needed:
        raise Unavailable("backup_no_room", folder=str(home.root))


def _used(url: str) -> bool:
    if tables.is_sqlite(url):
        file = Path(sa.make_url(url).database or "")
        return file.exists() and tables.has_rows(url)
    return tables.has_rows(url)


def _in_home(home: Home, url: str) -> bool:
    return tables.is_sqlite(url) and Path(sa.make_url(url).database or "").resolve() == home.root / DATABASE


def _restore(shelf: Shelf, head: Head, entries: list[Entry], home: Home, url: str,
             tell: Callable[[Progressed], None]) -> list[str]:
    stage = home.root / STAGE
    stage.mkdir()
    try:
        interrupted = _gather(shelf, head, entries, stage, tell)
        if _names(home.root) != {STAGE}:  # a studio was started here meanwhile
            raise BadInput("home_not_empty", folder=str(home.root))
        if not _in_home(home, url):
            with tables.in_words(url):
                tables.copy_tables(tables.engine(f"sqlite:///{stage / DATABASE}"), tables.engine(url))
            (stage / DATABASE).unlink()
    except BaseException:
        shutil.rmtree(stage, ignore_errors=True)
        raise
    # The database last: a home without one is not finished, and the next attempt begins anew.
    for made in sorted(stage.iterdir(), key=lambda file: file.name == DATABASE):
        made.rename(home.root / made.name)
    stage.rmdir()
    return interrupted


def _gather(shelf: Shelf, head: Head, entries: list[Entry], stage: Path, tell: Callable[[Progressed], None]) -> list[str]:
    with shelf.checked(head.database, None) as source, (stage / DATABASE).open("xb") as copy:
        shutil.copyfileobj(source, copy, CHUNK)
    tables.examine(stage / DATABASE, shelf.root)  # before the gigabytes
    for number, entry in enumerate(entries):
        if number % 100 == 0:
            tell(Progressed(stage="copying", done=number, total=len(entries)))
        _place(shelf, entry, stage / entry.path)
    tell(Progressed(stage="copying", done=len(entries), total=len(entries)))
    return _end_jobs(Home(stage))


def _names(folder: Path) -> set[str]:
    return {file.name for file in folder.iterdir()}


def _place(shelf: Shelf, entry: Entry, file: Path) -> None:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with shelf.checked(entry.sha256, entry.bytes) as source, file.open("xb") as copy:
            shutil.copyfileobj(source, copy, CHUNK)
    except (FileExistsError, NotADirectoryError):  # a file and a folder of one name: no home had that
        raise BadInput("backup_damaged", folder=str(shelf.root), file="objects") from None
    if file.name in FILES:
        file.chmod(0o600)
    os.utime(file, ns=(entry.mtime, entry.mtime))


def _end_jobs(home: Home) -> list[str]:
    """Jobs that ran have no worker any more: they have failed, and say whether they can be resumed. (Opening migrates.)"""
    store = Store(home, f"sqlite:///{home.root / DATABASE}").everyone()
    try:
        running = store.jobs(None, "running")
        for job in running:
            store.append(job.id, failure(Unavailable("worker_interrupted"), store.of(job.owner), job))
            store.end(job.id, "failed")
        return [job.id for job in running]
    finally:
        store.close()
        tables.one_file(home.root / DATABASE)


def _check(shelf: Shelf, head: Head, entries: list[Entry], tell: Callable[[Progressed], None]) -> None:
    with shelf.checked(head.database, None):
        tables.examine(shelf.object(head.database), shelf.root)
    sizes = {entry.sha256: entry.bytes for entry in entries}
    for number, (sha256, size) in enumerate(sizes.items()):
        if number % 100 == 0:
            tell(Progressed(stage="checking_backup", done=number, total=len(sizes)))
        with shelf.checked(sha256, size):
            pass
