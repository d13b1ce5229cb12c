"""A small picture of an uploaded file that is not imported: what the Predict page shows beside its answers."""

from __future__ import annotations

import asyncio
import io
import re

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from transfer_core.errors import NotFound
from transfer_core.http.errors import plainly
from transfer_core.http.people import Door
from transfer_core.paths import Home

SIDE = 480
"""Longest side in pixels: sharp on a phone, 20 kB."""
_ID = re.compile(r"[0-9a-f]{32}")


def routes(door: Door, places: asyncio.Semaphore) -> list[BaseRoute]:
    """`places`: how many pictures may be decoded at once, shared with the display copies."""

    async def preview(request: Request) -> Response:
        upload, number = request.path_params["upload"], request.path_params["number"]
        async with places:
            data = await run_in_threadpool(_preview, door.store(request).home, upload, number)
        return Response(data, media_type="image/webp", headers={"cache-control": "private, max-age=3600"})

    return [Route("/api/uploads/{upload}/{number:int}/preview.webp", plainly(preview), methods=["GET"])]


def _preview(home: Home, upload: str, number: int) -> bytes:
    """Raises `NotFound`, or `BadImage` when the file is no picture."""
    from transfer_core.decode import decode

    file = home.at("uploads", upload, str(number))
    if not _ID.fullmatch(upload) or not file.is_file():
        raise NotFound("no_file", file=str(number))
    image = decode(file, draft=SIDE).image
    image.thumbnail((SIDE, SIDE))
    out = io.BytesIO()
    image.save(out, "WEBP", quality=82, method=2)
    return out.getvalue()
