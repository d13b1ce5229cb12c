"""Who holds a job: `host:pid:nonce`. Two machines may have processes of one number, and one machine may use a number again."""

from __future__ import annotations

import os
import platform
import secrets
import uuid
from functools import cache
from hashlib import sha256
from pathlib import Path

_NONCE = secrets.token_hex(4)


@cache
def here() -> str:
    """This machine since it was started, as leases name it: `studio-1.3fa2c1`.

    Containers of one machine count as machines, even when they share a name: each numbers its processes from 1.
    """
    try:
        mark = Path("/proc/sys/kernel/random/boot_id").read_text("ascii") + os.readlink("/proc/self/ns/pid")  # noqa: PTH115
    except OSError:  # no Linux
        mark = str(uuid.getnode())
    return f"{platform.node().replace(':', '-') or 'host'}.{sha256(mark.encode()).hexdigest()[:6]}"


def call_yourself(nonce: str) -> None:
    """Take this nonce for the leases of this process, by which whoever had it started knows them from another machine."""
    global _NONCE
    _NONCE = nonce


def lease(worker: int | str) -> str:
    """The lease of a process of this machine, by its number; a lease stays what it is."""
    return worker if isinstance(worker, str) else f"{here()}:{worker}:{_NONCE}"


def held_by(worker: str | None, pid: int) -> bool:
    """Whether a lease is that of a process of this machine."""
    return worker is not None and worker.startswith(f"{here()}:{pid}:")


def is_here(worker: str | None) -> bool:
    """Whether a lease is that of any process of this machine."""
    return worker is not None and worker.startswith(f"{here()}:")
