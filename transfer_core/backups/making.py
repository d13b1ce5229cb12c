"""Make a backup while the studio works."""

from __future__ import annotations

import errno
import os
import re
import stat
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path

from transfer_core.backups import tables
from transfer_core.backups.shelf import FILES, FOLDERS, HEAD, MARK, MOST_FILES, OBJECTS, Entry, Head, Shelf, as_line
from transfer_core.datasets.garbage import holding_images
from transfer_core.errors import BadInput, Busy, NotFound, Unavailable
from transfer_core.events import Progressed
from transfer_core.paths import Home, studio_version, taking

ROUNDS = 5
"""Times the database is copied again because a job ended while files were copied; later rounds copy what is new only."""
LOCK = ".lock"
_SHA256 = re.compile(r"[0-9a-f]{64}")
_NAMED = re.compile(rb'"sha256": "([0-9a-f]{64})"')


@dataclass
class Made:
    folder: str
    files: int = 0
    bytes: int = 0
    copied: int = 0
    """Files that were not in this backup yet."""
    copied_bytes: int = 0
    rounds: int = 0
    went_on: bool = False
    """Whether an earlier backup into this folder had not ended."""
    missing: list[str] = field(default_factory=list)
    """Files that the database names and the home does not have: they were lost before."""
    damaged: list[str] = field(default_factory=list)
    """Photos whose bytes are no longer what they were at the import: their name is their hash."""
    skipped: list[str] = field(default_factory=list)
    """Links and the like, which are not followed."""
    seconds: float = 0.0


def backup(home: Home, url: str, folder: Path, tell: Callable[[Progressed], None] = lambda _: None) -> Made:
    """Copy what people made into `folder`, only what is new when a backup is there already.

    The database first and the files after it: a file is written before the database names it, and replaced whole. When a job
    has ended meanwhile, its files are newer than the database's word on it, so both are copied once more.
    Raises `BadInput`, `Busy("backup_busy")`, `NotFound("nothing_to_back_up")`, `Unavailable("backup_no_room")`.
    """
    began, folder = time.monotonic(), folder.expanduser().resolve()
    if not home.root.is_dir():  # a misspelt name: asked for its folders, a home would make them
        raise NotFound("nothing_to_back_up", folder=str(home.root))
    _check_place(home, folder)
    try:
        with _alone(folder), _images_stay(home), tempfile.TemporaryDirectory(dir=folder, prefix=".database-") as place:
            shelf = Shelf(folder)
            made = Made(str(folder), went_on=shelf.mark.exists())
            known = _known(shelf)
            database = Path(place) / "0.db"
            tables.snapshot(url, database)  # before anything is marked: an address that does not answer changes nothing
            shelf.mark.touch()
            for made.rounds in range(1, ROUNDS + 1):
                entries = _copy_files(home, shelf, known, made, tell)
                known = entries
                later = Path(place) / f"{made.rounds}.db"
                tables.snapshot(url, later)
                if tables.states(later) == tables.states(database) or made.rounds == ROUNDS:
                    break  # with the earlier one: every file it names was there when files were copied
                database = later
            _end(shelf, database, entries, made)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise Unavailable("backup_no_room", folder=str(folder)) from error
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR):
            raise BadInput("backup_not_writable", folder=str(folder)) from error
        raise
    made.seconds = round(time.monotonic() - began, 2)
    return made


def _check_place(home: Home, folder: Path) -> None:
    if folder == home.root or home.root in folder.parents:
        raise BadInput("backup_inside_home", folder=str(folder))
    if folder.exists() and not folder.is_dir():
        raise BadInput("backup_not_writable", folder=str(folder))
    ours = {HEAD, MARK, OBJECTS, LOCK}
    if folder.is_dir() and not (names := {file.name for file in folder.iterdir()}) <= ours and not names & {HEAD, MARK}:
        raise BadInput("backup_folder_taken", folder=str(folder))


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """One backup at a time into one folder. The lock is the file system's: it ends with its process."""
    with taking(folder / LOCK) as alone:
        if not alone:
            raise Busy("backup_busy", folder=str(folder))
        for left in folder.glob(".database-*"):  # of one that was killed
            with suppress(OSError):
                for file in left.iterdir():
                    file.unlink()
                left.rmdir()
        yield


