"""A job's events as lines on stderr, in the reader's language."""

from __future__ import annotations

import sys
import time

from transfer_core.cli.answer import language
from transfer_core.events import Epoch, Evaluated, Event, Exported, Failed, Note, Progressed, Started
from transfer_core.words import Message, has, message, say

EVERY = 0.2
"""Seconds between two redraws of the line that counts."""


class Teller:
    """On a terminal, progress is one line that changes; in a log file, one line a stage."""

    def __init__(self) -> None:
        self._language = language()
        self._terminal = sys.stderr.isatty()
        self._stage, self._drawn, self._open = "", 0.0, False

    def __call__(self, event: Event) -> None:
        if isinstance(event, Progressed):
            self._progress(event)
        elif (line := as_line(event)) is not None:
            self.say(line)

    def say(self, line: Message) -> None:
        self._write(f"{line.say(self._language)}\n")

    def _progress(self, event: Progressed) -> None:
        new, now = event.stage != self._stage, time.monotonic()
        self._stage = event.stage
        if not new and (not self._terminal or (now - self._drawn < EVERY and event.done != event.total)):
            return
        self._drawn = now
        key = f"stages.{event.stage}"
        name = say(key, self._language) if has(key) else event.stage
        count = f" {event.done} / {event.total}" if event.total and self._terminal else ""
        self._write(f"{name}{count}" if self._terminal else f"{name}\n", counting=self._terminal)

    def _write(self, text: str, counting: bool = False) -> None:
        start = "\r\x1b[K" if self._open else ""
        self._open = counting
        sys.stderr.write(start + text)
        sys.stderr.flush()


def as_line(event: Event) -> Message | None:
    match event:
        case Started():
            return message("cli.started", device=event.device, train=event.images.get("train", 0),
                           trainable=f"{event.trainable_parameters:,}", total=f"{event.total_parameters:,}")
        case Epoch():
            return message("cli.epoch_best" if event.best else "cli.epoch", epoch=event.epoch,
                           train=f"{event.train.target:.3f}", validation=f"{event.validation.target:.3f}",
                           percent=f"{100 * event.validation_accuracy:.1f}")
        case Note():
            return event.message
        case Evaluated():
            score = {name: f"{100 * event.report[name]:.1f}" for name in ("accuracy", "low", "high")}
            return message("cli.evaluated", split=message(f"cli.{event.split}"), n=event.report["n"], **score)
        case Exported():
            return message("cli.exported", file=event.file, megabytes=f"{event.bytes / 1e6:.1f}")
        case Failed():
            return None  # said at the end, with its hint
    return None
