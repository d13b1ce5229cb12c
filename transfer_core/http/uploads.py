"""Uploads: streamed to disk under numbers, so that a stranger's file names are data and never paths.

`uploads/<id>/<n>` holds the bytes of file number n, `uploads/<id>/index.jsonl` says what each was called:
`{"n": 0, "path": "hat/a.jpg", "bytes": 123}`. A file is in the index exactly when all of it has arrived.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import secrets
import shutil
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from transfer_core.errors import BadInput, NotFound, Unavailable
from transfer_core.http.errors import plainly
from transfer_core.paths import Home, replacing
from transfer_core.store import Store

GB = 1_000_000_000
RESERVE = GB // 2
"""Free disk that uploads leave alone: a full disk would take the database along."""
BUFFER = 1_000_000
"""Bytes gathered before they are written: small files need one hop to a thread, memory stays flat."""
LONGEST_PATH = 1000
KEPT = 86_400.0
"""Seconds after which an upload nobody imported is removed."""
_ID = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True)
class Limits:
    """Per upload. Set by `TRANSFER_STUDIO_MAX_UPLOAD` (bytes) and `TRANSFER_STUDIO_MAX_FILES`."""

    bytes: int = 10 * GB
    files: int = 50_000

    @classmethod
    def default(cls) -> Limits:
        return cls(int(os.environ.get("TRANSFER_STUDIO_MAX_UPLOAD", cls.bytes)),
                   int(os.environ.get("TRANSFER_STUDIO_MAX_FILES", cls.files)))


@dataclass
class Upload:
    """What has arrived of one upload, kept in memory beside its index, which is the truth."""

    folder: Path
    entries: dict[str, tuple[int, int]]
    """Path → (number, bytes)."""
    next: int
    bytes: int
    """Of all files here, those still arriving included."""
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    @classmethod
    def open(cls, folder: Path) -> Upload:
        index = folder / "index.jsonl"
        text = index.read_bytes()
        whole = text.rfind(b"\n") + 1
        if whole < len(text):  # the server died while it wrote: cut the torn line off, the next one must not grow on it
            os.truncate(index, whole)
        entries = {line["path"]: (line["n"], line["bytes"]) for line in map(json.loads, text[:whole].splitlines())}
        numbers, sizes = [number for number, _ in entries.values()], [size for _, size in entries.values()]
        return cls(folder, entries, 1 + max(numbers, default=-1), sum(sizes))

    async def add(self, part: Path, path: str, size: int) -> None:
        """Give an arrived file its number and its line. The same path again (a retry) replaces the bytes."""
        async with self.lock:
            known = self.entries.get(path)
            number = known[0] if known else self.next
            try:
                await run_in_threadpool(self._write, part, number, path, size, known)
            except Exception:
                self.bytes -= size
                raise

    def _write(self, part: Path, number: int, path: str, size: int, known: tuple[int, int] | None) -> None:
        part.replace(self.folder / str(number))
        index = self.folder / "index.jsonl"
        if known is None:
            before = index.stat().st_size
            try:
                with index.open("a", encoding="utf-8") as lines:
                    lines.write(_line(number, path, size))
            except OSError:
                os.truncate(index, before)  # half a line would spoil the next one
                raise
        elif known[1] != size:
            entries = {**self.entries, path: (number, size)}
            with replacing(index) as rewritten:
                rewritten.write_text("".join(_line(n, p, b) for p, (n, b) in entries.items()), "utf-8")
        # Only now: when the write failed (a full disk), the retry has to write its line too.
        self.next = max(self.next, number + 1)
        self.entries[path] = (number, size)
        self.bytes -= known[1] if known else 0


def _line(number: int, path: str, size: int) -> str:
    return json.dumps({"n": number, "path": path, "bytes": size}) + "\n"


def routes(store: Store) -> list[BaseRoute]:
    desk = Desk(store.home, Limits.default())
    return [
        Route("/api/uploads", plainly(desk.create), methods=["POST"]),
        Route("/api/uploads/{upload}", plainly(desk.put), methods=["PUT"]),
        Route("/api/uploads/{upload}", plainly(desk.get), methods=["GET"]),
    ]


class Desk:
    """Takes uploads in. One in each web process."""

    def __init__(self, home: Home, limits: Limits) -> None:
        self.home, self.limits = home, limits
        self._open: dict[str, Upload] = {}

    async def create(self, _request: Request) -> Response:
        name = secrets.token_hex(16)
        folder = self.home.uploads / name
        folder.mkdir()
        (folder / "index.jsonl").touch()
        return JSONResponse({"upload": name}, 201)

    async def get(self, request: Request) -> Response:
        upload = self._find(request)
        return JSONResponse({"files": len(upload.entries), "bytes": upload.bytes})

    async def put(self, request: Request) -> Response:
        upload = self._find(request)
        path = request.query_params.get("path", "")
        if not 0 < len(path) <= LONGEST_PATH or not path.isprintable():
            raise BadInput("bad_upload_path", longest=LONGEST_PATH)
        if path not in upload.entries and len(upload.entries) >= self.limits.files:
            raise BadInput("upload_too_many", limit=self.limits.files)
        declared = request.headers.get("content-length", "0")
        self._check_room(upload, int(declared) if declared.isdigit() else 0)
        part = upload.folder / f"{secrets.token_hex(8)}.part"
        try:
            await upload.add(part, path, await self._receive(request, upload, part))
        except ClientDisconnect:
            return Response(status_code=499)
        finally:
            part.unlink(missing_ok=True)
        return JSONResponse({"files": len(upload.entries), "bytes": upload.bytes})

    def _find(self, request: Request) -> Upload:
        name = request.path_params["upload"]
        folder = self.home.uploads / name
        if not _ID.fullmatch(name) or not (folder / "index.jsonl").is_file():
            self._open.pop(name, None)
            raise NotFound("no_upload")
        if name not in self._open:
            self._open[name] = Upload.open(folder)
        return self._open[name]

    def _check_room(self, upload: Upload, more: int) -> None:
        if upload.bytes + more > self.limits.bytes:
            raise BadInput("upload_too_big", gigabytes=f"{self.limits.bytes / GB:g}")
        if shutil.disk_usage(self.home.uploads).free - more < RESERVE:
            raise Unavailable("disk_full", folder=str(self.home.root))

    async def _receive(self, request: Request, upload: Upload, part: Path) -> int:
        """Write the request's body to `part`; returns its size. What was declared is a hint, what arrives counts."""
        size, buffer = 0, bytearray()
        file: BinaryIO = await run_in_threadpool(part.open, "wb")
        try:
            async for chunk in request.stream():
                size += len(chunk)
                upload.bytes += len(chunk)
                buffer += chunk
                if len(buffer) >= BUFFER:
                    self._check_room(upload, 0)
                    await run_in_threadpool(file.write, bytes(buffer))
                    buffer.clear()
            self._check_room(upload, 0)
            await run_in_threadpool(_finish, file, bytes(buffer))
        except BaseException:
            upload.bytes -= size
            raise
        finally:
            file.close()
        return size


def _finish(file: BinaryIO, rest: bytes) -> None:
    file.write(rest)
    file.close()


def sweep(home: Home, now: float | None = None, busy: frozenset[str] = frozenset()) -> list[str]:
    """Remove uploads in which nothing has happened for a day, unless a job still needs them; returns their ids."""
    limit = (now or time.time()) - KEPT
    removed = []
    for folder in home.uploads.iterdir():
        if folder.name not in busy and folder.stat().st_mtime < limit:
            shutil.rmtree(folder, ignore_errors=True)
            removed.append(folder.name)
    return removed
