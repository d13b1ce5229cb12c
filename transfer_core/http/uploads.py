"""Uploads: streamed to disk under numbers, so that a stranger's file names are data and never paths.

`uploads/<id>/<n>` holds the bytes of file number n, `uploads/<id>/index.jsonl` says what each was called:
`{"n": 0, "path": "hat/a.jpg", "bytes": 123}`. A file is in the index exactly when all of it has arrived.
"""

from __future__ import annotations

import logging
import os
import re
import secrets
import shutil
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from transfer_core import depot
from transfer_core.depot.tidying import remove
from transfer_core.errors import BadInput, Busy, NotFound, Unavailable
from transfer_core.http.arrivals import Upload
from transfer_core.http.bodies import Body, Bundle, Part, Single, named
from transfer_core.http.errors import plainly
from transfer_core.http.people import Door
from transfer_core.paths import Home
from transfer_core.people import check_room
from transfer_core.settings import settings

log = logging.getLogger(__name__)
GB = 1_000_000_000
RESERVE = GB // 2
"""Free disk that uploads leave alone: a full disk would take the database along."""
BUFFER = 1_000_000
"""Bytes gathered before they are written: small files need one hop to a thread, memory stays flat."""
IDLE = 600.0
"""Seconds without a request after which an upload is no longer kept in memory: 30,000 names are 10 MB."""
KEPT = 86_400.0
"""Seconds after which an upload nobody imported is removed."""
MOST_OPEN = 1000
"""Uploads of one person that may lie there. Empty ones take no byte of what a person may keep, but places in the disk's table."""
_ID = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True)
class Limits:
    """Per upload. Settings `max_upload` and `max_files`."""

    bytes: int
    files: int

    @classmethod
    def default(cls) -> Limits:
        now = settings()
        return cls(now.max_upload, now.max_files)


def routes(door: Door) -> list[BaseRoute]:
    desk = Desk(door, Limits.default())
    return [
        Route("/api/uploads", plainly(desk.create), methods=["POST"]),
        Route("/api/uploads/{upload}", plainly(desk.put), methods=["PUT"]),
        Route("/api/uploads/{upload}/files", plainly(desk.put_many), methods=["POST"]),
        Route("/api/uploads/{upload}", plainly(desk.get), methods=["GET"]),
    ]


