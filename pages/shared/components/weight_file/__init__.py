"""One file from disk to disk: a weight file of some hundred megabytes, streamed to our own upload route with its progress."""

from __future__ import annotations

from typing import TypedDict

from pages.shared.components.face import face
from pages.shared.text import t

_WORDS = ("choose", "hint", "sending", "failed", "too_large")


class Arrived(TypedDict):
    upload: str
    name: str


def weight_file(key: str = "weight-file") -> Arrived | None:
    """Draw the file button; returns what arrived, once, in the run after its last byte did."""
    words = {word: t(f"model.file_{word}") for word in _WORDS}
    shown = face("weight_file", '<div class="weight-file"></div>')
    return shown(key=key, data={"words": words}, on_arrived_change=lambda: None).arrived
