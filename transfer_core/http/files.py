"""Files a browser may fetch: thumbnails, display copies, what a run exported, and Plotly from its wheel."""

from __future__ import annotations

import asyncio
import re
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import quote

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import BaseRoute, Route

from transfer_core.depot.looking import bring, bring_image
from transfer_core.depot.marks import lies_here
from transfer_core.errors import NotFound
from transfer_core.http.errors import language, plainly
from transfer_core.http.people import Door
from transfer_core.jobs import averages
from transfer_core.jobs.heat import MOST, picture
from transfer_core.jobs.similar import map_file
from transfer_core.paths import Home, file_name, replacing
from transfer_core.store import Store

DISPLAY = 1600
"""Longest side of a display copy, in pixels."""
_SHA256 = re.compile(r"[0-9a-f]{64}")
_FOREVER = {"cache-control": "private, max-age=31536000, immutable"}
"""The address holds the content's hash, so what it gives never changes."""
_TYPES = {".zip": "application/zip", ".json": "application/json", ".csv": "text/csv"}


def routes(door: Door, places: asyncio.Semaphore) -> list[BaseRoute]:
    """`places`: how many pictures may be decoded at once, shared with the previews."""

    async def thumbnail(request: Request) -> Response:
        home, sha256 = door.store(request).home, _sha256(request)
        path = home.thumbnail(sha256)
        if not path.is_file():
            await run_in_threadpool(bring, home, "thumbnails", sha256[:2], path.name)
        return FileResponse(_there(path), media_type="image/webp", headers=_FOREVER)

    async def image(request: Request) -> Response:
        home, sha256 = door.store(request).home, _sha256(request)
        async with places:
            path = await run_in_threadpool(_display_copy, home, sha256)
        return FileResponse(path, media_type="image/webp", headers=_FOREVER)

    async def heat(request: Request) -> Response:
        job, number = request.path_params["job"], request.path_params["number"]
        which = int(number) if re.fullmatch(r"\d{1,2}", number) else MOST
        path = await run_in_threadpool(_heat_map, door.store(request), job, which)
        return FileResponse(path, media_type="image/webp", headers={"cache-control": "private, max-age=86400"})

    reports = asyncio.Semaphore(1)

    async def report(request: Request) -> Response:
        from transfer_core.reporting import POLICY, report

        store = door.store(request)
        run, said = request.path_params["run"], request.query_params.get("lang") or language(request)
        async with reports:
            content, name = await run_in_threadpool(lambda: (report(store, run, said), averages.named(store, store.job(run))))
        name = quote(f"{file_name(name)} report.html")
        return Response(content, media_type="text/html", headers={
            "content-disposition": f"attachment; filename*=utf-8''{name}", "cache-control": "private, no-cache",
            "content-security-policy": f"{POLICY}; sandbox"})

    async def photo_map(request: Request) -> Response:
        path = await run_in_threadpool(_map, door.store(request), request.path_params["job"])
        return FileResponse(path, media_type="application/json", headers={"cache-control": "private, max-age=86400"})

    async def file(request: Request) -> Response:
        run, name = request.path_params["run"], request.path_params["name"]
        path = await run_in_threadpool(_exported, door.store(request), run, name)
        # Weights do not shrink, and squeezing 100 MB costs 10 s: "identity" tells the gzip layer to leave it alone.
        return FileResponse(path, media_type=_TYPES.get(path.suffix, "application/octet-stream"), filename=path.name,
                            headers={"cache-control": "private, no-cache", "content-encoding": "identity"})

    return [
        Route("/thumbnails/{sha256}.webp", plainly(thumbnail)),
        Route("/images/{sha256}", plainly(image)),
        Route("/heat/{job}/{number}.webp", plainly(heat)),
        Route("/maps/{job}.json", plainly(photo_map)),
        Route("/files/{run}/{name}", plainly(file)),
        Route("/report/{run}", plainly(report)),
        Route("/vendor/plotly.min.js", _plotly),
    ]


def _sha256(request: Request) -> str:
    sha256 = request.path_params["sha256"]
    if not _SHA256.fullmatch(sha256):
        raise NotFound("no_file", file=sha256[:64])
    return sha256


def _there(path: Path) -> Path:
    if not path.is_file():
        raise NotFound("no_file", file=path.name)
    return path


def _display_copy(home: Home, sha256: str) -> Path:
    """The image upright, as WebP of at most 1600 px, made when first looked at. (The original may be a HEIC or 16 bit.)"""
    copy = home.thumbnail(sha256).with_name(f"{sha256}.display.webp")
    if not lies_here(home, copy):
        from transfer_core.images import open_image

        bring_image(home, sha256)
        image = open_image(_there(home.image(sha256)))
        image.thumbnail((DISPLAY, DISPLAY))
        with replacing(copy, lasting=False) as part:
            image.save(part, "WEBP", quality=88, method=2)
    return copy


def _exported(store: Store, run: str, name: str) -> Path:
    """A file a run said it exported. The name is only compared, never joined to a path as it came."""
    job = store.job(run)
    for _, event in reversed(store.events(job.id, kinds=("exported",))):
        if Path(event.file).name == name:
            return _there(store.home.at("runs", job.id, Path(event.file).name))
    raise NotFound("no_file", file=name[:100])


def _heat_map(store: Store, job: str, number: int) -> Path:
    """Of a job that there is, which makes such pictures: its id is only compared, never joined to a path as it came."""
    made = store.job(job)
    if made.kind != "explain" or number >= MOST:
        raise NotFound("no_file", file=job[:64])
    return _there(picture(store.home, made.id, number))


def _map(store: Store, job: str) -> Path:
    made = store.job(job)
    if made.kind != "map":
        raise NotFound("no_file", file=job[:64])
    return _there(map_file(store.home, made.id))


async def _plotly(_request: Request) -> Response:
    spec = find_spec("plotly")
    folder = Path(next(iter(spec.submodule_search_locations)))
    return FileResponse(folder / "package_data" / "plotly.min.js", media_type="text/javascript",
                        headers={"cache-control": "public, max-age=86400"})
