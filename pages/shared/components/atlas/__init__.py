"""A map of photos: up to 5,000 points on a canvas, to look at one by one and to select by drawing around them."""

from __future__ import annotations

from typing import Any

from pages.shared.components.face import face
from pages.shared.place import language
from pages.shared.text import t
from transfer_core.charts import PALETTE

_WORDS = ("classes", "split", "all_splits", "wrong_only", "all", "clear", "draw", "draw_help", "how", "status", "loading", "gone",
          "point", "right", "wrong", "ring", "chosen", "zoom_in", "zoom_out", "whole")

MOST = 5000
"""Points that can be selected: all that a map has."""


def atlas(address: str, alt: str, key: str = "atlas") -> list[int]:
    """Draw the map that lies at an `address` of ours (see `jobs.similar.photo_map`); returns the places of the selected points in
    its list. `alt` says what there is to see.

    The points go from our own route into the browser: through Streamlit they would travel with each run of the script.
    """
    words = {word: t(f"map.{word}") for word in _WORDS} | {
        f"split_{split}": t(f"data.split.{split}") for split in ("train", "validation", "test")}
    shown = face("atlas", '<div class="atlas"></div>')
    result = shown(key=key, on_chosen_change=lambda: None, data={
        "address": address, "alt": alt, "words": words, "palette": list(PALETTE), "language": language()})
    return _places(result.chosen, address)


def _places(told: Any, address: str) -> list[int]:
    """A browser may say anything, and it may still speak of another map."""
    if not isinstance(told, dict) or told.get("of") != address or not isinstance(told.get("places"), list):
        return []
    return [place for place in told["places"][:MOST] if isinstance(place, int) and not isinstance(place, bool)]
