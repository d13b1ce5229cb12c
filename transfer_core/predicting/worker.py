"""The predictor process: holds the open models and answers what the web process asks, several questions at once.

    python -m transfer_core.predicting.worker 300      ends after 300 seconds without a question

It reads one JSON object a line: {"id": 1, "task": "batch", …}. It writes {"id": 1, "news": …} any number of times, then
{"id": 1, "result": …} or {"id": 1, "error": {"kind": "NotFound", "code": …, "values": …}}. The end of its input is its own
end, in the middle of whatever it does: then the web process is gone, and what is done lies on disk.
"""

from __future__ import annotations

import faulthandler
import json
import logging
import os
import queue
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, BinaryIO

from transfer_core import logs
from transfer_core.errors import NotFound, StudioError, Unavailable
from transfer_core.predicting.folder import answer_folder, row_of
from transfer_core.predicting.models import predictor_for
from transfer_core.predicting.ways import answer_all_ways
from transfer_core.predictor import Prediction

log = logging.getLogger(__name__)
AT_ONCE = 2
"""Photos decoded and answered at the same time; one of 100 megapixels takes 300 MB while it is decoded."""

News = Callable[[Any], None]
_turns = ThreadPoolExecutor(AT_ONCE, "photo")
"""Takes photos in the order they come. Each question puts one in at a time, so that one photo waits for at most one photo
of each of the others, never for all of another's 2,000."""


# Tasks: what can be asked. Each takes the question and a way to report on the way, and returns JSON data.


def open_model(asked: dict[str, Any], _news: News) -> dict[str, Any]:
    """Have a model ready before it is needed. {"model"} → {"classes": […]}"""
    return {"classes": predictor_for(Path(asked["model"])).classes}


def batch(asked: dict[str, Any], news: News) -> None:
    """{"folder", "model", "out", "crashed", "only"}: see `answer_folder`. News: the number of each file before it is opened."""
    predictor, folder = predictor_for(Path(asked["model"])), Path(asked["folder"])

    def answer(file: Path, name: str) -> Prediction:
        return _turns.submit(predictor.predict_files, [file], [name]).result()[0]

    try:
        answer_folder(folder, Path(asked["out"]), answer, news, asked.get("crashed", ()), asked.get("only"))
    except FileNotFoundError:
        if folder.is_dir():
            raise
        raise NotFound("no_upload") from None


def ways(asked: dict[str, Any], news: News) -> list[dict[str, list[float]]]:
    """{"model", "files"} → for each file, in order: see `answer_all_ways`. News: how many are answered."""
    predictor, answers = predictor_for(Path(asked["model"])), []
    for file in asked["files"]:
        answers.append(_turns.submit(answer_all_ways, predictor, Path(file)).result())
        news(len(answers))
    return answers


def photos(asked: dict[str, Any], _news: News) -> list[dict[str, Any]]:
    """{"model", "files", "names"} → for each file, in order, a row as `row_of` gives it."""
    predictor = predictor_for(Path(asked["model"]))
    waiting = [_turns.submit(predictor.predict_files, [Path(file)], [name])
               for file, name in zip(asked["files"], asked["names"], strict=True)]
    return [row_of(future.result()[0]) for future in waiting]


TASKS: dict[str, Callable[[dict[str, Any], News], Any]] = {"open": open_model, "batch": batch, "ways": ways, "photos": photos}


# The process


class Desk:
    """Answers questions, each in a thread of its own."""

    def __init__(self, out: BinaryIO) -> None:
        self._out, self._lock, self.busy = out, threading.Lock(), 0

    def take(self, line: bytes) -> None:
        asked = json.loads(line)
        with self._lock:
            self.busy += 1
        threading.Thread(target=self._answer, args=(asked,), name=f"question {asked['id']}", daemon=True).start()

    def _answer(self, asked: dict[str, Any]) -> None:
        try:
            told = {"result": TASKS[asked["task"]](asked, lambda news: self._tell(asked, news=news))}
        except StudioError as error:
            told = {"error": error}
        except Exception as error:
            log.exception("%s could not be done", asked["task"])
            told = {"error": Unavailable("prediction_failed", detail=f"{type(error).__name__}: {error}"[:200])}
        if "error" in told:
            error = told["error"]
            told["error"] = {"kind": type(error).__name__, "code": error.code, "values": error.values}
        with self._lock:
            self.busy -= 1
        self._tell(asked, **told)

    def _tell(self, asked: dict[str, Any], **told: Any) -> None:
        line = json.dumps({"id": asked["id"], **told}, default=str).encode() + b"\n"
        try:
            with self._lock:
                self._out.write(line)
                self._out.flush()
        except OSError:  # nobody listens any more
            os._exit(0)


def main() -> None:
    idle = float(sys.argv[1])
    faulthandler.enable()  # a crash leaves its place in the server's log
    logs.to_terminal("predictor")
    desk = Desk(os.fdopen(os.dup(1), "wb"))
    os.dup2(2, 1)  # whatever else prints, prints into the log
    lines: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(lines,), name="listen", daemon=True).start()
    import onnxruntime  # noqa: F401 — before the first question needs it

    while True:
        try:
            desk.take(lines.get(timeout=idle))
        except queue.Empty:
            if not desk.busy:
                os._exit(0)


def _listen(lines: queue.SimpleQueue[bytes]) -> None:
    for line in sys.stdin.buffer:
        lines.put(line)
    os._exit(0)


if __name__ == "__main__":
    main()
