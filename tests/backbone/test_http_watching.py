"""What whoever runs the server sees: /livez, /healthz and /metrics."""

from __future__ import annotations

import asyncio
import importlib
import logging
import threading
from types import SimpleNamespace

import pytest
import sqlalchemy as sa
from prometheus_client.parser import text_string_to_metric_families
from starlette.applications import Starlette
from starlette.testclient import TestClient

from transfer_core import http
from transfer_core.errors import Unavailable
from transfer_core.http import health
from transfer_core.http.metrics import _Work
from transfer_core.jobs.supervisor import Supervisor
from transfer_core.store import Store
from transfer_core.store.schema import jobs


def numbers(client: TestClient) -> dict[tuple[str, frozenset], float]:
    answer = client.get("/metrics")
    assert answer.status_code == 200
    return {(sample.name, frozenset(sample.labels.items())): sample.value
            for family in text_string_to_metric_families(answer.text) for sample in family.samples}


@pytest.fixture
def local(store) -> TestClient:
    return TestClient(Starlette(routes=http.routes(store), middleware=http.middleware()), base_url="http://127.0.0.1",
                      client=("127.0.0.1", 1))


# Health


def test_a_studio_that_works_says_so(local, store, monkeypatch):
    assert local.get("/healthz").json() == {"status": "ok", "parts": {"database": "ok", "disk": "ok"}}
    supervisor = Supervisor(store, warm=False)
    monkeypatch.setattr(health, "supervisor", supervisor)
    assert local.get("/healthz").json()["parts"]["supervisor"] == "failed"  # it was not started
    supervisor.start()
    try:
        assert local.get("/healthz").json()["parts"]["supervisor"] == "ok"
    finally:
        supervisor.stop()
    stopped = local.get("/healthz")
    assert (stopped.status_code, stopped.json()["status"], stopped.json()["parts"]["supervisor"]) == (503, "failed", "failed")
    assert local.get("/livez").status_code == 200


def test_the_part_that_fails_is_named_without_secrets(local, store, monkeypatch):
    def broken():
        raise sa.exc.OperationalError("SELECT 1", {}, Exception("postgresql://me:hunter2@host refused"))

    monkeypatch.setattr(store, "ping", broken)
    monkeypatch.setattr(health.shutil, "disk_usage", lambda _: SimpleNamespace(free=1))
    answer = local.get("/healthz")
    assert answer.status_code == 503
    assert answer.json() == {"status": "failed", "parts": {"database": "failed", "disk": "failed"}}
    assert local.get("/livez").json() == {"status": "ok"}


def test_that_the_database_went_and_came_back_is_logged_once_each(local, store, monkeypatch, caplog):
    def broken():
        raise Unavailable("database_away", address="–", reason="–")

    def logged() -> list[tuple[str, str]]:
        return [(record.levelname, record.getMessage()) for record in caplog.records if record.name == health.log.name]

    with caplog.at_level(logging.INFO, health.log.name):
        with monkeypatch.context() as away:
            away.setattr(store, "ping", broken)
            for _ in range(3):
                assert local.get("/healthz").status_code == 503
                assert local.get("/metrics").status_code == 200
        assert logged() == [("ERROR", "the database does not answer")]
        for _ in range(3):
            assert local.get("/healthz").status_code == 200
        assert logged()[1:] == [("WARNING", "the database answers again")]


def test_a_database_that_hangs_is_noticed_and_asked_once(store, monkeypatch):
    """However often it is asked for: a hanging thread cannot be ended."""
    hanging, asked = threading.Event(), []
    monkeypatch.setattr(health, "PATIENCE", 0.05)
    monkeypatch.setattr(store, "ping", lambda: (asked.append(1), hanging.wait(30)))
    with TestClient(Starlette(routes=http.routes(store)), base_url="http://127.0.0.1") as client:
        try:
            assert [client.get("/healthz").status_code for _ in range(3)] == [503] * 3
            assert len(asked) == 1
        finally:
            hanging.set()


# Metrics


def test_queues_and_what_runs(local, store):
    first = store.submit("train", {}, "cpu")
    for _ in range(2):
        store.submit("train", {}, "cpu")
    store.submit("import", {})
    store.claim(first.id, 1)
    told = numbers(local)
    assert told["transfer_studio_queue_jobs", frozenset({("device", "cpu")})] == 2
    assert told["transfer_studio_queue_jobs", frozenset({("device", "io")})] == 1
    assert 0 <= told["transfer_studio_queue_oldest_seconds", frozenset({("device", "cpu")})] < 600
    assert told["transfer_studio_jobs", frozenset({("state", "running"), ("kind", "train")})] == 1


def test_without_its_database_the_rest_is_told(local, store, monkeypatch):
    def broken(*_arguments):
        raise Unavailable("database_away", address="–", reason="–")

    store.submit("train", {}, "cpu")
    up, none = "transfer_studio_database_up", frozenset()
    assert numbers(local)[up, none] == 1
    for method in ("ping", "waiting"):  # before it is asked, and in the middle of it
        with monkeypatch.context() as away:
            away.setattr(Store, method, broken)
            told = numbers(local)
        assert told[up, none] == 0 and told["transfer_studio_disk_free_bytes", none] > 0
        assert not any(name.startswith(("transfer_studio_jobs", "transfer_studio_queue")) for name, _ in told)
    told = numbers(local)
    assert told[up, none] == 1 and told["transfer_studio_queue_jobs", frozenset({("device", "cpu")})] == 1


