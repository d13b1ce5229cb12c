"""From a backup to a data home: everything is checked, and nothing is in its place before all of it is there.

Files lie in a folder of the home until they are renamed. A database elsewhere is filled before that, in one transaction, and
bears a mark until the last of them is: whoever is killed in between repeats the restore, which leaves those rows as they are.
What the backup's studio was doing does not begin again by itself: a backup may be a stranger's.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from transfer_core.backups import tables
from transfer_core.backups.shelf import CHUNK, FILES, FORMAT, TOPS, Entry, Head, Shelf
from transfer_core.errors import BadInput, NotFound, Unavailable
from transfer_core.events import Note, Progressed, to_json
from transfer_core.jobs.run import CAME_BACK
from transfer_core.paths import Home
from transfer_core.store import ENDED, Store
from transfer_core.store.connecting import sqlite_url
from transfer_core.store.schema import demos, events, jobs
from transfer_core.words import message

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
    stopped: list[str] = field(default_factory=list)
    """Jobs that ran or waited when the backup was made. A person can resume them."""
    demos_ended: int = 0
    """Demos that could be asked when the backup was made, and cannot now."""
    unfinished: bool = False
    """Whether a later backup into that folder had not ended; this is the one before it."""
    seconds: float = 0.0


def restore(folder: Path, home: Home, url: str, tell: Callable[[Progressed], None] = lambda _: None,
            check_only: bool = False, keep_demos: bool = False) -> Restored:
    """Put a backup into an empty home. With `check_only`, say whether that would work, and read every byte of the backup for it.

    The folder may come from a stranger: no path leads out of the home, no link is followed, the database holds nothing but
    tables of ours, no job of it begins by itself, and nobody can ask its demos, unless `keep_demos` says so.
    Raises `NotFound("no_backup")`, `Unavailable("backup_no_room")`, and `BadInput`: `backup_unfinished backup_newer
    backup_damaged backup_columns backup_bad_path home_not_empty database_not_empty restore_begun`.
    """
    began, folder = time.monotonic(), folder.expanduser().resolve()
    shelf = Shelf(folder)
    head = _head(shelf)
    entries = shelf.entries(head)
    if len({entry.path for entry in entries}) != len(entries) or len(entries) != head.files:
        raise BadInput("backup_damaged", folder=str(folder), file="backup.json")
    told = Restored(str(folder if check_only else home.root), head.created, head.files, head.bytes,
                    unfinished=shelf.mark.exists())
    if check_only:
        _check(shelf, head, entries, tell)
    else:
        try:
            done = _Restoring(shelf, head, entries, home, url, keep_demos).do(tell)
            told = replace(told, **done)
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


@dataclass
class _Restoring:
    shelf: Shelf
    head: Head
    entries: list[Entry]
    home: Home
    url: str
    keep_demos: bool

    def do(self, tell: Callable[[Progressed], None]) -> dict[str, Any]:
        """`files bytes stopped demos_ended` of `Restored`."""
        mark = tables.marked(self.url) if self.elsewhere else None
        if self._is_done(mark):  # it was killed when all was in its place
            told = json.loads(mark[1])
        else:
            self._make_room()
            told = self._fill(mark, tell)
        if self.elsewhere:
            tables.unmark(self.url)
        return told

    @property
    def elsewhere(self) -> bool:
        """Whether the database does not lie in the home."""
        file = Path(sa.make_url(self.url).database or "")
        return not tables.is_sqlite(self.url) or file.resolve() != self.home.root.resolve() / DATABASE

    @property
    def begun(self) -> str:
        """Which restore this is, for the mark."""
        return json.dumps([self.head.database, self.head.list, str(self.home.root), self.keep_demos])

    def _is_done(self, mark: tuple[str, str] | None) -> bool:
        """Whether all is in its place already. Raises unless there is nothing in the way, or only what this restore has left.

        (Of a studio that uses this home, its database is.)
        """
        root, stage = self.home.root, self.home.root / STAGE
        if root.exists() and not root.is_dir():
            raise BadInput("home_not_empty", folder=str(root))
        names = _names(root) if root.is_dir() else set()
        ours = STAGE in names and names <= {STAGE, *TOPS} and not stage.is_symlink()  # a restore was killed: all is its own
        if mark is not None and mark[0] != self.begun:
            raise BadInput("restore_begun", folder=json.loads(mark[0])[2])
        # The stage is removed when all is in its place; of ended demos there is nothing.
        done = mark is not None and STAGE not in names and bool(names) and self._tops() <= names
        if names and not ours and not done:
            raise BadInput("home_not_empty", folder=str(root))
        if self.elsewhere and mark is None and _used(self.url):
            raise BadInput("database_not_empty")
        return done

    def _tops(self) -> set[str]:
        return {entry.path.split("/")[0] for entry in self.entries if "demos" not in entry.path.split("/")[:3]}

    def _make_room(self) -> None:
        root = self.home.root
        root.mkdir(parents=True, exist_ok=True)
        for name in sorted(_names(root) & {STAGE, *TOPS}, key=lambda name: name == STAGE):  # of one that was killed
            shutil.rmtree(root / name) if (root / name).is_dir() else (root / name).unlink()
        if shutil.disk_usage(root).free < sum(entry.bytes for entry in self.entries):
            raise Unavailable("backup_no_room", folder=str(root))

    def _fill(self, mark: tuple[str, str] | None, tell: Callable[[Progressed], None]) -> dict[str, Any]:
        root, stage = self.home.root, self.home.root / STAGE
        stage.mkdir()
        try:
            told = self._gather(stage, tell)
            if _names(root) != {STAGE}:  # a studio was started here meanwhile
                raise BadInput("home_not_empty", folder=str(root))
            if self.elsewhere:
                if mark is None:
                    with tables.in_words(self.url):
                        tables.copy_tables(tables.engine(sqlite_url(stage / DATABASE)), tables.engine(self.url),
                                           (self.begun, json.dumps(told)))
                (stage / DATABASE).unlink()
        except BaseException:
            shutil.rmtree(stage, ignore_errors=True)
            raise
        os.sync()  # a name must not outlive its bytes when the power goes
        # The database last: a home without one is not finished, and the next attempt begins anew.
        for made in sorted(stage.iterdir(), key=lambda file: file.name == DATABASE):
            made.rename(root / made.name)
        stage.rmdir()
        return told

    def _gather(self, stage: Path, tell: Callable[[Progressed], None]) -> dict[str, Any]:
        with self.shelf.checked(self.head.database, None) as source, (stage / DATABASE).open("xb") as copy:
            shutil.copyfileobj(source, copy, CHUNK)
        tables.examine(stage / DATABASE, self.shelf.root)  # before the gigabytes
        stopped, ended = _quieten(Home(stage), self.keep_demos)
        over = {("demos", demo) for demo in ended}  # whoever ends a demo removes what it answered with
        entries = [entry for entry in self.entries if over.isdisjoint(pairwise(entry.path.split("/")))]
        for number, entry in enumerate(entries):
            if number % 100 == 0:
                tell(Progressed(stage="copying", done=number, total=len(entries)))
            _place(self.shelf, entry, stage / entry.path)
        tell(Progressed(stage="copying", done=len(entries), total=len(entries)))
        return {"files": len(entries), "bytes": self.head.bytes - sum(entry.bytes for entry in self.entries)
                + sum(entry.bytes for entry in entries), "stopped": stopped, "demos_ended": len(ended)}


def _used(url: str) -> bool:
    if tables.is_sqlite(url):
        file = Path(sa.make_url(url).database or "")
        return file.exists() and tables.has_rows(url)
    return tables.has_rows(url)


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


def _quieten(home: Home, keep_demos: bool) -> tuple[list[str], list[str]]:
    """Nothing begins by itself: jobs that ran or waited, of whomever, are stopped, each with a note that says so, and demos end.

    Returns the ids of both. What was deleted is stopped, too, since that can be undone, but not told.
    """
    file = home.root / DATABASE
    Store(home, sqlite_url(file)).close()  # which brings it up to date
    engine, now = tables.engine(sqlite_url(file)), time.time()
    note, awake = Note(level="warning", message=message(CAME_BACK)), jobs.c.state.not_in(ENDED)
    last = sa.select(sa.func.max(events.c.number)).where(events.c.job == jobs.c.id).scalar_subquery()
    try:
        with engine.begin() as connection:
            shown = sa.select(jobs.c.id).where(awake, jobs.c.deleted.is_(None)).order_by(jobs.c.created)
            stopped = connection.scalars(shown).all()
            connection.execute(sa.insert(events).from_select(list(events.c.keys()), sa.select(
                jobs.c.id, sa.func.coalesce(last, 0) + 1, sa.literal(now), sa.literal(note.type), sa.literal(to_json(note)),
            ).where(awake)))
            connection.execute(sa.update(jobs).where(awake).values(
                state="stopped", ended=now, pid=None, worker=None, heartbeat=None, stop=None))
            open_ = sa.false() if keep_demos else demos.c.ended.is_(None)
            ended = connection.scalars(sa.select(demos.c.id).where(open_)).all()
            connection.execute(sa.update(demos).where(open_).values(ended=now))
    finally:
        engine.dispose()
        tables.one_file(file)
    return list(stopped), list(ended)


def _check(shelf: Shelf, head: Head, entries: list[Entry], tell: Callable[[Progressed], None]) -> None:
    with shelf.checked(head.database, None):
        tables.examine(shelf.object(head.database), shelf.root)
    sizes = {entry.sha256: entry.bytes for entry in entries}
    for number, (sha256, size) in enumerate(sizes.items()):
        if number % 100 == 0:
            tell(Progressed(stage="checking_backup", done=number, total=len(sizes)))
        with shelf.checked(sha256, size):
            pass
