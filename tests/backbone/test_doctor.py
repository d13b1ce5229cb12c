"""The doctor finds what is broken, says what to do, and outlives what kills others."""

from __future__ import annotations

import errno
import http.client
import json
import socket
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.responses import HTMLResponse
from starlette.routing import Route, WebSocketRoute

from transfer_core import doctor
from transfer_core import http as routes
from transfer_core.cli import main
from transfer_core.doctor import Finding, Patient, examine, home, machine, network, outside
from transfer_core.doctor.finding import Probe, probe
from transfer_core.http import health
from transfer_core.paths import Home
from transfer_core.store import Store
from transfer_core.store.migrations import MIGRATIONS
from transfer_core.words import has, languages, texts

TORCH = {"torch": "2.15.0", "torchvision": "0.29", "cuda": "13.2", "cards": [], "error": "", "mps": False}


@pytest.fixture
def patient(tmp_path) -> Patient:
    return Patient(Home(tmp_path / "home"), f"sqlite:///{tmp_path}/home/studio.db")


def of(patient: Patient, **torch) -> Patient:
    patient.__dict__["torch"] = Probe({**TORCH, **torch})
    return patient


def outcome(finding: Finding) -> tuple[str, str]:
    """And every finding can be said, in every language; what is not well says what to do."""
    for language in languages():
        assert finding.title(language) and "{" not in finding.found(language) + finding.advice(language)
        assert finding.state == "ok" or finding.advice(language), finding
    return finding.state, finding.outcome


# What runs in a process of its own


@pytest.mark.parametrize(("content", "seconds", "reason"), [
    ("raise ImportError('libcudnn.so.9: cannot open shared object file')", 60, "libcudnn.so.9"),
    ("import os; os.abort()", 60, "SIGABRT"), ("import time; time.sleep(600)", 1, "> 1 s"), ("", 60, "Error")])
def test_a_broken_torch_does_not_take_the_doctor_down(tmp_path, monkeypatch, content, seconds, reason):
    (tmp_path / "torch.py").write_text(content)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    sick = Patient(Home(tmp_path / "home"), "sqlite://", patience=seconds)
    assert outcome(machine.torch(sick)) == ("problem", "broken")
    assert reason in machine.torch(sick).found("en")
    assert outcome(machine.gpu(sick)) == ("ok", "unknown")


def test_a_check_that_fails_itself_is_a_finding_and_the_others_go_on(patient, monkeypatch):
    def fails(_):
        raise ZeroDivisionError("token=hunter2hunter2")

    monkeypatch.setattr(doctor, "CHECKS", {"python": fails, "disk": home.disk})
    first, second = examine(patient)
    assert outcome(first) == ("warning", "failed") and "ZeroDivisionError" in first.found("en")
    assert "hunter2" not in first.found("en")
    assert second.name == "disk"


def test_onnx_runtime_and_a_worker_are_really_tried(patient):
    assert outcome(machine.onnx(patient)) == ("ok", "fine")
    assert outcome(machine.worker(patient)) == ("ok", "fine")
    assert not patient.home.root.exists()


