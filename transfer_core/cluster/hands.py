"""A supervisor's side of the cluster: starts the driver, hands jobs to it, hears what becomes of them, notes what is known."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import queue
import secrets
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, replace
from typing import Any

from transfer_core import depot
from transfer_core.cluster.state import Cluster, Node, State, cluster, file
from transfer_core.cluster.task import UNSEEN
from transfer_core.depot import place
from transfer_core.errors import Unavailable
from transfer_core.settings import FIELDS, settings, with_settings
from transfer_core.store import Job, Store
from transfer_core.store.queue import is_short
from transfer_core.words import Message, message

log = logging.getLogger(__name__)
PAUSE = 10.0
"""Seconds until a cluster that did not answer is asked again, or that could not start a job is given one again."""
SILENT = 45.0
"""Seconds without a word from the driver after which the cluster counts as away: Ray itself goes on trying for minutes. It says
something every 15 s while all is well."""
OWN = ("metrics_key", "secret", "admins", "admin_key", "mode", "allowed_hosts", "public_url", "frame_ancestors", "home",
       "database_url", "warm")
"""Settings of the web server, and those a task is told by other means."""
GONE = 3
"""How a task counts of which nobody will say anything more: the job's heartbeat tells whether it lives."""


@dataclass
class Handed:
    """A job in Ray's hands. Speaks as a worker's process does (`subprocess.Popen`), as far as a supervisor listens."""

    nonce: str
    code: int | None = None

    def poll(self) -> int | None:
        return self.code

    def holds(self, lease: str | None) -> bool:
        return self.code != GONE and lease is not None and lease.endswith(f":{self.nonce}")


class Hands:
    def __init__(self, store: Store) -> None:
        self._store = store
        self._known = replace(cluster(store.home) or Cluster(""), state="asking", message=None)
        self._process: subprocess.Popen[bytes] | None = None
        self._news: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        self._handed: dict[str, Handed] = {}
        self._again = float("-inf")
        self._calm = self._heard = float("-inf")
        self._died = ""
        self._published: Cluster | None = None

    @property
    def ready(self) -> bool:
        return self._known.state == "ready" and time.monotonic() > self._calm

    @property
    def machines(self) -> int:
        return len(self._known.nodes)

    def look(self) -> None:
        """Hear what is new, and start the driver (again) where there is none."""
        with contextlib.suppress(queue.Empty):
            while True:
                self._hear(self._news.get_nowait())
        if self._process is not None and self._process.poll() is not None:
            self._lost(self._process.returncode)
        elif self._process is not None and time.monotonic() - self._heard > SILENT and self._known.state != "away":
            self._away(f"> {SILENT:g} s")
        if self._process is None and time.monotonic() > self._again:
            self._start()

    def give(self, job: Job) -> Handed:
        handed = Handed(secrets.token_hex(4))
        self._handed[handed.nonce] = handed
        home, known = str(self._store.home.shared), self._known
        values = {name: os.environ[name] for name, field in FIELDS.items() if field not in OWN and os.environ.get(name)}
        values |= {name: os.environ[name] for name in depot.AWS if depot.is_on() and os.environ.get(name)}
        names = {field: name for name, field in FIELDS.items()}
        order = {"do": job.id, "nonce": handed.nonce, "share": known.share(job.device, is_short(job.kind)), "home": home,
                 "settings": values | {names["home"]: home, names["database_url"]: self._store.url}, "threads": known.threads}
        try:
            self._process.stdin.write(json.dumps(order).encode() + b"\n")
            self._process.stdin.flush()
        except OSError:
            handed.code = GONE
        return handed

    def stop(self) -> None:
        """Hand over nothing more. The driver stays until what it has is done."""
        if self._process is not None:
            with contextlib.suppress(OSError):
                self._process.stdin.close()

    def _start(self) -> None:
        self._heard = time.monotonic()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "transfer_core.cluster.driver"], start_new_session=True, stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, env=with_settings(home=str(self._store.home.shared), database_url=self._store.url))
        threading.Thread(target=self._listen, args=(self._process,), name="cluster", daemon=True).start()

    def _listen(self, process: subprocess.Popen[bytes]) -> None:
        with process.stdout as told:
            for line in told:
                with contextlib.suppress(ValueError):
                    self._news.put(json.loads(line))

    def _hear(self, news: dict[str, Any]) -> None:
        self._heard = time.monotonic()
        if "nodes" in news:
            self._tell(self._known.of((Node(**node) for node in news["nodes"]), settings().ray_cpus))
        elif "away" in news:
            self._away(news["away"])
        elif handed := self._handed.pop(news["ended"], None):
            if "died" in news:
                log.warning("a task of the cluster ended with %s", news["died"])
                self._died = news["died"]
            elif news["code"] == UNSEEN:
                self._unfit("cluster.home_unseen", node=news["node"], folder=str(self._store.home.shared))
            handed.code = 1 if "died" in news else GONE if news["code"] == UNSEEN else news["code"]

    def did_not_start(self) -> None:
        """A task ended before it had its job. That is not the job's fault: it waits, and people are told."""
        self._unfit("cluster.task_died", reason=self._died)

    def _unfit(self, words: str, **values: Any) -> None:
        self._calm = time.monotonic() + PAUSE
        self._tell(self._known, "unfit", message(words, **values))

    def _tell(self, known: Cluster, state: State = "ready", said: Message | None = None) -> None:
        if state == "ready" and not any(known.room.values()):
            state, said = "unfit", message("cluster.no_room", nodes=len(known.nodes))
        elif state == "ready" and self._store.url.startswith("sqlite") and len({node.address for node in known.nodes}) > 1:
            state, said = "unfit", message("cluster.sqlite")
        elif state == "ready" and time.monotonic() < self._calm:
            state, said = self._known.state, self._known.message
        if (state, said) != (self._known.state, self._known.message):
            log.log(logging.INFO if state == "ready" else logging.WARNING, "the cluster at %s: %s %s", known.address, state,
                    said.say("en") if said else "")
        self._known = replace(known, state=state, message=said, seen=time.time())
        self._known.write(self._store.home)
        self._publish()

    def _publish(self) -> None:
        """For nodes that share no folder; when something has changed, and not each time it was seen."""
        now = replace(self._known, seen=0.0)
        if depot.is_on() and now != self._published:
            from transfer_core.depot.things import push_sealed

            try:
                with place.patience(0):
                    push_sealed(self._store.home, file(self._store.home))
                self._published = now
            except Unavailable as error:
                log.warning("what is known of the cluster is not in the store: %s", error)

    def _away(self, reason: str) -> None:
        said = message("cluster.no_ray") if reason == "no_ray" else message(
            "cluster.away", address=self._known.address, reason=reason)
        self._tell(self._known, "away", said)

    def _lost(self, code: int) -> None:
        """The driver is gone, and with it what it knew. What its tasks became, their heartbeats will tell."""
        for handed in self._handed.values():
            handed.code = GONE
        self._handed.clear()
        self._process, self._again = None, time.monotonic() + PAUSE
        if self._known.state != "away":
            self._away(f"exit {code}")
