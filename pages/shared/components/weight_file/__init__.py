"""One file from disk to disk: a weight file of some hundred megabytes, streamed to our own upload route with its progress."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any, TypedDict

import streamlit as st

from pages.shared.text import t

_HERE = Path(__file__).parent
_WORDS = ("choose", "hint", "sending", "failed", "too_large")


class Arrived(TypedDict):
    upload: str
    name: str


@cache
def _component() -> Any:
    return st.components.v2.component(
        "studio_weight_file",
        js=(_HERE / "weight_file.js").read_text("utf-8"),
        css=(_HERE / "weight_file.css").read_text("utf-8"),
        html='<div class="weight-file"></div>\n',
    )


def weight_file(key: str = "weight-file") -> Arrived | None:
    """Draw the file button; returns what arrived, once, in the run after its last byte did."""
    words = {word: t(f"model.file_{word}") for word in _WORDS}
    return _component()(key=key, data={"words": words}, on_arrived_change=lambda: None).arrived
