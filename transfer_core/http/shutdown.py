"""Knows that the server is going down: an event stream never ends by itself, and a server waits for open answers."""

from __future__ import annotations

import signal
import threading
from types import FrameType

_closing = threading.Event()


def closing() -> bool:
    return _closing.is_set()


def watch() -> None:
    """From now on the first SIGINT or SIGTERM ends the streams, then does what it did before.

    Called when the server starts, after it has set its own handlers. Elsewhere (a test's thread) signals are not ours.
    """
    _closing.clear()
    if threading.current_thread() is not threading.main_thread():
        return
    for number in (signal.SIGINT, signal.SIGTERM):
        _precede(number)


def _precede(number: int) -> None:
    before = signal.getsignal(number)
    if not callable(before):
        return

    def close_first(received: int, frame: FrameType | None) -> None:
        _closing.set()
        before(received, frame)

    signal.signal(number, close_first)
