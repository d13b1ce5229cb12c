"""The folder of a backup: objects by their hash, and the one file that says which of them belong together."""

from __future__ import annotations

import hashlib
import json
import os
import re
import secrets
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO

from transfer_core.errors import BadInput
from transfer_core.paths import PEOPLE, PERSON, write_json

FOLDERS = ("datasets", "images", "thumbnails", "weights", "runs", "demos", "jobs")
"""Of the home. Not the cache, which can be computed again, nor uploads, which are about to be imported."""
FILES = ("secret",)
"""Of the home: what the names of people without accounts are signed with. Without it nobody comes back to what is theirs."""
TOPS = frozenset((*FOLDERS, *FILES, PEOPLE))
"""All that a backup puts into a home. `people` holds homes of their own, of which the same folders are kept."""
FORMAT = 1
HEAD, MARK, OBJECTS = "backup.json", "unfinished", "objects"
CHUNK = 1 << 20
_SHA256 = re.compile(r"[0-9a-f]{64}")
MOST_FILES = 10_000_000
"""That a backup holds. Each takes some 500 bytes of memory while it is made or comes back."""
_LONGEST_PATH, _LARGEST_HEAD = 1000, 1_000_000
_LONGEST_LINE = 16_384
"""Bytes of a line of the list: a path that a file system allows, and two hundred for the rest of it."""
_LATEST, _LARGEST = 1e11, 2 ** 63
"""Seconds that still are a date, and what a file system's numbers stay below."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One file of the home."""

    path: str
    """Inside the home, with slashes."""
    sha256: str
    bytes: int
    mtime: int
    """Nanoseconds."""
    ctime: int = 0
    """Nanoseconds; changes with whatever changes. Both and the size unchanged: the file is."""


@dataclass(frozen=True)
class Head:
    """`backup.json`."""

    created: float
    studio: str
    schema: int
    """Number of the last migration the database has seen."""
    database: str
    """SHA-256 of the database, an SQLite file, whatever the studio keeps it in."""
    list: str
    """SHA-256 of the list of files: one JSON object a line, as `Entry`."""
    files: int
    bytes: int
    format: int = FORMAT


