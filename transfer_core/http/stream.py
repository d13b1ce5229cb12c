"""A job's events as server-sent events: any tab, today or tomorrow, attaches and goes on where it left off."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import BaseRoute, Route
from starlette.types import Receive, Scope, Send

from transfer_core.errors import Busy
from transfer_core.http.errors import plainly
from transfer_core.http.limits import asker
from transfer_core.http.people import Door
from transfer_core.http.shutdown import closing
from transfer_core.store import Store

EVERY = 0.25
"""Seconds between two looks at the store: events are seen within 250 ms, and a viewer costs four short queries a second."""
HEARTBEAT = 15.0
"""Seconds of silence after which a comment is sent, so that proxies keep the connection and a gone browser is noticed."""
CURVE = 1500
"""Most optimiser steps sent to a page that joins late: more points than a chart has pixels are noise and megabytes."""
OF_ONE, OF_ADDRESS = 20, 300
"""Streams that one person may have open, and one address: a class of sixty with five tabs each. In each web process."""


class Places:
    """Who has how many streams open."""

    def __init__(self) -> None:
        self.taken: Counter[str] = Counter()

    def take(self, request: Request, store: Store) -> list[str]:
        """What was taken, to be given back. Raises `Busy("too_many_streams")`. Without accounts all are one person, and only
        addresses are counted."""
        address = f"address {asker(request.client.host if request.client else None)}"
        limits = {address: OF_ADDRESS} | ({f"person {store.person}": OF_ONE} if store.person else {})
        for who, most in limits.items():
            if self.taken[who] >= most:
                raise Busy("too_many_streams", most=most)
        self.taken.update(limits.keys())
        return list(limits)

    def give_back(self, names: list[str]) -> None:
        self.taken.subtract(names)
        self.taken += Counter()  # forgets those who have none


class _Stream(StreamingResponse):
    """Gives its places back however it ends, also when the browser has gone before it began."""

    def __init__(self, places: Places, names: list[str], events: AsyncIterator[str]) -> None:
        super().__init__(events, media_type="text/event-stream",
                         headers={"cache-control": "no-cache", "x-accel-buffering": "no"})
        self._places, self._names = places, names

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._places.give_back(self._names)


def routes(door: Door) -> list[BaseRoute]:
    places = Places()

    async def events(request: Request) -> Response:
        store = door.store(request)
        job = await run_in_threadpool(store.job, request.path_params["job"])
        after = _last_seen(request)
        if after and not job.live and not await run_in_threadpool(store.raw_events, job.id, after, (), 1):
            return Response(status_code=204)  # tells EventSource not to come back
        return _Stream(places, places.take(request, store), _events(store, job.id, after))

    return [Route("/api/jobs/{job}/events", plainly(events), methods=["GET"])]


def _last_seen(request: Request) -> int:
    """The number of the last event the browser has; EventSource repeats it when it reconnects."""
    seen = request.headers.get("last-event-id") or request.query_params.get("after") or "0"
    return int(seen) if seen.isascii() and seen.isdigit() and len(seen) < 16 else 0


async def _events(store: Store, job: str, after: int) -> AsyncIterator[str]:
    yield "retry: 1000\n\n"
    quiet = 0.0
    while not closing():
        live, found = await run_in_threadpool(_look, store, job, after)
        if found:
            after, quiet = found[-1][0], 0.0
            yield "".join(f"id: {number}\ndata: {body}\n\n" for number, body in found)
        if not live:
            yield "event: end\ndata: {}\n\n"
            return
        await asyncio.sleep(EVERY)
        quiet += EVERY
        if quiet >= HEARTBEAT:
            quiet = 0.0
            yield ": still here\n\n"


def _look(store: Store, job: str, after: int) -> tuple[bool, list[tuple[int, str]]]:
    # The state first: a job ends after its last event, so whoever reads "ended" finds every event afterwards.
    live = store.job(job).live
    return live, store.curve(job, after, CURVE)
