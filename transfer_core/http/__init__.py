"""Our own routes beside Streamlit's: heavy bytes and live events go through these, never through a page's script.

    POST /api/uploads                    a new upload                     → {"upload": id}
    PUT  /api/uploads/{id}?path=a/b.jpg  one file of it, streamed to disk → {"files", "bytes"}
    POST /api/uploads/{id}/files         many small files of it: a line of JSON [[path, bytes], …], then their bytes
    GET  /api/uploads/{id}               what has arrived                 → {"files", "bytes"}
    GET  /api/uploads/{id}/{n}/preview.webp   a small picture of its file number n
    GET  /api/jobs/{id}/events           server-sent events; goes on after Last-Event-ID
    GET  /thumbnails/{sha}.webp          made at import
    GET  /images/{sha}                   display copy, at most 1600 px
    GET  /files/{run}/{name}             what a run exported, and nothing else
    GET  /report/{run}                   all that is known of it as one HTML file, made when asked for (?lang=en, zh)
    GET  /vendor/plotly.min.js           from the plotly wheel
    GET  /api/demos/{id}                 a published model; POST …/predict asks it, see `demos`
    GET  /api/openapi.json               how to ask it, for programs
    GET  /healthz                        database, object store, disk and supervisor: 200, or 503 with the part that fails
    GET  /livez                          the server answers; nothing else is looked at
    GET  /metrics                        for whoever runs the server

Every answer to a request carries `X-Request-Id`, by which the logs speak of it.
"""

from __future__ import annotations

import asyncio

from starlette.middleware import Middleware
from starlette.routing import BaseRoute

from transfer_core.demos import only_demos
from transfer_core.http import demos, files, guard, health, metrics, previews, stream, uploads
from transfer_core.http.lifespan import lifespan
from transfer_core.http.people import Door, Identify, Welcome
from transfer_core.http.watch import Watch
from transfer_core.store import Store

__all__ = ["lifespan", "middleware", "routes"]


AT_ONCE = 2
"""Pictures decoded at the same time; a page may ask for 48 of 24 megapixels each."""


def middleware() -> list[Middleware]:
    """The first stands in front of the others, so that what the guard refuses is counted, too."""
    return [Middleware(Watch), *guard.middleware(), Middleware(Welcome)]


def routes(store: Store, identify: Identify | None = None) -> list[BaseRoute]:
    """`identify`: who somebody is by their cookies, where the pages know that."""
    door, places, database = Door(store, identify), asyncio.Semaphore(AT_ONCE), health.Database(store)
    watched = [*metrics.routes(store, database), *health.routes(store, database)]
    if only_demos():
        return [*demos.routes(store), *watched]
    return [*uploads.routes(door), *previews.routes(door, places), *stream.routes(door), *files.routes(door, places),
            *demos.routes(store), *watched]