class Desk:
    """Takes uploads in. One in each web process."""

    def __init__(self, door: Door, limits: Limits) -> None:
        self.door, self.limits = door, limits
        self._open: dict[Path, Upload] = {}

    async def create(self, request: Request) -> Response:
        store = self.door.store(request)
        await run_in_threadpool(store.touch)
        if store.person is not None and len(await run_in_threadpool(os.listdir, store.home.uploads)) >= MOST_OPEN:
            raise Busy("too_many_uploads", most=MOST_OPEN)
        name = secrets.token_hex(16)
        folder = store.home.uploads / name
        folder.mkdir()
        (folder / "index.jsonl").touch()
        return JSONResponse({"upload": name}, 201)

    async def get(self, request: Request) -> Response:
        return _told(self._find(request))

    async def put(self, request: Request) -> Response:
        upload = self._find(request)
        path = named(request.query_params.get("path", ""))
        self._admit(upload, [path])
        return await self._take(request, upload, Single(upload.folder, path))

    async def put_many(self, request: Request) -> Response:
        upload = self._find(request)
        return await self._take(request, upload, Bundle(upload.folder, partial(self._admit, upload)))

    async def _take(self, request: Request, upload: Upload, body: Body) -> Response:
        """Receive a request's body and enter its files into the index: all of them, or none."""
        with upload.in_use():
            try:
                declared = request.headers.get("content-length", "0")
                await self._check_room(request, upload, int(declared) if declared.isdigit() else 0)
                parts = await self._receive(request, upload, body)
                self._admit(upload, [part.path for part in parts])  # others may have filled it meanwhile
                await upload.add(body, parts)
                if depot.is_on():
                    await run_in_threadpool(_push_ahead, self.door.store(request).home, upload.folder.name)
            except ClientDisconnect:
                return Response(status_code=499)
            finally:
                upload.forget(body)
                await run_in_threadpool(body.discard)
        return _told(upload)

    async def _receive(self, request: Request, upload: Upload, body: Body) -> list[Part]:
        """Write the request's body to disk. What was declared is a hint, what arrives counts."""
        buffer = bytearray()
        async for chunk in request.stream():
            upload.count(body, len(chunk))
            buffer += chunk
            if len(buffer) >= BUFFER:
                await self._check_room(request, upload)
                await run_in_threadpool(body.write, bytes(buffer))
                buffer.clear()
        await self._check_room(request, upload)
        return await run_in_threadpool(_end, body, bytes(buffer))

    def _find(self, request: Request) -> Upload:
        self._let_go()
        name = request.path_params["upload"]
        if not _ID.fullmatch(name):
            raise NotFound("no_upload")
        folder = self.door.store(request).home.at("uploads", name)
        if not (folder / "index.jsonl").is_file():
            self._open.pop(folder, None)
            raise NotFound("no_upload")
        if folder not in self._open:
            self._open[folder] = Upload.open(folder)
        self._open[folder].look()
        return self._open[folder]

    def _let_go(self) -> None:
        """Forget uploads nobody sends to any more; whoever does again finds the index on disk."""
        limit = time.monotonic() - IDLE
        for name in [name for name, upload in self._open.items() if not upload.users and upload.used < limit]:
            del self._open[name]

    def _admit(self, upload: Upload, paths: Sequence[str]) -> None:
        if len(upload.entries) + len(set(paths) - upload.entries.keys()) > self.limits.files:
            raise BadInput("upload_too_many", limit=self.limits.files)

    async def _check_room(self, request: Request, upload: Upload, more: int = 0) -> None:
        if upload.bytes + upload.arriving + more > self.limits.bytes:
            raise BadInput("upload_too_big", gigabytes=f"{self.limits.bytes / GB:g}")
        store = self.door.store(request)
        if shutil.disk_usage(upload.folder).free - more < RESERVE:
            raise Unavailable("disk_full", folder=store.home.told(store.home.shared))
        await run_in_threadpool(check_room, store, more)  # what has arrived lies on the disk, and is counted there


def _told(upload: Upload) -> JSONResponse:
    return JSONResponse({"files": len(upload.entries), "bytes": upload.bytes})


def _push_ahead(home: Home, upload: str) -> None:
    """What has arrived, while more does: then the job that is to read it need not wait for all of it to be pushed."""
    from transfer_core.depot.folders import Folder
    from transfer_core.depot.place import patience

    try:
        with patience(0):
            Folder(home, f"uploads/{upload}").push(commit=False)
    except (Unavailable, OSError):
        log.warning("an upload could not be pushed ahead")  # its job pushes it, or says why not


def _end(body: Body, rest: bytes) -> list[Part]:
    if rest:
        body.write(rest)
    return body.finish()


def sweep(home: Home, now: float | None = None, busy: frozenset[str] = frozenset()) -> list[str]:
    """Remove uploads in which nothing has happened for a day, unless a job still needs them; returns their ids."""
    limit = (now or time.time()) - KEPT
    removed = []
    uploads = home.at("uploads")  # and not `home.uploads`: nothing is to be made for somebody who has just left
    for folder in uploads.iterdir() if uploads.is_dir() else ():
        with suppress(FileNotFoundError):  # imported meanwhile
            if folder.name not in busy and folder.stat().st_mtime < limit:
                remove(home, "uploads", folder.name)
                removed.append(folder.name)
    for picture in (home.root / "jobs").glob("*/heat-*.webp"):  # whatever was tried is gone after a day, and what was drawn of it
        if picture.stat().st_mtime < limit:
            picture.unlink(missing_ok=True)
    return removed
