"""One file from disk to disk: some hundred megabytes, streamed to our own upload route with their progress."""

from __future__ import annotations

from typing import TypedDict

from pages.shared.components.face import face
from pages.shared.text import t

_WORDS = ("choose", "hint", "sending", "failed", "too_large")


class Arrived(TypedDict):
    upload: str
    name: str


def one_file(key: str, words: str, accept: str) -> Arrived | None:
    """Draw the file button; returns what arrived, once, in the run after its last byte did. `words`: where its texts lie, as
    `model.file_`; `accept`: the endings that a file dialog shows."""
    said = {word: t(f"{words}{word}") for word in _WORDS}
    shown = face("one_file", '<div class="one-file"></div>')
    return shown(key=key, data={"words": said, "accept": accept}, on_arrived_change=lambda: None).arrived
