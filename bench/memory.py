"""What a process and all below it hold in memory, at most (Linux). Pages that several of them share are counted once."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path


@dataclass
class Peak:
    """Megabytes, at most so far: of everything; and of what is not a file's, which the system cannot take back."""

    all: float = 0.0
    own: float = 0.0
    looks: int = 0


@contextmanager
def watching(root: int, every: float = 0.1) -> Iterator[Peak]:
    """The peak of process `root` and its descendants as long as this is open; a look every so many seconds, or seldomer."""
    peak, over = Peak(), threading.Event()

    def look() -> None:
        cost = 0.0
        while not over.wait(max(every, 50 * cost)):  # a look at gigabytes takes its time, and must not be what is measured
            began = time.perf_counter()
            rows = [held(process) for process in tree(root)]
            cost = time.perf_counter() - began
            peak.all = max(peak.all, sum(row.all for row in rows))
            peak.own = max(peak.own, sum(row.own for row in rows))
            peak.looks += 1

    watcher = threading.Thread(target=look)
    watcher.start()
    try:
        yield peak
    finally:
        over.set()
        watcher.join()


def tree(root: int) -> Iterator[int]:
    yield root
    with suppress(OSError):
        for thread in Path(f"/proc/{root}/task").iterdir():
            for child in (thread / "children").read_text().split():
                yield from tree(int(child))


def held(process: int) -> Peak:
    """Its proportional share: a page that n processes hold counts as an n-th for each."""
    with suppress(OSError, ValueError, KeyError):
        lines = dict(line.split(":") for line in Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()[1:])
        return Peak(*(int(lines[name].split()[0]) / 1024 for name in ("Pss", "Pss_Anon")))
    return Peak()  # it has ended
