"""Object stores of the tests' own: a server that speaks S3 (moto, in a process), and a folder. Two machines that share one."""

from __future__ import annotations

import os
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path

import pytest

from transfer_core.depot import folders, place, things
from transfer_core.paths import Home
from transfer_core.store import Store

ROOT = Path(__file__).resolve().parents[2]
_numbers = count()


def free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return listening.getsockname()[1]


class S3:
    """Raises `pytest.skip` where no such server is installed."""

    def __init__(self) -> None:
        python = Path(os.environ.get("TRANSFER_STUDIO_TEST_S3") or ROOT / ".venv" / "s3" / "bin" / "python")
        if not python.is_file():
            pytest.skip("no server that speaks S3 is installed; bash tests/s3.sh tries to")
        self.endpoint = f"http://127.0.0.1:{(port := free_port())}"
        self._process = subprocess.Popen([python, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
                                         stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        end = time.monotonic() + 60
        while True:
            with suppress(OSError), urllib.request.urlopen(self.endpoint, timeout=5):
                return
            assert self._process.poll() is None and time.monotonic() < end, "the S3 server did not start"
            time.sleep(0.05)

    def bucket(self) -> str:
        """The address of a place in a new bucket."""
        name = f"studio-{next(_numbers)}"
        with urllib.request.urlopen(urllib.request.Request(f"{self.endpoint}/{name}", method="PUT"), timeout=20):
            return f"s3://{name}/some/prefix"

    def stop(self) -> None:
        self._process.kill()
        self._process.wait()


@contextmanager
def away(monkeypatch) -> Iterator[None]:
    """Nobody answers at the address of the store."""
    with monkeypatch.context() as changed:
        changed.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{free_port()}")
        changed.setenv("TRANSFER_STUDIO_ARTIFACTS", "s3://nowhere/here")
        yield
    forget()


def forget() -> None:
    """As after a few seconds: what was looked up lately is looked up again."""
    folders._looked.clear()
    things._asked.clear()


class Machine:
    """A data home of its own, and the database that all share."""

    def __init__(self, root: Path, url: str, person: str | None = None) -> None:
        self.store = Store(Home(root), url).of(person)
        self.home = self.store.home


def there() -> dict[str, place.Fact]:
    return place.place().names()
