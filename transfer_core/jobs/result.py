"""What a run's events say about its outcome."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterable
from contextlib import closing
from pathlib import Path
from typing import Any

from transfer_core.events import (
    Averaged,
    Cached,
    Epoch,
    Evaluated,
    Event,
    Exported,
    Finished,
    Kept,
    Started,
    Transferred,
)


class Result:
    """Gathers what a run's events say about its outcome, for lists of runs and for `train --json`."""

    def __init__(self) -> None:
        self._begun = time.monotonic()
        self._epochs = 0
        self._scores: dict[str, dict[str, Any]] = {}
        self._files: dict[str, str] = {}
        self._cached: Cached | None = None
        self._transferred: Transferred | None = None
        self._kept: Kept | None = None
        self._averaged: Averaged | None = None
        self._trained = 0.0
        self._out_of_time = False
        self.best_epoch: int | None = None

    def recall(self, events: Iterable[Event]) -> None:
        """What the run reported before it was resumed counts too: it may have died after its last epoch."""
        for event in events:
            self._see(event)

    def of(self, events: Generator[Event]) -> Generator[Event]:
        with closing(events):  # a stopped training must let go of its memory before its best model is measured
            for event in events:
                self._see(event)
                yield event

    def _see(self, event: Event) -> None:
        match event:
            case Started():
                self._epochs = event.first_epoch - 1
            case Epoch():
                self._epochs = event.epoch
                if event.best:
                    self.best_epoch, self._kept = event.epoch, event.kept
            case Cached():
                self._cached = event
            case Transferred():
                self._transferred = event
            case Averaged():
                self._averaged = event
            case Finished():
                self._trained, self._out_of_time = event.seconds, event.out_of_time
                self.best_epoch = event.best_epoch or self.best_epoch
            case Evaluated():
                self._scores[event.split] = {name: value for name, value in event.report.items()
                                             if isinstance(value, int | float | str)}
            case Exported():
                self._files[event.format] = Path(event.file).name

    def summary(self) -> dict[str, Any]:
        """`{"epochs", "best_epoch", "validation": {"accuracy", …}, "test": {…}, "files": {format: name}, "seconds", "timing",
        "cache"}`; a training on photos has no boundary in "cache". "kept" (see `events.Kept`) is that of the best epoch, and
        "transferred" is there when it started from another run, "averaged" when nothing was trained: "epochs" is 0 then.
        "out_of_time" is there, and true, when the minutes given were over before all epochs were. "source" are the scores on
        test images of a second dataset that was learned at the same time."""
        cached, seconds = self._cached, round(time.monotonic() - self._begun, 2)
        prefix = cached.seconds if cached else 0.0
        return {"epochs": self._epochs, "best_epoch": self.best_epoch,
                "validation": self._scores.get("validation", {}), "test": self._scores.get("test", {}),
                "files": self._files, "seconds": seconds,
                "timing": {"prefix_seconds": round(prefix, 2), "train_seconds": round(max(0.0, self._trained - prefix), 2),
                           "total_seconds": seconds},
                "cache": {name: getattr(cached, name, default) for name, default in _NOT_CACHED.items()},
                "kept": self._kept and self._kept.model_dump(),
                **({"out_of_time": True} if self._out_of_time else {}),
                **({"source": self._scores["source"]} if "source" in self._scores else {}),
                **({"transferred": self._transferred.model_dump(exclude={"type"})} if self._transferred else {}),
                **({"averaged": self._averaged.model_dump(exclude={"type"}) | {"left": self._averaged.left}}
                   if self._averaged else {})}


_NOT_CACHED = {"boundary": None, "hit": False, "bytes": 0, "engine": None, "dtype": None, "views": 0}
