"""The process that speaks with Ray: what it is told on stdin it makes tasks of, and on stdout it says what becomes of them.

    python -m transfer_core.cluster.driver

    {"do": "train-0123456789", "nonce": "0a1b2c3d", "share": {"num_cpus": 3.9}, "home": "/data", "settings": {…}, "threads": 4}
    → {"nodes": [{"name", "address", "cpu", "gpu"}]}      now and then, and when they change
    → {"ended": "0a1b2c3d", "code": 0, "node": "gpu-7"}   or {"ended": …, "died": "NodeDiedError: …"}
    → {"away": "no_ray" | what Ray says}                  and it leaves

Ray ends the tasks of a driver with it. So this one leads a session of its own, and at the end of its input stays until its tasks
are done: a training outlives the web server.
"""

from __future__ import annotations

import json
import os
import queue
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from transfer_core.settings import settings

LOOK = 0.2
"""Seconds between two looks at tasks and orders."""
NODES_EVERY, SAY_EVERY = 1.0, 15.0


def main() -> int:
    told = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # whatever Ray prints is no answer of ours
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")

    def say(**facts: Any) -> None:
        with suppress(OSError):  # whoever listened is gone; the tasks go on
            told.write(json.dumps(facts) + "\n")

    try:
        import ray
    except ImportError:
        say(away="no_ray")
        return 1
    try:
        ray.init(address=settings().ray_address, log_to_driver=False, logging_level="ERROR", namespace="transfer-studio")
    except Exception as error:  # noqa: BLE001 — ConnectionError, RuntimeError, ValueError: Ray says it in its own words
        say(away=words(error))
        return 1
    try:
        return Driver(ray, say).drive(orders())
    except Exception as error:  # noqa: BLE001 — a cluster that broke off
        say(away=words(error))
        return 1


def orders() -> queue.SimpleQueue[dict[str, Any] | None]:
    """Lines of stdin as they come, and None at its end."""
    found: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()

    def read() -> None:
        for line in sys.stdin:
            found.put(json.loads(line))
        found.put(None)

    threading.Thread(target=read, name="orders", daemon=True).start()
    return found


class Driver:
    def __init__(self, ray: Any, say: Any) -> None:
        from transfer_core.cluster.task import do

        self._ray, self._say = ray, say
        # Ours alone decides what is tried again (max_retries), and every job has a fresh process (max_calls), as without Ray.
        self._do = ray.remote(max_retries=0, max_calls=1)(do)
        self._tasks: dict[Any, str] = {}
        self._nodes: list[dict[str, Any]] = []
        self._looked = self._said = float("-inf")

    def drive(self, orders: queue.SimpleQueue[dict[str, Any] | None]) -> int:
        wanted = True
        while wanted or self._tasks:
            for order in waiting(orders):
                wanted = wanted and order is not None
                if order is not None:
                    self._start(order)
            self._collect()
            self._look_around()
        return 0

    def _start(self, order: dict[str, Any]) -> None:
        task = self._do.options(name=order["do"], **order["share"]).remote(
            order["do"], order["nonce"], order["settings"], order["home"], order["threads"])
        self._tasks[task] = order["nonce"]

    def _collect(self) -> None:
        if not self._tasks:
            time.sleep(LOOK)
            return
        for task in self._ray.wait(list(self._tasks), num_returns=1, timeout=LOOK)[0]:
            nonce = self._tasks.pop(task)
            try:
                code, node = self._ray.get(task)
            except Exception as error:  # noqa: BLE001 — the node or the process died, or what we asked for cannot run there
                self._say(ended=nonce, died=words(error))
            else:
                self._say(ended=nonce, code=code, node=node)

    def _look_around(self) -> None:
        now = time.monotonic()
        if now - self._looked < NODES_EVERY:
            return
        self._looked = now
        nodes = [{"name": node["NodeManagerHostname"], "address": node["NodeManagerAddress"],
                  "cpu": node["Resources"].get("CPU", 0.0), "gpu": node["Resources"].get("GPU", 0.0)}
                 for node in self._ray.nodes() if node["Alive"]]
        if nodes != self._nodes or now - self._said > SAY_EVERY:
            self._nodes, self._said = nodes, now
            self._say(nodes=nodes)


def waiting(orders: queue.SimpleQueue[dict[str, Any] | None]) -> Iterator[dict[str, Any] | None]:
    with suppress(queue.Empty):
        while True:
            yield orders.get_nowait()


def words(error: Exception) -> str:
    """An error of Ray's in one line: its kind, and the last line of it, where a remote error says what it was."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    said = lines[-1] if type(error).__name__.startswith("RayTaskError") else lines[0] if lines else ""
    return f"{type(error).__name__}: {said}"[:300]


if __name__ == "__main__":
    sys.exit(main())
