"""What is written down: whole lines, with the ids of what they are about, and never what opens something."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from collections.abc import Iterator

import pytest
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse, StreamingResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from transfer_core import logs
from transfer_core.http import middleware
from transfer_core.jobs import run_job
from transfer_core.settings import with_settings

log = logging.getLogger("transfer_core.test")
KEYS = ["hunter2hunter2", "hf_abcdefghijklmnop", "ts_Zm9vYmFyYmF6cXV4"]


class Lines(logging.StreamHandler):
    """What a handler of ours would write, line by line."""

    def __init__(self, formatter: logging.Formatter) -> None:
        super().__init__()
        self.setFormatter(formatter)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.format(record))

    @property
    def told(self) -> list[dict]:
        return [json.loads(line) for line in self.lines]


@pytest.fixture(params=[logs.Json, logs.Text], ids=["json", "text"])
def both(request) -> Iterator[Lines]:
    yield from listening(request.param())


@pytest.fixture
def written() -> Iterator[Lines]:
    yield from listening(logs.Json())


def listening(formatter: logging.Formatter) -> Iterator[Lines]:
    handler, root = Lines(formatter), logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    yield handler
    root.removeHandler(handler)
    root.setLevel(level)


def test_a_record_says_what_it_is_about_and_only_inside(written):
    with logs.about(job="train-1", run="train-1"):
        with logs.about(request="abc"):
            log.warning("it is %s", "so")
        log.info("still")
    log.info("outside")
    first, second, third = written.told
    assert first.items() >= {"job": "train-1", "run": "train-1", "request": "abc", "level": "warning", "message": "it is so",
                             "logger": "transfer_core.test", "pid": os.getpid()}.items()
    assert {"time", "process"} <= first.keys()
    assert "request" not in second and second["run"] == "train-1" and "run" not in third


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("said", ["Authorization: Bearer {}", "x-api-key: {}", "GET /api?token={}&a=1", "studio_token={}; Path=/",
                                  "postgresql://me:{}@host/db", "postgresql://me:a/b{}@host/db", "x://h/db?sslpassword={}",
                                  "the key is {}"])
def test_no_key_is_written_wherever_it_stands(both, monkeypatch, said, key):
    monkeypatch.setenv("TRANSFER_STUDIO_METRICS_KEY", KEYS[0])
    monkeypatch.setenv("HF_TOKEN", KEYS[1])
    try:
        raise ValueError(said.format(key))
    except ValueError:
        log.exception("asked %s", said.format(key))
    log.info(said.format(key))
    assert len(both.lines) == 2
    assert key not in "".join(both.lines)


def test_a_name_cannot_forge_a_line(both):
    log.warning("%s", "hat.jpg\n2026-01-01 00:00:00 ERROR forged\r\x1b[2J\u2028 帽子 🎩")
    (line,) = both.lines
    assert len(line.splitlines()) == 1 and "\x1b" not in line and "帽子 🎩" in line


def test_an_error_cannot_forge_a_line_either(both):
    try:
        raise ValueError("hat.jpg\n2026-01-01 00:00:00 ERROR forged\r\x1b[2J")
    except ValueError:
        log.exception("no")
    others = both.lines[0].splitlines()[1:]
    assert "forged" in both.lines[0] and "\x1b" not in both.lines[0]
    assert all(line.startswith("  ") for line in others)


def test_an_error_keeps_its_traceback(both):
    try:
        raise ZeroDivisionError("by nought")
    except ZeroDivisionError:
        log.exception("no")
    assert "test_an_error_keeps_its_traceback" in both.lines[0] and "by nought" in both.lines[0]


@pytest.mark.parametrize("formatter", [logs.Json(), logs.Text()], ids=["json", "text"])
def test_a_call_that_cannot_be_formatted_is_written_all_the_same(formatter):
    assert "%d" in formatter.format(logging.LogRecord("a", logging.INFO, "", 0, "%d", ("none",), None))


# Requests


def app() -> TestClient:
    async def fine(request):
        log.warning("inside")
        return PlainTextResponse("")

    async def broken(_request):
        raise RuntimeError("broken")

    async def slow(_request):
        async def body():
            yield b"a"
        return StreamingResponse(body())

    return TestClient(Starlette(routes=[Route("/api/things/{thing}", fine), Route("/broken", broken), Route("/slow", slow)],
                                middleware=middleware()), base_url="http://127.0.0.1", raise_server_exceptions=False)


def test_a_request_has_an_id_which_its_answer_and_its_lines_carry(written):
    answer = app().get("/api/things/secret-thing?key=secret-key")
    inside = next(told for told in written.told if told["message"] == "inside")
    line = next(told for told in written.told if "route" in told)
    assert answer.headers["x-request-id"] == inside["request"] == line["request"]
    assert line.items() >= {"method": "GET", "route": "/api/things/{thing}", "status": 200, "level": "info"}.items()
    assert line["milliseconds"] >= 0
    assert "secret-" not in "".join(line for line in written.lines if "httpx" not in line)


@pytest.mark.parametrize(("given", "taken"), [
    ("from-the-proxy.1", True), ("short", False), ("x" * 65, False), ("a b c d e f", False), ("<script>alert", False)])
def test_a_proxy_may_name_the_request(given, taken):
    named = app().get("/api/things/1", headers={"X-Request-Id": given}).headers["x-request-id"]
    assert (named == given) is taken
    assert named


def test_what_breaks_or_is_refused_is_written_too(written):
    client = app()
    assert client.get("/broken").status_code == 500
    assert client.post("/api/things/1").status_code == 403  # no token
    assert client.get("/nowhere/at/all").status_code == 404
    lines = [told for told in written.told if "route" in told]
    assert [(told["route"], told["status"]) for told in lines] == [("/broken", 500), ("none", 403), ("none", 404)]
    assert lines[0]["level"] == "warning"
    failed = next(told for told in written.told if "error" in told)
    assert "broken" in failed["error"] and failed["request"] == lines[0]["request"]


# Jobs


def test_a_jobs_log_is_json_with_its_ids_from_the_worker(store, tmp_path):
    """A real worker process, and a job that fails in it: nothing was uploaded under this name."""
    job = store.submit("import", {"upload": "0" * 32, "name": "Hats", "run": "train-7"})
    done = subprocess.run([sys.executable, "-m", "transfer_core.jobs.worker", job.id], timeout=120,
                          env=with_settings(home=str(store.home.root), log="json", log_level="debug"), capture_output=True)
    assert done.returncode == 0 and store.job(job.id).state == "failed"
    told = [json.loads(line) for line in (store.home.job(job.id) / "log.txt").read_text("utf-8").splitlines()]
    failed = next(each for each in told if "error" in each)
    assert (failed["job"], failed["run"], failed["level"]) == (job.id, "train-7", "error")
    assert all(each["job"] == job.id for each in told)


def test_a_job_in_this_process_leaves_its_traceback_in_its_log(store, tasks):
    @tasks.add("broken", torch=False)
    def broken(job, store):
        """For a test."""
        yield from ()
        raise ZeroDivisionError("with token=hunter2hunter2")

    job = store.submit("broken", {})
    store.claim(job.id, os.getpid())
    assert run_job(store, store.job(job.id)) == "failed"
    written = (store.home.job(job.id) / "log.txt").read_text("utf-8")
    assert "ZeroDivisionError" in written and f"job={job.id}" in written
    assert "hunter2" not in written.split("Error:")[-1]


def test_a_long_log_begins_anew_and_whoever_appends_goes_on(tmp_path, monkeypatch):
    monkeypatch.setattr(logs, "LONGEST", 100)
    file = tmp_path / "log.txt"
    with file.open("a", encoding="utf-8", buffering=1) as writer:
        writer.write("old\n" * 25)
        assert not logs.shorten(file)
        writer.write("x\n")
        assert logs.shorten(file)
        writer.write("new\n")
    assert file.read_text() == "new\n"
    assert (tmp_path / "log.old.txt").read_text() == "old\n" * 25 + "x\n"
    assert not logs.shorten(tmp_path / "none.txt")


def test_streamlit_and_uvicorn_write_in_our_form(written):
    streamlit, access = logging.getLogger("streamlit.something"), logging.getLogger("uvicorn.access")
    streamlit.addHandler(logging.StreamHandler())
    streamlit.propagate = False
    try:
        logs.adopt()
        streamlit.error("a page failed")
        access.warning('"GET /demo?id=secret"')
        assert [told["message"] for told in written.told] == ["a page failed"]
        assert streamlit.handlers == []
    finally:
        access.disabled = False
