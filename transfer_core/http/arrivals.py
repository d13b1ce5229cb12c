"""What has arrived of one upload: its index on disk, which is the truth, and the same in memory.

Several web servers may take in files of one upload. Whoever writes holds a lock on the index, and first reads what others wrote.
"""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from starlette.concurrency import run_in_threadpool

from transfer_core.http.bodies import Body, Part
from transfer_core.paths import replacing

INDEX = "index.jsonl"


@dataclass
class Upload:
    folder: Path
    entries: dict[str, tuple[int, int]]
    """Path → (number, bytes)."""
    next: int
    bytes: int
    """Of the files in the index."""
    arriving: int = 0
    """Bytes of requests that are under way, so that requests side by side cannot overrun a limit together."""
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    users: int = 0
    """Requests that hold this object. Two objects of one upload would give two files the same number."""
    used: float = field(default_factory=time.monotonic)
    seen: tuple[int, int, int] = (0, 0, 0)
    """Of the index on disk when it was last read or written (`_mark`)."""

    @classmethod
    def open(cls, folder: Path) -> Upload:
        upload = cls(folder, {}, 0, 0)
        with upload._alone():
            upload._read()
        return upload

    def look(self) -> None:
        """Take in what another server has written, if anything."""
        if _mark(self.folder / INDEX) != self.seen:
            with self._alone():
                self._read()

    def _read(self) -> None:
        index = self.folder / INDEX
        text = index.read_bytes()
        whole = text.rfind(b"\n") + 1
        if whole < len(text):  # a server died while it wrote: cut the torn line off, the next one must not grow on it
            os.truncate(index, whole)
        self.entries = {line["path"]: (line["n"], line["bytes"]) for line in map(json.loads, text[:whole].splitlines())}
        self.next = 1 + max((number for number, _ in self.entries.values()), default=-1)
        self.bytes = sum(size for _, size in self.entries.values())
        self.seen = _mark(index)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Nobody else writes the index meanwhile, in this process or another."""
        index = self.folder / INDEX
        while True:
            with index.open("rb") as held:
                fcntl.flock(held, fcntl.LOCK_EX)
                if os.fstat(held.fileno()).st_ino == index.stat().st_ino:  # else another one was put in its place
                    yield
                    return

    @contextmanager
    def in_use(self) -> Iterator[None]:
        self.users += 1
        try:
            yield
        finally:
            self.users -= 1
            self.used = time.monotonic()

    def count(self, body: Body, more: int) -> None:
        self.arriving += more
        body.counted += more

    def forget(self, body: Body) -> None:
        """What a request counted is settled, or did not come."""
        self.count(body, -body.counted)

    async def add(self, body: Body, parts: Sequence[Part]) -> None:
        """Give arrived files their numbers and their lines. The same path again (a retry) replaces the bytes."""
        async with self.lock:
            # Only what was written is counted: after a failure (a full disk) the retry has to write its lines, too.
            added, seen = await run_in_threadpool(self._write, parts)
            self.bytes += sum(size - self.entries.get(path, (0, 0))[1] for path, (_, size) in added.items())
            self.entries |= added
            self.next = max([self.next, *(number + 1 for number, _ in added.values())])
            self.seen = seen
            self.forget(body)

    def _write(self, parts: Sequence[Part]) -> tuple[dict[str, tuple[int, int]], tuple[int, int, int]]:
        with self._alone():
            if _mark(self.folder / INDEX) != self.seen:
                self._read()
            return self._enter(parts), _mark(self.folder / INDEX)

    def _enter(self, parts: Sequence[Part]) -> dict[str, tuple[int, int]]:
        added: dict[str, tuple[int, int]] = {}
        free = self.next
        for part in parts:
            known = self.entries.get(part.path) or added.get(part.path)
            number = known[0] if known else free
            free += known is None
            part.file.replace(self.folder / str(number))
            added[part.path] = (number, part.size)
        self._index(added)
        return added

    def _index(self, added: dict[str, tuple[int, int]]) -> None:
        index = self.folder / INDEX
        if any(self.entries.get(path, entry) != entry for path, entry in added.items()):
            with replacing(index, lasting=False) as rewritten:
                rewritten.write_text(_lines(self.entries | added), "utf-8")
            return
        before = index.stat().st_size
        try:
            with index.open("a", encoding="utf-8") as lines:
                lines.write(_lines({path: entry for path, entry in added.items() if path not in self.entries}))
        except BaseException:
            os.truncate(index, before)  # half a line would spoil the next one
            raise


def _mark(index: Path) -> tuple[int, int, int]:
    """Changes with whatever is written."""
    found = index.stat()
    return found.st_ino, found.st_size, found.st_mtime_ns


def _lines(entries: dict[str, tuple[int, int]]) -> str:
    return "".join(json.dumps({"n": number, "path": path, "bytes": size}) + "\n" for path, (number, size) in entries.items())
