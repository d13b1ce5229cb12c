"""Bodies of requests on their way to disk: one file, or many small ones in a row.

Names are data: what is written is called by a random token until it gets its number.
"""

from __future__ import annotations

import json
import secrets
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from transfer_core.errors import BadInput

LONGEST_PATH = 1000
LONGEST_HEAD = 4_000_000
"""Bytes of a bundle's first line."""
MOST_FILES = 1000
"""Of one bundle."""


@dataclass(frozen=True)
class Part:
    """A file that has arrived whole but is in no index yet."""

    file: Path
    path: str
    size: int


def named(path: object) -> str:
    """The name a file was sent under. Raises `BadInput("bad_upload_path")` when it is none.

    What draws nothing (zero-width joiners of emoji, wide spaces) is allowed; control characters and half a surrogate are not.
    """
    is_name = isinstance(path, str) and 0 < len(path) <= LONGEST_PATH
    if not is_name or any(unicodedata.category(character) in ("Cc", "Cs") for character in path):
        raise BadInput("bad_upload_path", longest=LONGEST_PATH)
    return path


class Body:
    """`write` and `finish` do disk work and run in a thread. `discard` is called at the end, come what may."""

    counted = 0
    """Bytes that the upload counts as arriving because of this request."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._name = folder, secrets.token_hex(8)
        self._file: BinaryIO | None = None
        self._opened: list[Path] = []

    def write(self, data: bytes) -> None:
        raise NotImplementedError

    def finish(self) -> list[Part]:
        raise NotImplementedError

    def discard(self) -> None:
        self._close()
        for file in self._opened:
            file.unlink(missing_ok=True)

    def _open(self) -> BinaryIO:
        self._opened.append(self._folder / f"{self._name}-{len(self._opened)}.part")
        self._file = self._opened[-1].open("wb")
        return self._file

    def _close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None


class Single(Body):
    """One file: all of the body."""

    def __init__(self, folder: Path, path: str) -> None:
        super().__init__(folder)
        self._path, self._size = path, 0

    def write(self, data: bytes) -> None:
        (self._file or self._open()).write(data)
        self._size += len(data)

    def finish(self) -> list[Part]:
        if self._file is None:
            self._open()
        self._close()
        return [Part(self._opened[0], self._path, self._size)]


class Bundle(Body):
    """Many files: a line of JSON, `[["hat/a.jpg", 123], …]` (path, bytes), then the bytes of each, without anything between.

    One request for 200 small photos instead of 200: the browser streams them from disk all the same.
    `admit` is given the paths as soon as they are known and may refuse them. Raises `BadInput("bad_bundle")`.
    """

    def __init__(self, folder: Path, admit: Callable[[Sequence[str]], None]) -> None:
        super().__init__(folder)
        self._admit = admit
        self._head = bytearray()
        self._listed: list[tuple[str, int]] | None = None
        self._parts: list[Part] = []
        self._missing = 0

    def write(self, data: bytes) -> None:
        rest = memoryview(data)
        if self._listed is None:
            line, newline, after = data.partition(b"\n")
            self._head += line
            if len(self._head) > LONGEST_HEAD:
                raise BadInput("bad_bundle")
            if not newline:
                return
            self._listed = _listed(bytes(self._head))
            self._admit([path for path, _ in self._listed])
            self._next()
            rest = memoryview(after)
        while rest:
            if self._file is None:  # more than was declared
                raise BadInput("bad_bundle")
            self._file.write(rest[:self._missing])
            taken = min(self._missing, len(rest))
            self._missing, rest = self._missing - taken, rest[taken:]
            if not self._missing:
                self._next()

    def _next(self) -> None:
        """Close the file that is whole and open the next one that has any bytes."""
        self._close()
        while len(self._parts) < len(self._listed) and not self._missing:
            path, self._missing = self._listed[len(self._parts)]
            self._open()
            self._parts.append(Part(self._opened[-1], path, self._missing))
            if not self._missing:
                self._close()

    def finish(self) -> list[Part]:
        if self._listed is None or self._missing:
            raise BadInput("bad_bundle")
        return self._parts


def _listed(head: bytes) -> list[tuple[str, int]]:
    try:
        listed = json.loads(head)
        pairs = [(path, size) for path, size in listed]
    except (ValueError, TypeError, RecursionError):
        raise BadInput("bad_bundle") from None
    sizes_are_sizes = all(type(size) is int and size >= 0 for _, size in pairs)
    if not isinstance(listed, list) or not 0 < len(pairs) <= MOST_FILES or not sizes_are_sizes:
        raise BadInput("bad_bundle")
    return [(named(path), size) for path, size in pairs]
