"""Photos in the body of one request: as a form, as base64 in JSON, or as the body itself. They go to files under numbers."""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
import shutil
from pathlib import Path
from typing import Any, BinaryIO

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException
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
_decoding = asyncio.Semaphore(2)
"""A body of JSON takes its size several times while it is read."""


async def receive(request: Request, folder: Path) -> list[str]:
    """Write the photos of a request to `folder/0`, `folder/1`, …; returns their names. Memory stays flat: bodies lie on disk.

    Raises `BadInput`: `body_too_big photo_too_big too_many_photos no_photos bad_body bad_body_type bad_base64`.
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
    """What was declared is a hint; what arrives counts."""
    file, count = folder / "body", 0
    with file.open("wb") as out:
        async for chunk in request.stream():
            count += len(chunk)
            if count > WHOLE:
                raise BadInput("body_too_big", megabytes=WHOLE // MB)
            await run_in_threadpool(out.write, chunk)
    return file


async def _form(request: Request, folder: Path) -> list[str]:
    """Every file of the form, whatever its field is called. Starlette keeps files above 1 MB on disk meanwhile."""
    request = Request(request.scope, _counted(request))
    try:
        async with request.form(max_files=MOST, max_fields=MOST, max_part_size=MB) as form:
            parts = [part for _, part in form.multi_items() if isinstance(part, UploadFile)]
            for number, part in enumerate(parts):
                await run_in_threadpool(_copy, part.file, folder / str(number))
            return [part.filename or "photo" for part in parts]
    except (MultiPartException, HTTPException) as error:
        if "many files" in str(getattr(error, "detail", error)).lower():
            raise BadInput("too_many_photos", most=MOST) from error
        raise BadInput("bad_body") from error


def _copy(part: BinaryIO, file: Path) -> None:
    with file.open("wb") as out:
        shutil.copyfileobj(part, out)


def _counted(request: Request) -> Any:
    """The request's body as it arrives, until it is too much."""
    count = 0

    async def receive_() -> Any:
        nonlocal count
        message = await request.receive()
        count += len(message.get("body", b""))
        if count > WHOLE:
            raise BadInput("body_too_big", megabytes=WHOLE // MB)
        return message

    return receive_


def _from_json(body: Path, folder: Path) -> list[str]:
    """`{"image": base64}` or `{"images": [base64, …]}`; each may be a data URL, or `{"name", "data"}`."""
    try:
        given = json.loads(body.read_bytes())
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
