"""Numbers for whoever runs the server, in the format of Prometheus: who waits, what runs, what ended, how fast it answers.

Only for this machine, or with the key in `TRANSFER_STUDIO_METRICS_KEY`. Every label has few values: routes as they are written
in the code, kinds of jobs there are, devices of this machine.
"""

from __future__ import annotations

import hmac
import os
import shutil
import time
from collections import Counter as Counts
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.registry import Collector
from sqlalchemy.exc import SQLAlchemyError
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from transfer_core import logs
from transfer_core.errors import Unavailable
from transfer_core.http.guard import Hosts, is_loopback
from transfer_core.http.health import Database
from transfer_core.jobs.tasks import TASKS
from transfer_core.settings import settings
from transfer_core.store import ENDED, Store

DEVICES = 64
"""Devices that are told apart; a name in a database is anything."""
CACHE_EVERY = 60.0
"""Seconds for which the size of the cache is remembered: adding up thousands of files at every look is disk work."""
_BY_A_PROXY = ("x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-real-ip", "forwarded", "via")
_QUICK = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5, 30)

_ours = CollectorRegistry()
ProcessCollector(registry=_ours)
photos_answered = Counter("transfer_studio_demo_photos", "Photos that demos were asked about", ["outcome"], registry=_ours)
_seconds = Histogram("transfer_studio_demo_seconds", "Seconds from a demo's question to its answer, waiting included",
                     buckets=(0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30), registry=_ours)
_http = Histogram("transfer_studio_http_seconds", "Seconds from a request to the beginning of its answer",
                  ["method", "route", "status"], buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10), registry=_ours)
_statements = Histogram("transfer_studio_store_seconds", "Seconds of the database's statements in this process; a BEGIN waits "
                        "for other writers", ["operation"], buckets=_QUICK, registry=_ours)
_errors = Counter("transfer_studio_errors", "Errors this process logged", ["logger"], registry=_ours)


@contextmanager
def answering() -> Iterator[None]:
    with _seconds.time():
        yield


def answered(method: str, route: str, status: int, seconds: float) -> None:
    _http.labels(method, route, str(status)).observe(seconds)


def _count_error(logger: str) -> None:
    # Loggers are named in code; those of libraries are one.
    _errors.labels(logger if logger.startswith(("transfer_core.", "pages.", "streamlit.")) else "other").inc()


logs.count_errors(_count_error)


class _Work(Collector):
    """What the database says at this moment."""

    def __init__(self, store: Store) -> None:
        self._store = store.everyone()
        self._ended: dict[tuple[str, str], int] = {}
        self._states: dict[str, int] = {}
        self._counts: dict[tuple[str, str], int] = {}

    def collect(self) -> Iterator[Any]:
        counted = self._counted()
        jobs = GaugeMetricFamily("transfer_studio_jobs", "Jobs that wait or run", labels=["state", "kind"])
        ended = CounterMetricFamily("transfer_studio_jobs_ended", "Jobs that ended, by how they ended last",
                                    labels=["kind", "state"])
        for (kind, state), count in sorted(counted.items()):
            if state in ENDED:
                # One that is taken up again counts as not ended; a counter that falls is taken for a new start.
                count = self._ended[kind, state] = max(count, self._ended.get((kind, state), 0))
                ended.add_metric([kind, state], count)
            else:
                jobs.add_metric([state, kind], count)
        yield jobs
        yield ended
        yield from self._queues()
        yield GaugeMetricFamily("transfer_studio_demos", "Published demos", value=len(self._store.demos()))

    def _counted(self) -> Counts[tuple[str, str]]:
        states = self._store.state_counts()
        # What waits and runs changes its kinds without changing its number, and is few; what has ended only becomes more.
        changed = {state for state, count in states.items() if state not in ENDED or count != self._states.get(state)}
        kept = {key: count for key, count in self._counts.items() if key[1] in states.keys() - changed}
        self._states, self._counts = states, kept | self._store.job_counts(*changed)
        counted: Counts[tuple[str, str]] = Counts()
        for (kind, state), count in self._counts.items():
            counted[kind if kind in TASKS else "other", state] += count
        return counted

    def _queues(self) -> Iterator[Any]:
        length = GaugeMetricFamily("transfer_studio_queue_jobs", "Jobs that wait for a device", labels=["device"])
        oldest = GaugeMetricFamily("transfer_studio_queue_oldest_seconds", "How long the first of them has waited",
                                   labels=["device"])
        now = time.time()
        for queue in self._store.waiting()[:DEVICES]:
            length.add_metric([queue.device], queue.jobs)
            oldest.add_metric([queue.device], max(0.0, now - queue.oldest))
        yield length
        yield oldest


class _Disk(Collector):
    def __init__(self, root: Path) -> None:
        self._root = root
        self._cache, self._counted = 0, float("-inf")

    def collect(self) -> Iterator[Any]:
        with suppress(OSError):
            free = shutil.disk_usage(self._root).free
            yield GaugeMetricFamily("transfer_studio_disk_free_bytes", "Free where the data home lies", value=free)
        if time.monotonic() - self._counted > CACHE_EVERY:
            self._cache, self._counted = _bytes(self._root / "cache"), time.monotonic()
        yield GaugeMetricFamily("transfer_studio_cache_bytes", "What is stored of what frozen layers said", value=self._cache)


def _bytes(folder: Path) -> int:
    total = 0
    for place, _, files in os.walk(folder):
        for name in files:
            with suppress(OSError):  # it was removed meanwhile
                total += os.lstat(f"{place}/{name}").st_size
    return total


def routes(store: Store, database: Database) -> list[BaseRoute]:
    now, asked = CollectorRegistry(), CollectorRegistry()
    now.register(_Disk(store.home.root))
    asked.register(_Work(store))
    up = Gauge("transfer_studio_database_up", "1 while the database answers; 0: what it counts is left out", registry=now)
    store.observe(lambda operation, seconds: _statements.labels(operation).observe(seconds))

    def told(answers: bool) -> bytes:
        work = b""
        if answers:
            try:
                work = generate_latest(asked)
            except (Unavailable, SQLAlchemyError):  # it went in this moment; the next look says so in the log
                answers = False
        up.set(answers)
        return generate_latest(_ours) + generate_latest(now) + work

    async def metrics(request: Request) -> Response:
        if not _may_read(request):
            return Response("The numbers are for this machine, or for those with the key (TRANSFER_STUDIO_METRICS_KEY).\n", 403,
                            media_type="text/plain")
        # Asked before: an answer that waits for the database as long as a page may comes too late for whoever collects numbers.
        text = await run_in_threadpool(told, await database.answers())
        return Response(text, headers={"content-type": CONTENT_TYPE_LATEST})

    return [Route("/metrics", metrics, methods=["GET"])]


def _may_read(request: Request) -> bool:
    key = settings().metrics_key
    given = request.headers.get("authorization", "").removeprefix("Bearer ")
    if key:
        return hmac.compare_digest(key.get_secret_value().encode(), given.encode("utf-8", "replace"))
    # Behind a proxy everybody seems to come from here; a proxy says for whom it asks, or which name was asked for.
    return (bool(request.client) and is_loopback(request.client.host) and Hosts(frozenset()).know(request.headers.get("host", ""))
            and not any(name in request.headers for name in _BY_A_PROXY))
