"""A Ray cluster of the tests' own: a head without cores and nodes with some, all on the loopback address, behind a token that is
drawn, in a folder of its own, and gone at the end. No usage statistics, no dashboard."""

from __future__ import annotations

import importlib.util
import os
import re
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil
import pytest

_START = """
import ray._private.services as services
from ray.scripts import scripts
# Ray listens on every address unless its own is this one, and takes another where there is a network.
services.get_node_ip_address = lambda *_, **__: "127.0.0.1"
scripts.ray_constants.ENABLE_RAY_CLUSTER = True
scripts.main()
"""
_SMALL = ("--disable-usage-stats", "--include-log-monitor", "False", "--object-store-memory", "80000000", "--block")
ROOT = Path(__file__).resolve().parents[2]


class RayCluster:
    """Raises `pytest.skip` where Ray is not installed."""

    def __init__(self) -> None:
        if importlib.util.find_spec("ray") is None:
            pytest.skip("Ray is not installed: pip install \"transfer-studio[ray]\"")
        self.folder = Path(tempfile.mkdtemp(prefix="ray-", dir="/tmp"))  # its sockets' names must be short
        self.environment = {
            "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(16), "RAY_USAGE_STATS_ENABLED": "0",
            "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # which makes everything else of it, too, take the loopback address
            "RAY_health_check_initial_delay_ms": "1000", "RAY_health_check_period_ms": "1000",
            "RAY_health_check_timeout_ms": "5000", "RAY_health_check_failure_threshold": "3",
            "PYTHONPATH": os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))}
        self.address = ""
        self.nodes: list[psutil.Process] = []
        self.address = self._start("--head", "--port", "0", "--num-cpus", "0", "--include-dashboard", "False", "--no-monitor",
                                   "--temp-dir", str(self.folder))

    def add(self, cpus: int = 1) -> None:
        self._start("--address", self.address, "--num-cpus", str(cpus))

    def have(self, count: int) -> None:
        """So many nodes beside the head: one may have been lost."""
        for _ in range(count + 1 - len(self.nodes)):
            self.add()

    def kill_the_node_of(self, pid: int) -> None:
        """With everything on it, as when its power fails."""
        node = next(node for node in self.nodes if any(child.pid == pid for child in node.children(recursive=True)))
        self.nodes.remove(node)
        _kill(node)

    def remove(self) -> None:
        for node in reversed(self.nodes):
            _kill(node)
        shutil.rmtree(self.folder, ignore_errors=True)

    def _start(self, *how: str) -> str:
        said = self.folder / f"node-{len(self.nodes)}-{secrets.token_hex(2)}.txt"
        with said.open("w") as file:
            process = psutil.Popen([sys.executable, "-c", _START, "start", "--node-ip-address", "127.0.0.1", *how, *_SMALL],
                                   env=os.environ | self.environment, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=file,
                                   stderr=subprocess.STDOUT, start_new_session=True)
        self.nodes.append(process)
        end = time.monotonic() + 240
        while "--block" not in said.read_text():  # said once all of it runs
            assert process.poll() is None and time.monotonic() < end, said.read_text()
            time.sleep(0.1)
        found = re.search(r"--address='([^']+)'", said.read_text())
        return found[1] if found else self.address


def _kill(node: psutil.Process) -> None:
    everything = [node, *node.children(recursive=True)]
    for process in everything:
        try:
            process.kill()
        except psutil.NoSuchProcess:
            continue
    psutil.wait_procs(everything, timeout=30)
