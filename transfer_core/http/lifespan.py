"""What lives as long as the web process: the supervisor of workers, and the janitor of uploads and images."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from itertools import count
from typing import Any

from starlette.concurrency import run_in_threadpool

from transfer_core import logs
from transfer_core.activations import Shelf, keep_within
from transfer_core.datasets.garbage import collect_garbage
from transfer_core.demos import only_demos
from transfer_core.depot import is_on
from transfer_core.http import health, shutdown
from transfer_core.http.uploads import sweep
from transfer_core.jobs.supervisor import Supervisor
from transfer_core.paths import Home
from transfer_core.people import erase, expired, is_hosted, leaving, purge
from transfer_core.store import Store

log = logging.getLogger(__name__)
SWEEP_EVERY = 3600.0
LEAVING_EVERY = 10.0
GARBAGE_EVERY = 24
"""Sweeps. It reads every manifest: 17 versions of 30,000 images are 1.4 s of computing."""


def lifespan(store: Store) -> Callable[[Any], AbstractAsyncContextManager[None]]:
    @asynccontextmanager
    async def living(_app: Any) -> AsyncIterator[None]:
        shutdown.watch()
        logs.adopt()
        if only_demos():  # the owner's studio trains and tidies; this one shows
            yield
            return
        chores = [asyncio.create_task(_keep_tidy(store))]
        if is_hosted():
            chores.append(asyncio.create_task(_see_off(store)))
        supervisor = Supervisor(store)
        supervisor.start()
        health.supervisor = supervisor
        try:
            yield
        finally:
            for chore in chores:
                chore.cancel()
            health.supervisor = None
            await run_in_threadpool(supervisor.stop)

    return living


async def _see_off(store: Store) -> None:
    """Delete what belongs to people who leave, and to those who did not come back."""
    while True:
        try:
            await run_in_threadpool(lambda: _each(erase, expired(store)))
        except Exception:
            log.exception("could not delete what belongs to people who left")
        await asyncio.sleep(LEAVING_EVERY)


async def _keep_tidy(store: Store) -> None:
    for sweeps in count():
        try:
            await run_in_threadpool(_sweep, store)
            if sweeps % GARBAGE_EVERY == 0:
                await run_in_threadpool(_collect, store)
        except Exception:  # a full disk, a database that is away: in an hour it may be otherwise
            log.exception("could not tidy the data home")
        await asyncio.sleep(SWEEP_EVERY)


def _homes(store: Store) -> Iterator[Home]:
    yield store.home.of(None)
    yield from (home for home in store.home.people() if home.root.is_dir())  # still: people leave meanwhile


def _each(what: Callable[[Any], object], found: Iterable[Any]) -> None:
    """One after the other; what goes wrong with one person's things must not keep those of others."""
    for each in found:
        try:
            what(each)
        except Exception:
            log.exception("could not tidy one of the homes")


def _collect(store: Store) -> None:
    _each(_collect_one, _homes(store))


def _collect_one(home: Home) -> None:
    """Photos that no dataset holds any more, and what frozen layers said of them."""
    if gone := collect_garbage(home):
        Shelf(home).forget_images(gone)


def _sweep(store: Store) -> None:
    if is_on():
        from transfer_core.depot.tidying import tidy

        _each(partial(tidy, store), _homes(store))
    needed = (job.payload.get("upload") for job in store.everyone().jobs(None, "queued", "running"))
    busy = frozenset(filter(None, needed))
    _each(partial(sweep, busy=busy), _homes(store))
    _each(lambda person: purge(store.of(person.id)), store.people())
    store.settle()
    if is_hosted():
        keep_within([Shelf(home) for home in _homes(store) if (home.root / "cache").is_dir()])
        leaving.sweep(store)
