"""Every photo through the prefix once, into an entry of the store. What is there already is not computed again."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np

from transfer_core.activations import Entry
from transfer_core.events import Progressed
from transfer_core.training.pipeline import threads
from transfer_core.training.prefix.engine import Engine

WAIT = 0.5
"""Seconds between two looks at whether another process has finished writing the entry."""
_CHUNK = 32
"""Rows written at once: each time the disk is waited for."""
_AHEAD = 2
"""Prepared chunks that may wait for the engine or the disk."""
Prepare = Callable[[int], np.ndarray]
"""Place of an image → what the engine takes: float32 3 × H × W."""


def fill(entry: Entry, images: Sequence[str], prepare: Prepare, engine: Engine, counted: Counted) -> Iterator[Progressed]:
    """Rows for all `images` (SHA-256). Closing the iterator keeps what is written; several processes take turns.

    Raises what `prepare` raises, and `OSError` when the disk is full.
    """
    if not entry.missing(images):
        counted.known(len(images))
        return
    while not entry.take_turn(WAIT):
        yield counted.waiting()
    try:
        missing = entry.missing(images)  # another process may have written some meanwhile
        counted.known(len(images) - len(missing))
        for places, rows in _computed(missing, prepare, engine):
            entry.append([images[place] for place in places], rows)
            yield counted.more(len(places))
    finally:
        entry.done()


class Counted:
    """How many images are done, over all entries that are filled."""

    def __init__(self, total: int, stage: str = "features") -> None:
        self.total, self.done, self.stage = total, 0, stage

    def more(self, count: int) -> Progressed:
        self.done += count
        return Progressed(stage=self.stage, done=min(self.done, self.total), total=self.total)

    def known(self, count: int) -> None:
        self.done += count

    def waiting(self) -> Progressed:
        return Progressed(stage=f"{self.stage}_elsewhere", done=0, total=None)


Arrays = tuple[np.ndarray, ...]
"""One for each tensor alive across the cut, a row an image."""


def _computed(places: list[int], prepare: Prepare, engine: Engine) -> Generator[tuple[list[int], Arrays], None, None]:
    """Chunks of places and their rows. An engine for one image at a time runs in the decoding threads, all at once."""
    size = _CHUNK if engine.at_once == 1 else engine.at_once
    chunks = [places[start:start + size] for start in range(0, len(places), size)]

    def one(place: int) -> Arrays | np.ndarray:
        image = prepare(place)
        return engine(image[None]) if engine.at_once == 1 else image

    with ThreadPoolExecutor(threads(), thread_name_prefix="prefix") as pool:
        waiting: deque[tuple[list[int], list[Future]]] = deque()
        try:
            for chunk in [*chunks, *[None] * _AHEAD]:
                if chunk is not None:
                    waiting.append((chunk, [pool.submit(one, place) for place in chunk]))
                if waiting and (chunk is None or len(waiting) > _AHEAD):
                    ready, futures = waiting.popleft()
                    found = [future.result() for future in futures]
                    yield ready, _stacked(found) if engine.at_once == 1 else engine(np.stack(found))
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _stacked(rows: list[Arrays]) -> Arrays:
    return tuple(np.concatenate(parts) for parts in zip(*rows, strict=True))
