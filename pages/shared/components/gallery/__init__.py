"""A grid of thumbnails to look at, select from, and ask for a move, a deletion, or that they stay.

The pictures come lazily over our own route: 480 of them cost a rerun 2 ms (`st.image`: 1.8 s).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypedDict

from pages.shared.components.face import face
from pages.shared.place import language
from pages.shared.text import t

_WORDS = ("how", "actions", "selected", "move_to", "keep", "delete", "clear", "closer", "close", "previous", "next")


class Item(TypedDict):
    id: str
    thumbnail: str
    full: str
    name: str
    detail: str
    note: str
    """A word on the picture; its look follows `kind`, a split."""
    kind: str


class Asked(TypedDict):
    do: Literal["move", "keep", "delete"]
    to: str | None
    """The class to move to."""
    ids: list[str]


def gallery(items: Sequence[Item], label: str, classes: Sequence[str] = (), key: str = "gallery",
            can_keep: bool = False) -> Asked | None:
    """Draw the grid; returns what was asked of the selected pictures, in the run just after. `can_keep`: that they stay as they
    are can be asked for, too."""
    words = {word: t(f"data.gallery.{word}") for word in _WORDS}
    result = face("gallery", '<div id="gallery"></div>')(key=key, on_asked_change=lambda: None, data={
        "items": list(items), "classes": list(classes), "label": label, "words": words, "language": language(),
        "can_keep": can_keep})
    return result.asked