class Shelf:
    def __init__(self, root: Path) -> None:
        self.root = root
        self.mark = root / MARK

    def object(self, sha256: str) -> Path:
        return self.root / OBJECTS / sha256[:2] / sha256

    def has(self, sha256: str, size: int) -> bool:
        try:
            return self.object(sha256).stat().st_size == size
        except OSError:
            return False

    def put(self, source: BinaryIO, size: int | None = None) -> tuple[str, int]:
        """Store bytes, at most `size` of them; gives their hash and how many they were."""
        folder = self.root / OBJECTS
        folder.mkdir(parents=True, exist_ok=True)
        part = folder / f".{secrets.token_hex(8)}.part"
        digest, count = hashlib.sha256(), 0
        try:
            with part.open("wb") as copy:
                while chunk := source.read(CHUNK if size is None else min(CHUNK, size - count)):
                    digest.update(chunk)
                    copy.write(chunk)
                    count += len(chunk)
            final = self.object(digest.hexdigest())
            final.parent.mkdir(exist_ok=True)
            part.replace(final)
        finally:
            part.unlink(missing_ok=True)
        return digest.hexdigest(), count

    def head(self) -> Head | None:
        """None where there is none. Raises `BadInput("backup_damaged")` for one that cannot be read."""
        try:
            with opened(self.root / HEAD) as file:
                told = json.loads(file.read(_LARGEST_HEAD))
            head = Head(**{name: told[name] for name in Head.__dataclass_fields__})
        except FileNotFoundError:
            return None
        except (OSError, ValueError, TypeError, KeyError, RecursionError):
            raise damaged(self.root, HEAD) from None
        kinds = {"created": int | float, "studio": str, "schema": int, "database": str, "list": str, "files": int, "bytes": int,
                 "format": int}
        if not all(isinstance(getattr(head, name), kind) for name, kind in kinds.items()) or not (
                _SHA256.fullmatch(head.database) and _SHA256.fullmatch(head.list) and 0 <= head.created < _LATEST
                and 0 <= head.files <= MOST_FILES and 0 <= head.bytes < _LARGEST):
            raise damaged(self.root, HEAD)
        return head

    def end(self, head: Head, entries: Iterable[Entry]) -> None:
        """Make this the backup that the folder holds, and remove what it does not need."""
        if hasattr(os, "sync"):
            os.sync()  # a name must not outlive its bytes when the power goes
        write_json(self.root / HEAD, asdict(head))
        needed = {head.database, head.list, *(entry.sha256 for entry in entries)}
        for file in (self.root / OBJECTS).glob("*"):
            if file.suffix == ".part":
                file.unlink(missing_ok=True)
        for file in (self.root / OBJECTS).glob("??/*"):
            if file.name not in needed:
                file.unlink(missing_ok=True)
        self.mark.unlink(missing_ok=True)

    def entries(self, head: Head) -> list[Entry]:
        """The list of files, each name checked: none can lead out of the home. No more are read than the head says there are.

        Raises `BadInput`: `backup_damaged backup_bad_path`.
        """
        found: list[Entry] = []
        for line in self._lines(head):
            if len(found) == head.files:
                raise damaged(self.root, HEAD)
            found.append(self._entry(line))
        return found

    def _lines(self, head: Head) -> Iterator[bytes]:
        with self.checked(head.list, None) as file:
            while line := file.readline(_LONGEST_LINE + 1):  # a line without an end would fill the memory
                if len(line) > _LONGEST_LINE:
                    raise damaged(self.root, "objects")
                yield line

    def _entry(self, line: bytes) -> Entry:
        try:
            entry = Entry(**json.loads(line))
            sound = (isinstance(entry.path, str) and all(type(number) is int and 0 <= number < _LARGEST for number in (
                entry.bytes, entry.mtime, entry.ctime)) and _SHA256.fullmatch(entry.sha256))
        except (ValueError, TypeError, RecursionError):
            sound = False
        if not sound:
            raise damaged(self.root, "objects")
        if not inside(entry.path):
            raise BadInput("backup_bad_path", path=ascii(entry.path[:200]))
        return entry

    @contextmanager
    def checked(self, sha256: str, size: int | None) -> Iterator[BinaryIO]:
        """An object, after its bytes were found to be what its name says. Raises `BadInput("backup_damaged")`."""
        try:
            with opened(self._real(sha256)) as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
                if digest != sha256 or size not in (None, file.tell()):
                    raise damaged(self.root, sha256)
                file.seek(0)
                yield file
        except FileNotFoundError:
            raise damaged(self.root, sha256) from None

    def _real(self, sha256: str) -> Path:
        """Its path; no part of it below the backup's folder may be a link to somewhere else."""
        path = self.object(sha256)
        if path.parent.is_symlink() or path.parent.parent.is_symlink():
            raise damaged(self.root, sha256)
        return path


def inside(path: str) -> bool:
    """Whether a path of the list is a plain one, in a folder that backups hold."""
    parts = path.split("/")
    own = parts[2:] if parts[0] == PEOPLE and len(parts) > 2 and PERSON.fullmatch(parts[1]) else parts
    return ((path in FILES or (len(own) > 1 and own[0] in FOLDERS)) and len(path) <= _LONGEST_PATH and "\\" not in path
            and all(part not in ("", ".", "..") and len(part.encode("utf-8", "replace")) < 256 for part in parts)
            and all(sign.isprintable() for sign in path))


@contextmanager
def opened(path: Path) -> Iterator[BinaryIO]:
    """A plain file, for reading; a link or a device is none, and counts as missing."""
    try:
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))
    except OSError as error:
        raise FileNotFoundError(path) from error
    with os.fdopen(handle, "rb") as file:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise FileNotFoundError(path)
        yield file


def as_line(entry: Entry) -> bytes:
    return json.dumps(asdict(entry), ensure_ascii=False).encode() + b"\n"


def damaged(root: Path, file: Any) -> BadInput:
    return BadInput("backup_damaged", folder=str(root), file=str(file))
