"""Whether this studio can do its work, for whoever restarts servers or sends visitors to another one.

`/livez` says that the server answers; only a server that does not is worth a restart. `/healthz` says whether the database (and
the object store, where files go through one) answers, the disk has room, and jobs are looked after; a restart mends none of these
by itself.
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

from transfer_core.depot import is_on
from transfer_core.depot.place import Place, place
from transfer_core.http.uploads import RESERVE
from transfer_core.store import Store

log = logging.getLogger(__name__)
PATIENCE = 2.0
"""Seconds the database may take to answer."""
supervisor: Any = None
"""The one of this web process, while it serves; None where there is none (a studio that shows demos only)."""


class Database:
    """Whether it answers, for all who ask. It is logged when it goes and when it comes back, not at every look."""

    name = "database"

    def __init__(self, store: Store | Place) -> None:
        self._store = store
        self._asked: asyncio.Task[Exception | None] | None = None
        self._there = True

    async def answers(self) -> bool:
        # One question at a time: a thread that hangs cannot be ended, and one more every ten seconds would use them up.
        if self._asked is None or self._asked.done():
            self._asked = asyncio.create_task(run_in_threadpool(self._ask))
        await asyncio.wait([self._asked], timeout=PATIENCE)
        error = self._asked.result() if self._asked.done() else TimeoutError(f"no answer in {PATIENCE:g} seconds")
        self._tell(error)
        return error is None

    def _ask(self) -> Exception | None:
        try:
            self._store.ping()
        except Exception as error:  # noqa: BLE001 — whatever it is, it is no answer
            return error
        return None

    def _tell(self, error: Exception | None) -> None:
        if self._there and error is not None:
            log.error("the %s does not answer", self.name, exc_info=error)
        elif error is None and not self._there:
            log.warning("the %s answers again", self.name)
        self._there = error is None


class Artifacts(Database):
    """The same of the object store."""

    name = "object store"


def routes(store: Store, database: Database) -> list[BaseRoute]:
    artifacts = Artifacts(place()) if is_on() else None

    async def healthz(_request: Request) -> Response:
        parts = {"database": await database.answers(), "disk": await run_in_threadpool(_disk, store)}
        if artifacts is not None:
            parts["artifacts"] = await artifacts.answers()
        if supervisor is not None:
            parts["supervisor"] = supervisor.alive
        well = all(parts.values())
        return JSONResponse({"status": "ok" if well else "failed", "parts": {name: "ok" if good else "failed"
                                                                            for name, good in parts.items()}},
                            200 if well else 503, headers={"cache-control": "no-store"})

    return [Route("/healthz", healthz, methods=["GET"]), Route("/livez", _livez, methods=["GET"])]


async def _livez(_request: Request) -> Response:
    return JSONResponse({"status": "ok"}, headers={"cache-control": "no-store"})


def _disk(store: Store) -> bool:
    try:
        return shutil.disk_usage(store.home.root).free >= RESERVE
    except OSError:
        return False
