"""Whether this studio can do its work, for whoever restarts servers or sends visitors to another one.

`/livez` says that the server answers; only a server that does not is worth a restart. `/healthz` says whether the database
answers, the disk has room, and jobs are looked after; a restart mends none of these by itself.
"""

from __future__ import annotations

import asyncio
import logging
import shutil
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from transfer_core.http.uploads import RESERVE
from transfer_core.store import Store

log = logging.getLogger(__name__)
PATIENCE = 2.0
"""Seconds the database may take to answer."""
supervisor: Any = None
"""The one of this web process, while it serves; None where there is none (a studio that shows demos only)."""


def routes(store: Store) -> list[BaseRoute]:
    asked: dict[str, asyncio.Task[bool]] = {}

    async def healthz(_request: Request) -> Response:
        parts = {"database": await _database(store, asked), "disk": await run_in_threadpool(_disk, store)}
        if supervisor is not None:
            parts["supervisor"] = supervisor.alive
        well = all(parts.values())
        return JSONResponse({"status": "ok" if well else "failed", "parts": {name: "ok" if good else "failed"
                                                                            for name, good in parts.items()}},
                            200 if well else 503, headers={"cache-control": "no-store"})

    return [Route("/healthz", healthz, methods=["GET"]), Route("/livez", _livez, methods=["GET"])]


async def _livez(_request: Request) -> Response:
    return JSONResponse({"status": "ok"}, headers={"cache-control": "no-store"})


async def _database(store: Store, asked: dict[str, asyncio.Task[bool]]) -> bool:
    # One question at a time: a thread that hangs cannot be ended, and one more every ten seconds would use them up.
    task = asked.get("database")
    if task is None or task.done():
        task = asked["database"] = asyncio.create_task(run_in_threadpool(_answers, store))
    await asyncio.wait([task], timeout=PATIENCE)
    return task.done() and task.result()


def _answers(store: Store) -> bool:
    try:
        store.ping()
    except Exception:
        log.exception("the database does not answer")
        return False
    return True


def _disk(store: Store) -> bool:
    try:
        return shutil.disk_usage(store.home.root).free >= RESERVE
    except OSError:
        return False
