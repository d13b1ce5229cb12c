"""The drop zone: a zip, a folder, photos, or class by class; streamed file by file to our own route.

Streamlit's uploader keeps every byte in memory and a copy more after each refresh (200 MB zip, four refreshes: 1.4 GB).
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TypedDict

import streamlit as st

from pages.shared.place import language
from pages.shared.text import t

_HERE = Path(__file__).parent
_WORDS = ("how", "tab_drop", "tab_classes", "drop", "drop_hint", "choose_folder", "choose_files", "classes_hint", "class_name",
          "class_example_1", "class_example_2", "add_photos", "photos", "remove_class", "another_class", "send_classes",
          "collecting", "nothing", "unreadable", "sending", "failed", "done", "no_answer", "retry", "go_on", "cancel", "again")


class Upload(TypedDict):
    upload: str
    """Id of the upload, as the jobs `understand` and `import` take it."""
    files: int
    bytes: int
    name: str
    """A first guess at the dataset's name, from the zip or the folder; may be empty."""


@cache
def _component():
    return st.components.v2.component(
        "studio_upload",
        html='<div id="upload"></div>\n',
        js=(_HERE / "upload.js").read_text("utf-8"),
        css=(_HERE / "upload.css").read_text("utf-8"),
    )


def upload(key: str = "upload") -> Upload | None:
    """Draw the drop zone; returns what arrived in the run just after the last byte did."""
    words = {word: t(f"data.upload.{word}") for word in _WORDS}
    result = _component()(key=key, data={"words": words, "language": language()}, on_uploaded_change=lambda: None)
    return result.uploaded