def test_without_onnx_runtime_or_a_worker(patient, tmp_path, monkeypatch):
    (tmp_path / "onnxruntime.py").write_text("raise ImportError('no onnxruntime here')")
    (tmp_path / "sqlalchemy.py").write_text("raise ImportError('no sqlalchemy here')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    for check, word in ((machine.onnx, "no onnxruntime here"), (machine.worker, "no sqlalchemy here")):
        assert outcome(check(patient)) == ("problem", "broken") and word in check(patient).found("zh")


def test_what_a_probe_starts_ends_with_it(tmp_path):
    file = tmp_path / "pid"
    program = (f"import subprocess, sys, time\nchild = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
               f"open({str(file)!r}, 'w').write(str(child.pid))\ntime.sleep(600)")
    assert probe(program, 2).told is None
    status = Path(f"/proc/{file.read_text()}/stat")
    assert not status.exists() or status.read_text().split()[2] == "Z"


# The machine


def test_this_machine_has_what_the_tests_run_on(patient):
    for check in (machine.settings, machine.python, machine.packages, home.weights):
        assert outcome(check(patient))[0] == "ok", check(patient)


def test_packages_that_are_missing_or_other(patient, monkeypatch):
    wanted = ["starlette>=1", "pandas<1", "no-such-package>=2", "pytest>=9; extra == 'test'"]
    monkeypatch.setattr(machine.importlib.metadata, "requires", lambda _: wanted)
    assert outcome(machine.packages(patient)) == ("problem", "missing")
    assert machine.packages(patient).values == {"packages": "no-such-package>=2"}
    monkeypatch.setattr(machine.importlib.metadata, "requires", lambda _: wanted[:2])
    assert outcome(machine.packages(patient)) == ("warning", "other")
    assert "pandas" in machine.packages(patient).found("en")


def test_settings_that_are_refused(patient, monkeypatch):
    monkeypatch.setenv("TRANSFER_STUDIO_HOEM", "x")
    assert outcome(machine.settings(patient)) == ("problem", "refused")
    assert "TRANSFER_STUDIO_HOME" in machine.settings(patient).advice("zh")


@pytest.mark.parametrize(("driver", "visible", "torch", "expected"), [
    ("", None, {}, ("ok", "none")), ("", None, {"mps": True}, ("ok", "apple")),
    ("570.86", None, {"cards": [{"name": "H200", "bytes": 139e9}]}, ("ok", "fine")), ("570.86", "", {}, ("ok", "hidden")),
    ("570.86", None, {"cuda": None}, ("warning", "not_built")),
    ("390.1", None, {"error": "The NVIDIA driver on your system is too old"}, ("warning", "not_usable"))])
def test_the_graphics_card_and_why_not(patient, tmp_path, monkeypatch, driver, visible, torch, expected):
    if driver:
        (tmp_path / "nvidia-smi").write_text(f"#!/bin/sh\necho {driver}\n")
        (tmp_path / "nvidia-smi").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible) if visible is not None else monkeypatch.delenv(
        "CUDA_VISIBLE_DEVICES", raising=False)
    found = machine.gpu(of(patient, **torch))
    assert outcome(found) == expected
    assert torch.get("error", "") in found.found("en")


@pytest.mark.parametrize(("limit", "expected"), [
    ("1000000000", ("problem", "too_little")), ("3000000000", ("warning", "little")), ("max", ("ok", "fine"))])
def test_the_memory_of_a_container(patient, tmp_path, monkeypatch, limit, expected):
    (tmp_path / "memory.max").write_text(limit + "\n")
    monkeypatch.setattr(machine, "MEMORY_LIMITS", (tmp_path / "memory.max", tmp_path / "none"))
    monkeypatch.setattr(machine.os, "sysconf", lambda name: 4096 if name == "SC_PAGE_SIZE" else 4_000_000)
    assert outcome(machine.memory(patient)) == expected


@pytest.mark.parametrize(("usable", "expected"), [(1, ("warning", "one")), (2, ("ok", "limited")), (8, ("ok", "fine"))])
def test_the_cores_of_a_container(patient, monkeypatch, usable, expected):
    monkeypatch.setattr(machine, "cores", lambda: usable)
    monkeypatch.setattr(machine.os, "cpu_count", lambda: 8)
    assert outcome(machine.processor(patient)) == expected


# The home


def test_homes_that_cannot_be_written_to(patient, tmp_path, monkeypatch):
    assert outcome(home.writable(patient)) == ("ok", "new")
    assert not patient.home.root.exists()
    patient.home.root.mkdir()
    assert outcome(home.writable(patient)) == ("ok", "fine") and not list(patient.home.root.iterdir())
    (tmp_path / "file").write_text("")
    for root, expected in ((tmp_path / "file", "no_folder"), (Path("/proc/studio"), "not_writable")):
        assert outcome(home.writable(Patient(Home(root), "sqlite://"))) == ("problem", expected)

    def read_only(**_):
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(home.tempfile, "TemporaryFile", read_only)
    assert outcome(home.writable(patient)) == ("problem", "not_writable")
    assert "Read-only" in home.writable(patient).found("en")


