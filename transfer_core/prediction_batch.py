"""Many uploaded images through one model, in a thread of the web process, written down as they are done.

What is done lies on disk beside the upload: a refreshed page reads it, a restarted server goes on where it stopped.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections import Counter, OrderedDict, deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from transfer_core.predictor import BATCH, predictor_for

_running: dict[Path, threading.Thread] = {}
_lock = threading.Lock()
_KEPT = 16
"""Batches whose counts are remembered between two looks."""


@dataclass(frozen=True)
class BatchState:
    total: int
    done: int
    bad: int
    """Of those done: files that are no usable image."""
    running: bool
    labels: dict[str, int] = field(default_factory=dict)
    """Of those done: photos of each label; labels that no photo got are not in it."""

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
        batch.rows()           # {"n", "file", "label", "probabilities"} or {"n", "file", "error", "hint"}

    `error` and `hint` are Messages as data. Another model, or the same file trained anew, has its own results.
    """

    def __init__(self, folder: Path, model: Path) -> None:
        self.folder, self.model = folder, model
        written = model.stat().st_mtime_ns if model.exists() else 0
        key = hashlib.sha256(f"{model.resolve()} {written}".encode()).hexdigest()[:12]
        self.file = folder / f"predictions-{key}.jsonl"

    def rows(self) -> list[dict[str, Any]]:
        """All rows. Slow with many: for a look at a batch at work there are `state`, `good` and `bad`."""
        return [row for _, row in _Tail(self.file).new()]

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
        with _lock:
            thread = _running.get(self.file)
        running = bool(thread and thread.is_alive())  # asked first: what a thread that has ended wrote is counted below
        with _counting:
            now = self._counted()
            return BatchState(now.total, len(now.good) + len(now.bad), len(now.bad), running, dict(now.labels))

    def _counted(self) -> _Counts:
        """What is on disk by now. Called with `_counting` held."""
        if self.file not in _counts:
            _counts[self.file] = _Counts(_Tail(self.folder / "index.jsonl"), _Tail(self.file))
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
        """Begin, or go on with what is missing. Raises as `Predictor` does when the model cannot be used."""
        predictor_for(self.model)
        with _lock:
            thread = _running.get(self.file)
            if thread and thread.is_alive():
                return
            for file in [file for file, other in _running.items() if not other.is_alive()]:
                del _running[file]
            _running[self.file] = threading.Thread(target=self.work, name=f"predict {self.folder.name}", daemon=True)
            _running[self.file].start()

    def work(self) -> None:
        """Do all that is not done, in this thread; files that arrive meanwhile are done too."""
        predictor = predictor_for(self.model)
        with self.file.open("ab+") as out:
            if out.tell() and out.seek(-1, 2) >= 0 and out.read(1) != b"\n":  # the process ended in the middle of a line
                out.write(b"\n")
                out.flush()
            done = {row["n"] for _, row in _Tail(self.file).new()}
            index, waiting = _Tail(self.folder / "index.jsonl"), deque[dict[str, Any]]()
            while True:
                waiting.extend(entry for _, entry in index.new() if entry["n"] not in done)
                if not waiting:
                    return
                some = [waiting.popleft() for _ in range(min(BATCH, len(waiting)))]
                for entry, found in zip(some, predictor.stream_files(
                        [self.folder / str(entry["n"]) for entry in some], [entry["path"] for entry in some]), strict=True):
                    row: dict[str, Any] = {"n": entry["n"], "file": found.file}
                    if found.error:
                        row |= {"error": found.error.model_dump(), "hint": found.hint.model_dump() if found.hint else None}
                    else:
                        row |= {"label": found.label, "probabilities": [round(p, 6) for p in found.probabilities]}
                    out.write(json.dumps(row, ensure_ascii=False).encode() + b"\n")
                    done.add(entry["n"])
                out.flush()


class _Tail:
    """A file of JSON lines that another thread may be writing, each line read once."""

    def __init__(self, file: Path) -> None:
        self.file, self.place = file, 0

    def new(self) -> Iterator[tuple[int, dict[str, Any]]]:
        """The whole lines since the last call, each with the place in the file where it begins."""
        if not self.file.exists():
            return
        with self.file.open("rb") as lines:
            lines.seek(self.place)
            for line in lines:
                if not line.endswith(b"\n"):  # half written
                    return
                begins, self.place = self.place, self.place + len(line)
                try:
                    yield begins, json.loads(line)
                except ValueError:  # a process ended in the middle of this line
                    continue

    def cut(self) -> bool:
        """Whether the file is shorter than what was read of it."""
        return self.place > (self.file.stat().st_size if self.file.exists() else 0)


@dataclass
class _Counts:
    """What is known of one batch without reading its files again: 20,000 rows are 20,000 numbers here."""

    index: _Tail
    answers: _Tail
    total: int = 0
    good: list[int] = field(default_factory=list)
    """Places in the file where the rows with an answer begin."""
    bad: list[int] = field(default_factory=list)
    labels: Counter[str] = field(default_factory=Counter)

    def grown(self) -> _Counts:
        """With what was written since."""
        if self.index.cut():
            self.index.place = self.total = 0
        if self.answers.cut():
            self.answers.place = 0
            self.good, self.bad, self.labels = [], [], Counter()
        self.total += sum(1 for _ in self.index.new())
        for place, row in self.answers.new():
            if "error" in row:
                self.bad.append(place)
            else:
                self.good.append(place)
                self.labels[row["label"]] += 1
        return self


_counts: OrderedDict[Path, _Counts] = OrderedDict()
_counting = threading.Lock()
