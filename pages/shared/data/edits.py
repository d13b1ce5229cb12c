"""Changing a dataset: the change makes the next version, and the way back stays open."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import streamlit as st

from pages.shared import backend, frame
from pages.shared.components.gallery import Asked
from pages.shared.text import plain, t
from transfer_core import datasets
from transfer_core.errors import StudioError
from transfer_core.store import Dataset, Version

_EDITED = "edited-dataset"


def apply(dataset: Dataset, change: Callable[..., Version], *arguments: Any, said: str) -> None:
    """Make the change and draw the page anew, with what happened and an undo on top; an error is shown where it was asked."""
    try:
        made = change(backend.store(), dataset.id, *arguments)
    except StudioError as error:
        frame.show(error)
        return
    if made.version != dataset.latest.version:
        st.session_state[_EDITED] = (dataset.id, made.version, dataset.latest.version, said)
    st.rerun()


def of_gallery(asked: Asked, dataset: Dataset) -> None:
    """What a gallery was asked to do with some photos: move them to another class, or delete them."""
    files = asked["ids"]
    if asked["do"] == "move":
        apply(dataset, datasets.move_images, files, asked["to"],
              said=t("data.edit.moved", count=len(files), name=plain(asked["to"])))
    else:
        apply(dataset, datasets.delete_images, files, said=t("data.edit.deleted", count=len(files)))


def last(dataset: Dataset) -> tuple[int, str] | None:
    """(version to go back to, what was done), when the newest version is this visitor's change."""
    edited = st.session_state.get(_EDITED)
    if edited and edited[:2] == (dataset.id, dataset.latest.version):
        return edited[2], edited[3]
    return None


def forget() -> None:
    st.session_state.pop(_EDITED, None)