@pytest.mark.parametrize(("free", "expected"), [(1e8, ("problem", "full")), (2e9, ("warning", "little")), (9e9, ("ok", "fine"))])
def test_a_small_disk(patient, monkeypatch, free, expected):
    monkeypatch.setattr(home.shutil, "disk_usage", lambda _: SimpleNamespace(free=free))
    assert outcome(home.disk(patient)) == expected


def test_a_network_drive_is_no_place_for_sqlite(patient, tmp_path, monkeypatch):
    mounts = tmp_path / "mountinfo"
    mounts.write_text(f"1 0 8:1 / / rw shared:1 - ext4 /dev/sda rw\n2 1 0:5 / {tmp_path} rw - nfs4 server:/x rw\n"
                      "3 1 0:6 / /data\\040two rw - cifs //server/y rw\n")
    monkeypatch.setattr(home, "MOUNTS", mounts)
    assert outcome(home.filesystem(patient)) == ("problem", "network")
    assert outcome(home.filesystem(Patient(patient.home, "postgresql://db/studio"))) == ("ok", "network_without")
    assert home.kind_of(Path("/data two/deep")) == "cifs" and home.kind_of(Path("/data")) == "ext4"
    monkeypatch.setattr(home, "MOUNTS", tmp_path / "none")
    assert outcome(home.filesystem(patient)) == ("ok", "unknown")


def test_the_database(patient, tmp_path, monkeypatch):
    assert outcome(home.database(patient)) == ("ok", "new")
    assert not patient.home.root.exists()
    store = Store(patient.home)
    file = patient.home.database
    assert outcome(home.database(patient)) == ("ok", "fine")
    monkeypatch.setattr(home, "LOCKED_AFTER", 0.05)
    with closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        assert outcome(home.database(patient)) == ("problem", "locked")
        other.execute("ROLLBACK")
        for number, expected in ((len(MIGRATIONS) + 1, ("problem", "newer")), (None, ("ok", "older"))):
            other.execute("INSERT INTO migrations VALUES (?)" if number else "DELETE FROM migrations WHERE number > 1",
                          [number] if number else [])
            assert outcome(home.database(patient)) == expected
        other.execute("CREATE TABLE large (a)")
        other.executemany("INSERT INTO large VALUES (?)", [("x" * 3000,)] * 50)
        other.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    store.close()
    content = bytearray(file.read_bytes())
    content[40_000:90_000] = b"\xff" * 50_000
    file.write_bytes(content)
    assert outcome(home.database(patient)) == ("problem", "damaged")
    file.write_bytes(b"no database at all" * 100)
    assert outcome(home.database(patient)) == ("problem", "damaged")
    file.unlink()
    with closing(sqlite3.connect(file)) as foreign:
        foreign.execute("CREATE TABLE photos (a)")
    assert outcome(home.database(patient)) == ("problem", "foreign")


def test_another_database_that_does_not_answer_keeps_its_password(patient, monkeypatch):
    monkeypatch.setenv("TRANSFER_STUDIO_DATABASE_URL", "nosuchdatabase://me:hunter2@127.0.0.1:1/studio")
    found = home.database(Patient(patient.home, "nosuchdatabase://me:hunter2@127.0.0.1:1/studio"))
    assert outcome(found) == ("problem", "no_answer") and "hunter2" not in found.found("en")


def test_a_server_is_asked_however_its_address_is_written(postgres, patient, monkeypatch):
    address = postgres.database().replace("postgresql+psycopg", "postgres")
    Store(patient.home, address).close()
    monkeypatch.setenv("TRANSFER_STUDIO_DATABASE_URL", address)
    assert outcome(home.database(Patient(patient.home, address))) == ("ok", "other")


def test_what_a_server_says_is_the_reason(patient, monkeypatch):
    address = "postgresql://me:hunter2@127.0.0.1:1/studio"
    monkeypatch.setenv("TRANSFER_STUDIO_DATABASE_URL", address)
    found = home.database(Patient(patient.home, address))
    assert outcome(found) == ("problem", "no_answer")
    assert "port 1 " in found.found("en") and "hunter2" not in found.found("en") and "sqlalche" not in found.found("en")


