"""A real studio on a free port and a real Chromium. One server and one browser for all tests, a new visitor for each.

The words a test looks for come from the word files, through `say`, so a better sentence breaks no test.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import photos
import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from transfer_core.jobs import devices
from transfer_core.paths import Home
from transfer_core.recipe import Recipe
from transfer_core.store import Job, Store

ROOT = Path(__file__).resolve().parents[2]
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync", "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@dataclass
class Studio:
    """A running studio: its address, its data home, and the process, so that a test may restart it."""

    port: int
    home: Home
    settings: dict[str, str] = field(default_factory=dict)
    """Environment variables."""
    options: tuple[str, ...] = ()
    """Of the server."""
    process: subprocess.Popen | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def store(self) -> Store:
        return Store(self.home)

    def start(self) -> None:
        environment = os.environ | {"TRANSFER_STUDIO_HOME": str(self.home.root), "OMP_NUM_THREADS": "1", **self.settings}
        log = (self.home.root / "server.log").open("ab")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "streamlit", "run", "app.py", "--server.port", str(self.port), "--server.headless", "true",
             "--server.address", "127.0.0.1", *self.options],
            cwd=ROOT, env=environment, stdout=log, stderr=log, start_new_session=True)
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            if self.process.poll() is not None:
                break
            time.sleep(0.05)
        raise RuntimeError("the studio did not start:\n" + (self.home.root / "server.log").read_text()[-3000:])

    def run_of(self, dataset: str, **settings) -> Job:
        """Put a training of a tiny model at the end of the queue; the studio's own supervisor starts it."""
        recipe = Recipe(**{"dataset": dataset, "model": "test_resnet.r160_in1k", "weights": "scratch", "image_size": 32,
                           "freeze": "all", "batch_size": 8, "patience": 0, **settings})
        return self.store.submit("train", {"recipe": recipe.model_dump()}, devices()[-1])

    def stop(self) -> None:
        """End the web server only: workers that train go on, as they must."""
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(timeout=30)

    def end(self) -> None:
        """End the web server and every worker it started."""
        self.stop()
        for job in self.store.everyone().jobs(None, "running", "queued"):
            if job.pid and job.pid != os.getpid():
                with suppress(ProcessLookupError):
                    os.kill(job.pid, signal.SIGKILL)


@pytest.fixture(scope="session")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Studio]:
    running = Studio(free_port(), Home(tmp_path_factory.mktemp("home")))
    running.start()
    yield running
    running.end()


@pytest.fixture(scope="session")
def new_studio(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Studio]:
    """`new_studio(TRANSFER_STUDIO_…="…")`: another one, not started yet."""
    return lambda **settings: Studio(free_port(), Home(tmp_path_factory.mktemp("home")), settings)


@pytest.fixture(scope="session", name="free_port")
def any_free_port() -> Callable[[], int]:
    return free_port


def until(true: Callable[[], object], seconds: float = 180.0, pause: float = 0.1) -> object:
    """Wait until something holds; returns it. (Machines are slow at times, never for ever.)"""
    deadline = time.monotonic() + seconds
    while not (found := true()):
        assert time.monotonic() < deadline, "this did not happen in time"
        time.sleep(pause)
    return found


@pytest.fixture(scope="session")
def wait() -> Callable[..., object]:
    return until


@pytest.fixture(scope="session")
def drawn(studio: Studio, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A small dataset: two classes of 20 tiny pictures, imported through the core."""
    return photos.dataset(studio.store, tmp_path_factory.mktemp("drawn"), {"left": 20, "right": 20}, "Drawn").id


@pytest.fixture(scope="session")
def trained(studio: Studio, drawn: str) -> Job:
    """A real training of three epochs, finished; shared by all tests of a session."""
    run = studio.run_of(drawn, epochs=3)
    until(lambda: not studio.store.job(run.id).live, 300)
    run = studio.store.job(run.id)
    assert run.state == "finished", studio.store.events(run.id)[-1]
    return run


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    path = next((found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), None)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def page(chromium: Browser) -> Iterator[Page]:
    """A new visitor with an English browser; fails the test when the page throws."""
    context = chromium.new_context(viewport={"width": 1280, "height": 900}, locale="en-US", accept_downloads=True)
    visitor = context.new_page()
    thrown: list[str] = []
    visitor.on("pageerror", lambda error: thrown.append(str(error)))
    visitor.set_default_timeout(60_000)
    yield visitor
    context.close()
    assert not thrown, thrown
