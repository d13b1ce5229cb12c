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
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from transfer_core.paths import Home
from transfer_core.store import Store

ROOT = Path(__file__).resolve().parents[2]
FLAGS = ("--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
         "--disable-component-update --disable-sync --use-fake-device-for-media-stream --use-fake-ui-for-media-stream").split()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@dataclass
class Studio:
    """A running studio: its address, its data home, and the process, so that a test may restart it."""

    port: int
    home: Home
    process: subprocess.Popen | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def store(self) -> Store:
        return Store(self.home)

    def start(self) -> None:
        environment = os.environ | {"TRANSFER_STUDIO_HOME": str(self.home.root), "OMP_NUM_THREADS": "1"}
        log = (self.home.root / "server.log").open("ab")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "streamlit", "run", "app.py", "--server.port", str(self.port), "--server.headless", "true",
             "--server.address", "127.0.0.1"],
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

    def stop(self) -> None:
        """End the web server only: workers that train go on, as they must."""
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(timeout=30)

    def end(self) -> None:
        """End the web server and every worker it started."""
        self.stop()
        for job in self.store.jobs(None, "running", "queued"):
            if job.pid and job.state == "running":
                try:
                    os.kill(job.pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass


@pytest.fixture(scope="session")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Studio]:
    running = Studio(free_port(), Home(tmp_path_factory.mktemp("home")))
    running.start()
    yield running
    running.end()


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
    visitor.set_default_timeout(30_000)
    yield visitor
    context.close()
    assert not thrown, thrown
