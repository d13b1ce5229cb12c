"""Many uploaded images through one model, in a thread of the web process, written down as they are done.

What is done lies on disk beside the upload: a refreshed page reads it, a restarted server goes on where it stopped.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transfer_core.predictor import BATCH, predictor_for

_running: dict[Path, threading.Thread] = {}
_lock = threading.Lock()


@dataclass(frozen=True)
class BatchState:
    total: int
    done: int
    bad: int
    """Of those done: files that are no usable image."""
    running: bool

    @property
    def finished(self) -> bool:
        return not self.running and self.done >= self.total


class PredictionBatch:
    """The files of one upload folder (`index.jsonl` and one file a number) asked of one ONNX file.

        batch = PredictionBatch(home.uploads / upload, run_folder / "model.onnx")
        batch.start()          # harmless when it runs already or is done
        batch.state()          # poll this
        batch.rows()           # {"n", "file", "label", "probabilities"} or {"n", "file", "error", "hint"}

    `error` and `hint` are Messages as data. Another model, or the same file trained anew, has its own results.
    """

    def __init__(self, folder: Path, model: Path) -> None:
        self.folder, self.model = folder, model
        written = model.stat().st_mtime_ns if model.exists() else 0
        key = hashlib.sha256(f"{model.resolve()} {written}".encode()).hexdigest()[:12]
        self.file = folder / f"predictions-{key}.jsonl"

    def inputs(self) -> list[dict[str, Any]]:
        """What was uploaded so far: `{"n", "path", "bytes"}`."""
        return list(_lines(self.folder / "index.jsonl"))

    def rows(self) -> list[dict[str, Any]]:
        return list(_lines(self.file))

    def state(self) -> BatchState:
        with _lock:
            thread = _running.get(self.file)
        rows = self.rows()
        return BatchState(len(self.inputs()), len(rows), sum("error" in row for row in rows),
                          bool(thread and thread.is_alive()))

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
        torn = self.file.exists() and not self.file.read_bytes().endswith(b"\n")
        with self.file.open("a", encoding="utf-8") as out:
            if torn:  # the process ended in the middle of a line
                out.write("\n")
            while missing := self._missing():
                for entry, found in zip(missing, predictor.stream_files(
                        [self.folder / str(entry["n"]) for entry in missing], [entry["path"] for entry in missing]), strict=True):
                    row: dict[str, Any] = {"n": entry["n"], "file": found.file}
                    if found.error:
                        row |= {"error": found.error.model_dump(), "hint": found.hint.model_dump() if found.hint else None}
                    else:
                        row |= {"label": found.label, "probabilities": [round(p, 6) for p in found.probabilities]}
                    out.write(json.dumps(row, ensure_ascii=False) + "\n")
                out.flush()

    def _missing(self) -> list[dict[str, Any]]:
        done = {row["n"] for row in self.rows()}
        return [entry for entry in self.inputs() if entry["n"] not in done][:BATCH]


def _lines(file: Path) -> Iterator[dict[str, Any]]:
    """The whole lines of a file that another thread may be writing."""
    if not file.exists():
        return
    with file.open(encoding="utf-8") as lines:
        for line in lines:
            try:
                yield json.loads(line)
            except ValueError:  # the last line is half written
                continue
