"""The web process' side of the predictor process: starts it when it is needed, asks it, notices its end."""

from __future__ import annotations

import contextlib
import itertools
import json
import logging
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from transfer_core import errors

log = logging.getLogger(__name__)
IDLE = 300.0
"""Seconds without a question after which the process ends."""
LEFT = 3
"""Times in a row that a process may have just left, idle, when a question reaches it."""

News = Callable[[Any], None]


class Died(Exception):
    """The process ended before it had answered: killed, crashed, out of memory, or it could not even start."""

    def __init__(self, code: int | None) -> None:
        self.code = code
        super().__init__(f"the predictor process ended with {code}")


class PredictorProcess:
    """One predictor process, started by the first question and again by the first after its end. Shared by all threads.

        process.prepare(model)                       # have it ready; returns at once and never raises
        process.ask("open", model=str(model))        # → {"classes": […]}

    What can be asked: `worker.TASKS`.
    """

    def __init__(self, idle: float = IDLE) -> None:
        self._idle, self._lock = idle, threading.Lock()
        self._child: _Child | None = None

    @property
    def pid(self) -> int | None:
        """None while there is none."""
        child = self._child
        return child.pid if child and not child.ended else None

    def prepare(self, model: Path) -> None:
        with contextlib.suppress(OSError, Died):
            self._living().submit("open", {"model": str(model)}, None)

    def ask(self, task: str, news: News | None = None, **what: Any) -> Any:
        """The answer; `news` is called in another thread with each report on the way.

        Raises the `StudioError` that the process raised; `Died` when it ended before it had answered.
        """
        for _ in range(LEFT):
            try:
                return self._living().submit(task, what, news).result()
            except OSError as error:
                raise Died(None) from error
            except Died as died:
                if died.code:
                    log.warning("the predictor process ended with %s while it was asked for %s", died.code, task)
                    raise
        raise Died(0)

    def close(self) -> None:
        """End it, and wait until it has ended."""
        with self._lock:
            if self._child:
                self._child.close()

    def __enter__(self) -> PredictorProcess:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _living(self) -> _Child:
        with self._lock:
            if self._child is None or self._child.ended:
                self._child = _Child(self._idle)
            return self._child


@dataclass
class _Question:
    news: News | None
    answer: Future[Any] = field(default_factory=Future)


class _Child:
    """One process from its start to its end. In a session of its own: Ctrl-C in the terminal is the web server's to handle."""

    def __init__(self, idle: float) -> None:
        self._process = subprocess.Popen(  # noqa: S603
            [sys.executable, "-m", "transfer_core.predicting.worker", str(idle)], start_new_session=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, env={"OPENBLAS_NUM_THREADS": "1", **os.environ})
        self.pid, self.ended = self._process.pid, False
        self._numbers, self._open = itertools.count(1), dict[int, _Question]()
        self._lock = threading.Lock()
        self._listener = threading.Thread(target=self._listen, name="predictor", daemon=True)
        self._listener.start()

    def submit(self, task: str, what: dict[str, Any], news: News | None) -> Future[Any]:
        question = _Question(news)
        with self._lock:
            if self.ended:
                raise Died(0)
            number = next(self._numbers)
            self._open[number] = question
            with contextlib.suppress(OSError):  # it is ending: the listener, who knows how, answers
                self._process.stdin.write(json.dumps({"id": number, "task": task, **what}).encode() + b"\n")
                self._process.stdin.flush()
        return question.answer

    def close(self) -> None:
        with self._lock, contextlib.suppress(OSError):
            self._process.stdin.close()  # it reads the end of its input and leaves
        self._listener.join(1)
        self._process.kill()  # harmless when it has
        self._listener.join()

    def _listen(self) -> None:
        try:
            for line in self._process.stdout:
                self._hear(line)
        finally:
            code = self._process.wait()
            with self._lock:
                self.ended = True
                unanswered = list(self._open.values())
            for question in unanswered:
                question.answer.set_exception(Died(code))

    def _hear(self, line: bytes) -> None:
        if not line.endswith(b"\n"):  # it died in the middle of a line
            return
        told = json.loads(line)
        with self._lock:
            question = self._open[told["id"]] if "news" in told else self._open.pop(told["id"])
        if "news" in told:
            if question.news:
                question.news(told["news"])
        elif "error" in told:
            question.answer.set_exception(_error(**told["error"]))
        else:
            question.answer.set_result(told["result"])


def _error(kind: str, code: str, values: dict[str, Any]) -> errors.StudioError:
    return getattr(errors, kind)(code, **values)


shared = PredictorProcess()
"""The one of this web process."""
