"""All files of one upload folder asked of one model, each answer written down as soon as it is there."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any, BinaryIO

from transfer_core.errors import BadImage
from transfer_core.predicting.tail import Tail
from transfer_core.predictor import Prediction, refused


def answer_folder(folder: Path, out: Path, answer: Callable[[Path, str], Prediction], begins: Callable[[int], None],
                  crashed: Collection[int] = (), only: int | None = None) -> None:
    """Answer what `index.jsonl` lists and `out` does not hold yet; files that arrive meanwhile are answered too.

    `answer`: a file and its name → what is known of it. `begins` is told each file's number before anything is done with
    it, so that whoever listens knows at which photo this process died. Files numbered `crashed` are not touched again:
    they are written down as refused, when all the others are done. `only`: this one file and nothing else.
    """
    with out.open("ab+") as rows:
        _end_torn_line(rows)
        done = {row["n"] for _, row in Tail(out).new()}
        index, waiting, left = Tail(folder / "index.jsonl"), deque[dict[str, Any]](), []
        while True:
            if not waiting:
                waiting.extend(entry for _, entry in index.new() if entry["n"] not in done and only in (None, entry["n"]))
            if not waiting:
                break
            entry = waiting.popleft()
            if entry["n"] in crashed:
                left.append(entry)
                continue
            begins(entry["n"])
            _write(rows, entry["n"], answer(folder / str(entry["n"]), entry["path"]))
            done.add(entry["n"])
        for entry in left:
            _write(rows, entry["n"], refused(entry["path"], BadImage("photo_crashes")))


def _end_torn_line(rows: BinaryIO) -> None:
    if rows.tell() and rows.seek(-1, 2) >= 0 and rows.read(1) != b"\n":  # a process ended in the middle of a line
        rows.write(b"\n")
        rows.flush()


def _write(rows: BinaryIO, number: int, found: Prediction) -> None:
    rows.write(json.dumps({"n": number, **row_of(found)}, ensure_ascii=False).encode() + b"\n")
    rows.flush()


def row_of(found: Prediction) -> dict[str, Any]:
    """`{"file", "label", "none_of_these", "probabilities"}`, or `{"file", "error", "hint"}` with the messages as data."""
    if found.error:
        return {"file": found.file, "error": found.error.model_dump(), "hint": found.hint.model_dump() if found.hint else None}
    return {"file": found.file, "label": found.label, "none_of_these": found.none_of_these,
            "probabilities": [round(p, 6) for p in found.probabilities]}
