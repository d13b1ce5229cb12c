"""Numbers for whoever runs the server, in the format of Prometheus: who waits, what runs, how fast demos answer.

Only for this machine, or with the key in `TRANSFER_STUDIO_METRICS_KEY`.
"""

from __future__ import annotations

import hmac
import os
from collections import Counter as Counts
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.registry import Collector
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from transfer_core.http.guard import is_loopback
from transfer_core.store import Store

_ours = CollectorRegistry()
photos_answered = Counter("transfer_studio_demo_photos", "Photos that demos were asked about", ["outcome"], registry=_ours)
_seconds = Histogram("transfer_studio_demo_seconds", "Seconds from a demo's question to its answer, waiting included",
                     buckets=(0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30), registry=_ours)


@contextmanager
def answering() -> Iterator[None]:
    with _seconds.time():
        yield


class _Work(Collector):
    """What the database says at this moment."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def collect(self) -> Iterator[Any]:
        live = self._store.jobs(None, "queued", "running")
        jobs = GaugeMetricFamily("transfer_studio_jobs", "Jobs that wait or run", labels=["state", "kind"])
        for (state, kind), count in sorted(Counts((job.state, job.kind) for job in live).items()):
            jobs.add_metric([state, kind], count)
        yield jobs
        yield GaugeMetricFamily("transfer_studio_demos", "Published demos", value=len(self._store.demos()))


def routes(store: Store) -> list[BaseRoute]:
    now = CollectorRegistry()
    now.register(_Work(store))

    async def metrics(request: Request) -> Response:
        if not _may_read(request):
            return Response("The numbers are for this machine, or for those with the key (TRANSFER_STUDIO_METRICS_KEY).\n", 403,
                            media_type="text/plain")
        text = await run_in_threadpool(lambda: generate_latest(_ours) + generate_latest(now))
        return Response(text, headers={"content-type": CONTENT_TYPE_LATEST})

    return [Route("/metrics", metrics, methods=["GET"])]


def _may_read(request: Request) -> bool:
    key = os.environ.get("TRANSFER_STUDIO_METRICS_KEY", "")
    given = request.headers.get("authorization", "").removeprefix("Bearer ")
    if key:
        return hmac.compare_digest(key.encode(), given.encode("utf-8", "replace"))
    # Behind a proxy everybody seems to come from here; a proxy says for whom it asks.
    return bool(request.client) and is_loopback(request.client.host) and "x-forwarded-for" not in request.headers