@contextmanager
def _images_stay(home: Home) -> Iterator[None]:
    """No image that nobody names is collected meanwhile; a home that cannot be written to needs no such lock."""
    try:
        with holding_images(home):
            yield
    except PermissionError:
        yield


def _known(shelf: Shelf) -> dict[str, Entry]:
    try:
        head = shelf.head()
        return {entry.path: entry for entry in shelf.entries(head)} if head else {}
    except BadInput:  # whatever is wrong with the last one: this one is made from the home alone
        return {}


def _copy_files(home: Home, shelf: Shelf, known: dict[str, Entry], made: Made,
                tell: Callable[[Progressed], None]) -> dict[str, Entry]:
    found = sorted(_files(home, made))
    if len(found) > MOST_FILES:
        raise BadInput("backup_too_many", count=len(found), most=MOST_FILES)
    entries: dict[str, Entry] = {}
    for number, (path, file) in enumerate(found):
        if number % 100 == 0:
            tell(Progressed(stage="copying", done=number, total=len(found)))
        with suppress(FileNotFoundError):  # a run was thrown away meanwhile
            entries[path] = _copy(path, file, shelf, known.get(path), made)
    tell(Progressed(stage="copying", done=len(found), total=len(found)))
    return entries


def _files(home: Home, made: Made) -> Iterator[tuple[str, Path]]:
    """(path in the home, file). A folder of the home may itself be a link to a larger disk; links inside are not followed."""
    made.skipped = []
    for top in (each.root / folder for each in (home, *home.people()) for folder in FOLDERS):
        for place, folders, files in os.walk(top):
            inside = Path(place).relative_to(home.root).as_posix()
            made.skipped += [f"{inside}/{name}" for name in folders if (Path(place) / name).is_symlink()]
            for name in files:
                if name.startswith(".") and name.endswith(".part"):
                    continue
                file = Path(place) / name
                with suppress(FileNotFoundError):
                    if stat.S_ISREG(file.lstat().st_mode):
                        yield f"{inside}/{name}", file
                    else:
                        made.skipped.append(f"{inside}/{name}")
    for file in (home.root / name for name in FILES):
        if file.is_file() and not file.is_symlink():
            yield file.name, file


def _copy(path: str, file: Path, shelf: Shelf, known: Entry | None, made: Made) -> Entry:
    with file.open("rb") as source:
        # Of the open file: who replaces it gives the name to another one. A log that grows is taken as long as it was.
        facts = os.fstat(source.fileno())
        same = known and (known.bytes, known.mtime, known.ctime) == (facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns)
        if same and shelf.has(known.sha256, known.bytes):
            return known
        sha256, size = shelf.put(source, facts.st_size)
    made.copied += 1
    made.copied_bytes += size
    if file.parent.parent.name == "images" and _SHA256.fullmatch(file.name) and sha256 != file.name and path not in made.damaged:
        made.damaged.append(path)
    return Entry(path, sha256, size, facts.st_mtime_ns, facts.st_ctime_ns)


def _end(shelf: Shelf, database: Path, entries: dict[str, Entry], made: Made) -> None:
    made.missing = _missing(shelf, database, entries)
    with database.open("rb") as source:
        kept, size = shelf.put(source)
    listed, _ = shelf.put(BytesIO(b"".join(map(as_line, entries.values()))))
    made.files, made.bytes = len(entries), size + sum(entry.bytes for entry in entries.values())
    shelf.end(Head(created=time.time(), studio=studio_version(), schema=tables.schema_of(database), database=kept, list=listed,
                   files=made.files, bytes=made.bytes), entries.values())


def _missing(shelf: Shelf, database: Path, entries: dict[str, Entry]) -> list[str]:
    missing: set[str] = set()
    for manifest in tables.named_files(database):
        if manifest not in entries:
            missing.add(manifest)
            continue
        with shelf.object(entries[manifest].sha256).open("rb") as lines:
            for sha256 in {found.decode() for line in lines for found in _NAMED.findall(line)}:
                image = f"{manifest.split('datasets/')[0]}images/{sha256[:2]}/{sha256}"
                if image not in entries:
                    missing.add(image)
    return sorted(missing)