def test_what_ended_is_counted_from_the_database_and_never_falls(local, store):
    key = ("transfer_studio_jobs_ended_total", frozenset({("kind", "train"), ("state", "failed")}))
    done = [store.submit("train", {}, "cpu") for _ in range(3)]
    for job in done:
        store.end(job.id, "failed")
    store.delete_job(done[0].id)
    assert numbers(local)[key] == 3
    store.requeue(done[1].id)  # somebody goes on with it
    assert numbers(local)[key] == 3


def test_ten_thousand_jobs_are_counted_quickly(store, monkeypatch):
    with store._write() as connection:
        connection.execute(sa.insert(jobs), [
            {"id": f"train-{n}", "kind": "train" if n % 3 else "import", "state": "finished" if n % 5 else "failed",
             "device": "cpu", "payload": {"recipe": "x" * 2000}, "created": float(n)} for n in range(10_000)])
    work, read = _Work(store), []
    assert sum(work._counted().values()) == 10_000
    store.observe(lambda operation, seconds: read.append(operation))
    count = work._store.job_counts
    monkeypatch.setattr(work._store, "job_counts", lambda *states: (asked.append(set(states)), count(*states))[1])
    asked: list[set[str]] = []
    assert sum(work._counted().values()) == 10_000 and asked == [set()], "what has ended is not read again"
    store.end("train-1", "failed")
    assert work._counted()["train", "failed"] == 1334 and asked[1] == {"finished", "failed"}


def test_requests_are_measured_by_route_whatever_addresses_are_asked_for(local):
    before = {key for key in numbers(local) if key[0].startswith("transfer_studio_http")}
    for n in range(50):
        local.get(f"/api/demos/{n}")
        local.get(f"/nowhere-{n}")
        local.request(f"M{n}", "/livez")
    after = numbers(local)
    labels = [dict(key[1]) for key in after if key[0] == "transfer_studio_http_seconds_count"]
    assert {"method": "GET", "route": "/api/demos/{demo}", "status": "404"} in labels
    assert {"method": "GET", "route": "none", "status": "404"} in labels
    new = {key for key in after if key[0].startswith("transfer_studio_http")} - before
    assert len({frozenset((name, value) for name, value in key[1] if name != "le") for key in new}) <= 4


def test_kinds_and_devices_of_a_strange_database_do_not_multiply(local, store):
    for n in range(100):
        store.submit(f"kind{n}", {}, f"device{n}")
    told = numbers(local)
    assert len([key for key in told if key[0] == "transfer_studio_queue_jobs"]) <= 64
    assert told["transfer_studio_jobs", frozenset({("state", "queued"), ("kind", "other")})] == 100


def test_the_machine_and_the_store(local, store):
    (store.home.cache / "a").mkdir()
    (store.home.cache / "a" / "rows").write_bytes(b"x" * 1234)
    logging.getLogger("transfer_core.test").error("once")
    told = {name: value for (name, labels), value in numbers(local).items() if not labels}
    assert told["transfer_studio_cache_bytes"] == 1234
    assert told["transfer_studio_disk_free_bytes"] > 0 and told["process_resident_memory_bytes"] > 1e6
    labelled = numbers(local)
    assert labelled["transfer_studio_store_seconds_count", frozenset({("operation", "SELECT")})] > 0
    assert labelled["transfer_studio_errors_total", frozenset({("logger", "transfer_core.test")})] >= 1


@pytest.mark.parametrize("headers", [{"X-Forwarded-For": "203.0.113.9"}, {"X-Real-IP": "203.0.113.9"},
                                     {"Forwarded": "for=203.0.113.9"}, {"Via": "1.1 proxy"},
                                     {"Host": "photos.example"}, {"Host": "[::1"}])
def test_whoever_comes_through_a_proxy_is_not_this_machine(store, monkeypatch, headers):
    monkeypatch.setenv("TRANSFER_STUDIO_ALLOWED_HOSTS", "*")
    local = TestClient(Starlette(routes=http.routes(store), middleware=http.middleware()), base_url="http://127.0.0.1",
                       client=("127.0.0.1", 1))
    assert local.get("/metrics").status_code == 200
    assert local.get("/metrics", headers=headers).status_code == 403


def test_the_home_is_tidied_again_after_the_database_was_away(store, monkeypatch):
    lifespan, tried = importlib.import_module("transfer_core.http.lifespan"), []

    def sweep(_store):
        tried.append(1)
        raise Unavailable("database_away", address="–", reason="–")

    async def two_hours() -> None:
        tidying = asyncio.create_task(lifespan._keep_tidy(store))
        while len(tried) < 3 and not tidying.done():
            await asyncio.sleep(0)
        tidying.cancel()

    monkeypatch.setattr(lifespan, "_sweep", sweep)
    monkeypatch.setattr(lifespan, "SWEEP_EVERY", 0)
    asyncio.run(two_hours())
    assert len(tried) >= 3
