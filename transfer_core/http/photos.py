"""Photos in the body of one request: as a form, as base64 in JSON, or as the body itself. They go to files under numbers."""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
import shutil
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import BinaryIO

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request

from transfer_core.errors import BadInput

MB = 1_000_000
MOST = 16
"""Photos of one request."""
LARGEST = 25 * MB
"""Bytes of one photo."""
WHOLE = 40 * MB
"""Bytes of a body."""
_LONGEST_NAME = 200
_IN_MEMORY = 64_000
"""Bytes of a form's part that are kept in memory: sixty requests may be under way."""
_END = 100
"""Bytes of a form's end that are looked at: its last boundary is followed by `--` (RFC 2046, section 5.1.1), maybe by spaces."""
_SIGNS = 500
"""Commas and brackets in a body of JSON; sixteen photos with their names need a hundred."""
_decoding = asyncio.Semaphore(2)
"""A body of JSON takes its size several times while it is read."""


async def receive(request: Request, folder: Path) -> list[str]:
    """Write the photos of a request to `folder/0`, `folder/1`, …; returns their names. Memory stays flat: bodies lie on disk.

    Raises `BadInput`: `body_too_big photo_too_big too_many_photos no_photos bad_body body_cut_off bad_body_type bad_base64`.
    """
    declared = request.headers.get("content-length", "")
    if declared.isdigit() and int(declared) > WHOLE:
        raise BadInput("body_too_big", megabytes=WHOLE // MB)
    kind = request.headers.get("content-type", "").split(";")[0].strip().lower()
    if kind == "multipart/form-data":
        names = await _form(request, folder)
    elif kind == "application/json":
        body = await _body(request, folder)
        async with _decoding:
            names = await run_in_threadpool(_from_json, body, folder)
    elif kind.startswith("image/") or kind == "application/octet-stream":
        (await _body(request, folder)).rename(folder / "0")
        names = ["photo"]
    else:
        raise BadInput("bad_body_type", given=kind[:80] or "–")
    files = [folder / str(number) for number in range(len(names))]
    if not any(file.stat().st_size for file in files):
        raise BadInput("no_photos")
    if any(file.stat().st_size > LARGEST for file in files):
        raise BadInput("photo_too_big", megabytes=LARGEST // MB)
    return [_readable(name) for name in names]


async def _body(request: Request, folder: Path) -> Path:
    file = folder / "body"
    with file.open("wb") as out:
        async for chunk in _limited(request):
            await run_in_threadpool(out.write, chunk)
    return file


async def _form(request: Request, folder: Path) -> list[str]:
    """Every file of the form, whatever its field is called. What is larger than `_IN_MEMORY` lies on disk meanwhile."""
    end = bytearray()
    parser = MultiPartParser(request.headers, _limited(request, end), max_files=MOST, max_fields=4, max_part_size=_IN_MEMORY)
    parser.spool_max_size = _IN_MEMORY
    try:
        form = await parser.parse()
    except (MultiPartException, KeyError) as error:  # KeyError: a form without a boundary
        if "many files" in str(getattr(error, "message", error)).lower():
            raise BadInput("too_many_photos", most=MOST) from error
        raise BadInput("bad_body") from error
    try:
        if not end.rstrip().endswith(b"--"):  # the parser says nothing of a part without its end, and leaves it out
            raise BadInput("body_cut_off")
        parts = [part for _, part in form.multi_items() if isinstance(part, UploadFile)]
        for number, part in enumerate(parts):
            await run_in_threadpool(_copy, part.file, folder / str(number))
        return [part.filename or "photo" for part in parts]
    finally:
        await form.close()


def _copy(part: BinaryIO, file: Path) -> None:
    with file.open("wb") as out:
        shutil.copyfileobj(part, out)


async def _limited(request: Request, end: bytearray | None = None) -> AsyncGenerator[bytes, None]:
    """The request's body as it arrives, until it is too much: what was declared is a hint only. `end` holds its last bytes."""
    count = 0
    async for chunk in request.stream():
        count += len(chunk)
        if count > WHOLE:
            raise BadInput("body_too_big", megabytes=WHOLE // MB)
        if end is not None:
            end[:] = (end + chunk[-_END:])[-_END:]
        yield chunk


def _from_json(body: Path, folder: Path) -> list[str]:
    """`{"image": base64}` or `{"images": [base64, …]}`; each may be a data URL, or `{"name", "data"}`."""
    text = body.read_bytes()
    # Base64 holds none of these signs. Millions of empty lists would keep the whole process busy for seconds.
    if sum(map(text.count, (b",", b"[", b"{"))) > _SIGNS:
        raise BadInput("bad_body")
    try:
        given = json.loads(text)
    except (ValueError, RecursionError):
        raise BadInput("bad_body") from None
    images = given.get("images", [given["image"]] if "image" in given else None) if isinstance(given, dict) else None
    if not isinstance(images, list):
        raise BadInput("no_photos")
    if len(images) > MOST:
        raise BadInput("too_many_photos", most=MOST)
    names = []
    for number, image in enumerate(images):
        name, text = (image.get("name"), image.get("data")) if isinstance(image, dict) else (None, image)
        if not isinstance(text, str):
            raise BadInput("bad_body")
        try:
            data = base64.b64decode(text.partition(",")[2] if text.startswith("data:") else text, validate=True)
        except (binascii.Error, ValueError):
            raise BadInput("bad_base64", number=number + 1) from None
        (folder / str(number)).write_bytes(data)
        names.append(name if isinstance(name, str) and name else str(number + 1))
    return names


def _readable(name: str) -> str:
    """A name for the answer; never a path. Half a surrogate could not be written into an answer."""
    return name.encode("utf-8", "replace").decode()[:_LONGEST_NAME]
