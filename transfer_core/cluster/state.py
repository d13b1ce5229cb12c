"""What is known of the cluster, as a small file in the data home: every process that looks at the queue goes by the same."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

from transfer_core.paths import Home, write_json
from transfer_core.settings import raw
from transfer_core.words import Message, message

State = Literal["asking", "ready", "away", "unfit"]
"""`away`: it does not answer. `unfit`: it does, and cannot do the studio's work as things are."""
BESIDE = 0.1
"""Share of a core, or of a graphics card, that is left for what runs beside a training: on one machine, too, a short job does."""


@dataclass(frozen=True)
class Node:
    name: str
    address: str
    cpu: float
    gpu: float


@dataclass(frozen=True)
class Cluster:
    address: str
    state: State = "asking"
    message: Message | None = None
    """What is wrong, and what to do."""
    nodes: tuple[Node, ...] = ()
    threads: int = 1
    """Cores of a training without a graphics card."""
    seen: float = 0.0
    """When a supervisor last heard of it (seconds since 1970)."""
    room: dict[str, int] = field(default_factory=dict)
    """How many long jobs may run at once, and as many short ones beside them: `cpu`, `cuda`."""

    def of(self, nodes: Iterable[Node], cores: int) -> Cluster:
        """With these nodes, and `cores` for a training where a node has as many; else as many as the largest one has."""
        nodes = tuple(nodes)
        threads = max(1, min(cores, int(max((node.cpu for node in nodes), default=1))))
        room = {"cpu": sum(int(node.cpu // threads) for node in nodes), "cuda": sum(int(node.gpu) for node in nodes)}
        return replace(self, nodes=nodes, threads=threads, room=room)

    @property
    def devices(self) -> tuple[str, ...]:
        """What a job may queue for, as `jobs.devices` says it. Inside a task Ray shows one card only, so all are `cuda:0`."""
        return ("cuda:0", "cpu") if self.room.get("cuda") else ("cpu",)

    def share(self, device: str, short: bool) -> dict[str, float]:
        """What Ray is asked for. A long job and a short one fit on one card, or on the cores of one training."""
        if device.startswith("cuda"):
            cores = min((node.cpu // node.gpu for node in self.nodes if node.gpu >= 1), default=0)
            beside = BESIDE if cores else 0
            return ({"num_gpus": BESIDE, "num_cpus": beside} if short else
                    {"num_gpus": 1 - BESIDE, "num_cpus": max(0, min(self.threads, cores) - beside)})
        return {"num_gpus": 0, "num_cpus": BESIDE if short or device != "cpu" else self.threads - BESIDE}

    def told(self) -> dict[str, Any]:
        """As `--json` says it."""
        return {"address": self.address, "state": self.state, "room": self.room,
                "nodes": [{"name": node.name, "cpu": node.cpu, "gpu": node.gpu} for node in self.nodes],
                "message": self.message.say("en") if self.message else None}

    def write(self, home: Home) -> None:
        home.shared.mkdir(parents=True, exist_ok=True)
        write_json(file(home), asdict(self) | {"message": self.message and self.message.model_dump()}, lasting=False)


def file(home: Home) -> Path:
    return home.shared / "cluster.json"


def cluster(home: Home) -> Cluster | None:
    """The one that the environment names, as far as it is known; None where it names none."""
    address = raw("ray_address")
    if not address:
        return None
    try:
        found = _read(file(home), file(home).stat().st_mtime_ns)
    except (OSError, ValueError, TypeError, KeyError):
        found = None
    return found if found and found.address == address else Cluster(address)


def trouble(home: Home, device: str = "io") -> Message | None:
    """Why jobs of this device wait, where that is for the cluster; None where none is used, or it takes them."""
    known = cluster(home)
    if known is None:
        return None
    if known.state == "ready":
        kind = device.partition(":")[0]
        return message("cluster.no_device", device=kind) if kind != "io" and not known.room.get(kind) else None
    return known.message or message("cluster.asking")


@lru_cache(maxsize=4)
def _read(path: Path, _changed: int) -> Cluster:
    told = json.loads(path.read_text("utf-8"))
    message = told["message"] and Message(**told["message"])
    return Cluster(**{**told, "message": message, "nodes": tuple(Node(**node) for node in told["nodes"])})


def room(home: Home, device: str) -> int:
    """How many jobs of a lane of this device may run at once: one, but on a cluster as many as it has room for."""
    known = cluster(home)
    return 1 if known is None else known.room.get(device.partition(":")[0], 0)
