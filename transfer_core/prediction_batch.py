"""Many uploaded images through one model: asked of the predictor process, written down there as they are answered.

What is done lies on disk beside the upload: a refreshed page reads it; a restarted server, or a restarted predictor process,
goes on where it stopped.
"""

from __future__ import annotations

import hashlib
import json
import logging
import threading
from collections import Counter, OrderedDict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from transfer_core.errors import NotFound, StudioError, Unavailable
from transfer_core.predicting.process import PredictorProcess, shared
from transfer_core.predicting.survive import answer_all
from transfer_core.predicting.tail import Tail

log = logging.getLogger(__name__)
_running: dict[Path, threading.Thread] = {}
_failed: OrderedDict[Path, StudioError] = OrderedDict()
_lock = threading.Lock()
_KEPT = 16
"""Batches whose counts, or failures, are remembered between two looks."""


@dataclass(frozen=True)
class BatchState:
    total: int
    done: int
    bad: int
    """Of those done: files that are no usable image."""
    running: bool
    labels: dict[str, int] = field(default_factory=dict)
    """Of those done: photos of each label; labels that no photo got are not in it."""
    none: int = 0
    """Of those done: photos that may be of none of the classes."""

    @property
    def good(self) -> int:
        return self.done - self.bad

    @property
    def finished(self) -> bool:
        return not self.running and self.done >= self.total


class PredictionBatch:
    """The files of one upload folder (`index.jsonl` and one file a number) asked of one ONNX file.

        batch = PredictionBatch(home.uploads / upload, run_folder / "model.onnx")
        batch.start()          # harmless when it runs already or is done
        batch.state()          # poll this: it reads only what was written since the last look
        batch.good(0, 48)      # a page of rows; batch.bad(0, 5) likewise
        batch.rows()           # {"n", "file", "label", "none_of_these", "probabilities"} or {"n", "file", "error", "hint"}

    `error` and `hint` are Messages as data. Another model, or the same file trained anew, has its own results.
    """

    def __init__(self, folder: Path, model: Path, process: PredictorProcess = shared) -> None:
        self.folder, self.model, self._process = folder, model, process
        written = model.stat().st_mtime_ns if model.exists() else 0
        key = hashlib.sha256(f"{model.resolve()} {written}".encode()).hexdigest()[:12]
        self.file = folder / f"predictions-{key}.jsonl"

    def rows(self) -> list[dict[str, Any]]:
        """All rows. Slow with many: for a look at a batch at work there are `state`, `good` and `bad`."""
        return [row for _, row in Tail(self.file).new()]

    def good(self, start: int, stop: int) -> list[dict[str, Any]]:
        """Rows with an answer, in the order they were written."""
        with _counting:
            places = self._counted().good[start:stop]
        return self._at(places)

    def bad(self, start: int, stop: int) -> list[dict[str, Any]]:
        """Rows of files that are no usable image."""
        with _counting:
            places = self._counted().bad[start:stop]
        return self._at(places)

    def state(self) -> BatchState:
        """Raises the `StudioError` that ended the work, until `start` tries again: a model that cannot be used, for example."""
        with _lock:
            thread = _running.get(self.file)
            running = bool(thread and thread.is_alive())  # asked first: what was written by its end is counted below
            failed = None if running else _failed.get(self.file)
        if failed:
            raise failed.with_traceback(None)  # it is raised at every look
        with _counting:
            now = self._counted()
            return BatchState(now.total, len(now.good) + len(now.bad), len(now.bad), running, dict(now.labels), now.none)

    def _counted(self) -> _Counts:
        """What is on disk by now. Called with `_counting` held."""
        if self.file not in _counts:
            _counts[self.file] = _Counts(Tail(self.folder / "index.jsonl"), Tail(self.file))
        _counts.move_to_end(self.file)
        while len(_counts) > _KEPT:
            _counts.popitem(last=False)
        return _counts[self.file].grown()

    def _at(self, places: list[int]) -> list[dict[str, Any]]:
        if not places:
            return []
        rows = []
        with self.file.open("rb") as lines:
            for place in places:
                lines.seek(place)
                rows.append(json.loads(lines.readline()))
        return rows

    def start(self) -> None:
        """Begin, or go on with what is missing, in a thread that waits for the answers; what failed before is tried again.

        Raises `NotFound` when there is no model. What else goes wrong is found out later: `state` raises it.
        """
        if not self.model.is_file():
            raise NotFound("no_model_file", file=self.model.name)
        with _counting:
            now = self._counted()
            if now.total and len(now.good) + len(now.bad) >= now.total:
                return
        with _lock:
            thread = _running.get(self.file)
            if thread and thread.is_alive():
                return
            for file in [file for file, other in _running.items() if not other.is_alive()]:
                del _running[file]
            _failed.pop(self.file, None)
            _running[self.file] = threading.Thread(target=self._see_through, name=f"predict {self.folder.name}", daemon=True)
            _running[self.file].start()

    def _see_through(self) -> None:
        try:
            self.work()
        except Exception as error:
            if not isinstance(error, StudioError):
                log.exception("the batch %s stopped", self.file)
                error = Unavailable("prediction_failed", detail=str(error)[:200])
            with _lock:
                _failed[self.file] = error
                while len(_failed) > _KEPT:
                    _failed.popitem(last=False)

    def work(self) -> None:
        """Have all that is missing answered, and wait for it."""
        answer_all(self._process, self.folder, self.model, self.file)


@dataclass
class _Counts:
    """What is known of one batch without reading its files again: 20,000 rows are 20,000 numbers here."""

    index: Tail
    answers: Tail
    total: int = 0
    good: list[int] = field(default_factory=list)
    """Places in the file where the rows with an answer begin."""
    bad: list[int] = field(default_factory=list)
    labels: Counter[str] = field(default_factory=Counter)
    none: int = 0

    def grown(self) -> _Counts:
        """With what was written since."""
        if self.index.cut():
            self.index.place = self.total = 0
        if self.answers.cut():
            self.answers.place = 0
            self.good, self.bad, self.labels, self.none = [], [], Counter(), 0
        self.total += sum(1 for _ in self.index.new())
        for place, row in self.answers.new():
            if "error" in row:
                self.bad.append(place)
            else:
                self.good.append(place)
                self.labels[row["label"]] += 1
                self.none += bool(row.get("none_of_these"))
        return self


_counts: OrderedDict[Path, _Counts] = OrderedDict()
_counting = threading.Lock()
