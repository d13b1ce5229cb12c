from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from postgres import Server
from starlette.applications import Starlette
from starlette.testclient import TestClient

from transfer_core import http
from transfer_core.jobs import TASKS
from transfer_core.paths import Home
from transfer_core.store import Store


@pytest.fixture(scope="session")
def postgres() -> Iterator[Server]:
    server = Server()
    yield server
    server.remove()


@pytest.fixture
def database() -> str:
    """The address of the database of `store`; nothing: SQLite in its home. A module may say otherwise (`postgres.ON_BOTH`)."""
    return ""


@pytest.fixture
def store(database, tmp_path, monkeypatch) -> Iterator[Store]:
    monkeypatch.setenv("TRANSFER_STUDIO_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("TRANSFER_STUDIO_DATABASE_URL", database)
    store = Store(Home(tmp_path / "home"))
    yield store
    store.close()


@pytest.fixture
def tasks(monkeypatch):
    """The registry of tasks, to be changed by this test alone: afterwards it holds what it held, in the same order."""
    monkeypatch.setattr(TASKS, "_choices", dict(TASKS._choices))
    return TASKS


@pytest.fixture
def stranger(store) -> Callable[[], TestClient]:
    """Makes browsers that hold no token."""
    return lambda: TestClient(Starlette(routes=http.routes(store), middleware=http.middleware()), base_url="http://127.0.0.1")


@pytest.fixture
def visitor(stranger) -> Callable[[], TestClient]:
    """Makes browsers that have visited a page: they hold a token and repeat it."""

    def visit() -> TestClient:
        client, token = stranger(), secrets.token_urlsafe(32)
        client.cookies.set("studio_token", token)
        client.headers["X-Studio-Token"] = token
        return client

    return visit


@pytest.fixture
def client(visitor) -> TestClient:
    return visitor()


@pytest.fixture
def in_a_loop() -> Callable[[Coroutine], object]:
    """Runs a coroutine in a thread of its own: Playwright, once used in this process, keeps a loop in the main thread."""

    def run(work: Coroutine) -> object:
        with ThreadPoolExecutor(1) as thread:
            return thread.submit(asyncio.run, work).result()

    return run