def test_packaged_weights_that_are_not_there(patient, monkeypatch):
    monkeypatch.setattr(home, "PACKAGED", {"tf_efficientnet_lite0": "no_such_package", "x": "json"})
    assert outcome(home.weights(patient)) == ("warning", "missing")


# The network


@contextmanager
def served(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def says(status: int, body: bytes = b"{}") -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(status)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    return Handler


def nowhere() -> str:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{free.getsockname()[1]}"


def test_the_model_hub(patient, monkeypatch):
    for name in ("HF_HUB_OFFLINE", "http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    for status, expected in ((200, ("ok", "fine")), (403, ("warning", "refused"))):
        with served(says(status)) as address:
            monkeypatch.setenv("HF_ENDPOINT", address)
            assert outcome(network.hub(patient)) == expected
    monkeypatch.setenv("HF_ENDPOINT", nowhere())
    assert outcome(network.hub(patient)) == ("ok", "offline")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert outcome(network.hub(patient)) == ("ok", "wished")


@pytest.mark.parametrize(("answer", "expected"), [(says(200, b'{"status": "ok"}'), ("ok", "studio")),
                                                  (says(404), ("warning", "taken"))])
def test_who_has_the_usual_port(patient, monkeypatch, answer, expected):
    with served(answer) as address:
        monkeypatch.setattr(network, "PORT", int(address.rpartition(":")[2]))
        assert outcome(network.port(patient)) == expected
    monkeypatch.setattr(network, "PORT", int(nowhere().rpartition(":")[2]))
    assert outcome(network.port(patient)) == ("ok", "free")


# A studio, from outside


@pytest.fixture
def studio(store, monkeypatch) -> Iterator[str]:
    """Our routes and guards on a real port; a page and the WebSocket are Streamlit's, and stand here for it."""
    monkeypatch.setattr(outside, "LISTEN", 0.5)

    async def page(_request):
        return HTMLResponse("<title>Studio</title>")

    async def live(socket):
        await socket.accept("streamlit")
        await socket.close()

    app = Starlette(routes=[*routes.routes(store), Route("/", page), WebSocketRoute("/_stcore/stream", live)],
                    middleware=routes.middleware())
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()  # whoever comes before the server is ready, waits
        server = uvicorn.Server(uvicorn.Config(app, log_config=None, lifespan="off"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
        thread.start()
        port = listening.getsockname()[1]
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            server.should_exit = True
            thread.join()


def proxied(studio: str, passes: tuple[str, ...] = (), host: str = "", largest: int = 1 << 40) -> type[BaseHTTPRequestHandler]:
    """A proxy that passes on what every proxy does, and of what keeps a WebSocket open only what it is told."""
    class Proxy(BaseHTTPRequestHandler):
        def do_GET(self):
            if int(self.headers.get("content-length", 0)) > largest:
                self.send_error(413)
                return
            dropped = {"connection", "upgrade"} - set(passes)
            headers = {name: value for name, value in self.headers.items() if name.lower() not in dropped}
            if host:
                headers["Host"] = host
            inner = http.client.HTTPConnection(studio.removeprefix("http://"), timeout=10)
            inner.request(self.command, self.path, headers=headers)
            answer = inner.getresponse()
            body = answer.read()
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                if name.lower() not in ("content-length", "transfer-encoding"):
                    self.send_header(name, value)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_PUT = do_GET  # noqa: N815

        def log_message(self, *_):
            pass

    return Proxy


def found(address: str) -> dict[str, tuple[str, str]]:
    return {each.name: outcome(each) for each in outside.examine(address, 30)}


def test_a_studio_that_can_be_reached(studio, store):
    well = {"page": ("ok", "fine"), "health": ("ok", "fine"), "websocket": ("ok", "fine"), "upload": ("ok", "fine")}
    assert found(studio) == well
    assert found(studio.removeprefix("http://") + "/") == well
    (upload,) = {len(list(folder.glob("*.part"))) for folder in store.home.uploads.iterdir()}
    assert upload == 0


def test_a_proxy_that_passes_no_websocket_and_no_large_file(studio):
    with served(proxied(studio, largest=1_000_000)) as address:
        told = found(address)
    assert told["page"] == ("ok", "fine") and told["health"] == ("ok", "fine")
    assert told["websocket"] == ("problem", "refused")
    assert told["upload"] == ("problem", "too_large")


def test_a_proxy_that_passes_another_name(studio):
    with served(proxied(studio, host="studio.internal")) as address:
        assert found(address) == {"page": ("problem", "unknown_host")}


def test_a_studio_that_is_not_well_or_takes_less(studio, monkeypatch):
    monkeypatch.setattr(health.shutil, "disk_usage", lambda _: SimpleNamespace(free=1))
    told = found(studio)
    assert told["health"] == ("problem", "failed")
    assert told["upload"] == ("warning", "disk")
    monkeypatch.setattr(outside, "DECLARED", 20_000_000_000)
    assert found(studio)["upload"] == ("ok", "limit")


@pytest.mark.parametrize(("answer", "expected"), [
    (says(401), ("warning", "password")), (says(502), ("problem", "gateway")), (says(302), ("warning", "redirect")),
    (says(200, b"<html>another program</html>"), ("problem", "no_studio"))])
def test_others_that_answer_there(answer, expected):
    with served(answer) as address:
        assert found(address) == {"page": expected}


@pytest.mark.parametrize(("address", "expected"), [
    ("ftp://x", "no_address"), ("http://", "no_address"), ("http://x:99999999", "no_address"), ("http://[::1", "no_address"),
    (None, "unreachable"), ("http://nobody.invalid", "unreachable")])
def test_addresses_at_which_nobody_is(address, expected):
    assert found(address or nowhere()) == {"page": ("problem", expected)}


def test_a_password_in_the_address_is_not_shown():
    (told,) = outside.examine(nowhere().replace("http://", "http://me:hunter2@"), 30)
    assert "hunter2" not in told.found("en") + told.advice("en")


# The command


@pytest.mark.parametrize(("state", "status"), [("ok", 0), ("warning", 0), ("problem", 1)])
@pytest.mark.parametrize("language", languages())
def test_the_command_ends_with_1_for_problems_only(monkeypatch, tmp_path, capfd, state, status, language):
    monkeypatch.setenv("TRANSFER_STUDIO_LANGUAGE", language)
    monkeypatch.setenv("TRANSFER_STUDIO_HOME", str(tmp_path / "home"))
    kind = {"ok": "fine", "warning": "little", "problem": "full"}[state]
    monkeypatch.setattr(doctor, "CHECKS", {"disk": lambda _: Finding("disk", state, kind, {"free": "1", "folder": "/x"})})
    for arguments in (["doctor"], ["doctor", "--json"]):
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        assert ended.value.code == status
        told = capfd.readouterr().out
    (check,) = json.loads(told)["checks"]
    assert (check["name"], check["state"], check["outcome"]) == ("disk", state, kind)
    assert json.loads(told)["ok"] is (status == 0) and bool(check["advice"]) is (state != "ok")
    assert not (tmp_path / "home").exists()


def test_with_refused_settings_the_doctor_still_looks(monkeypatch, tmp_path, capfd):
    monkeypatch.setenv("TRANSFER_STUDIO_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("TRANSFER_STUDIO_MAX_FILES", "many")
    monkeypatch.setattr(doctor, "CHECKS", {"settings": machine.settings, "home": home.writable})
    with pytest.raises(SystemExit) as ended:
        main(["doctor", "--json"])
    told = json.loads(capfd.readouterr().out)["checks"]
    assert ended.value.code == 1 and [check["state"] for check in told] == ["problem", "ok"]
    assert str(tmp_path / "home") in told[1]["found"]


def test_every_advice_belongs_to_an_outcome():
    advices = [name for name in texts("en") if name.startswith("doctor.") and name.endswith("_do")]
    assert advices and [name for name in advices if not has(name.removesuffix("_do"))] == []
