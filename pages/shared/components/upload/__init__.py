"""The drop zone: a zip, a folder, photos, or class by class; streamed file by file to our own route.

Streamlit's uploader keeps every byte in memory and a copy more after each refresh (200 MB zip, four refreshes: 1.4 GB).
"""

from __future__ import annotations

from typing import TypedDict

from pages.shared.components.face import face
from pages.shared.place import language
from pages.shared.text import t

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


def upload(key: str = "upload") -> Upload | None:
    """Draw the drop zone; returns what arrived in the run just after the last byte did."""
    words = {word: t(f"data.upload.{word}") for word in _WORDS}
    shown = face("upload", '<div id="upload"></div>')
    result = shown(key=key, data={"words": words, "language": language()}, on_uploaded_change=lambda: None)
    return result.uploaded
