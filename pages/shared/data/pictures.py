"""The pictures, class by class: look, select, move to another class, delete."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import streamlit as st

from pages.shared import backend, place
from pages.shared.components.gallery import Item, gallery
from pages.shared.data import counts, edits
from pages.shared.text import t
from transfer_core.datasets.manifest import Image
from transfer_core.store import Dataset

PAGE = 60


def show(dataset: Dataset) -> None:
    counted = counts.by_class(dataset.id, dataset.latest.version)
    label = chosen(counted)
    images = [image for image in backend.manifest(dataset.id, dataset.latest.version).images if image.label == label]
    first = _page(len(images)) * PAGE
    with st.container(horizontal=True, vertical_alignment="bottom", key="gallery-head"):
        _choose_class(counted, label)
        if len(images) > PAGE:
            _turn_pages(first, len(images))
    with st.container(key="gallery"):
        asked = gallery(items(images[first:first + PAGE]), t("data.gallery.label", name=label),
                        [name for name in sorted(counted) if name != label], key=f"gallery-{dataset.id}")
    if asked:
        edits.of_gallery(asked, dataset)


def chosen(counted: dict[str, dict[str, int]]) -> str:
    """The class in the URL, else the largest."""
    asked = place.get("class")
    return asked if asked in counted else next(iter(counted))


def items(images: Sequence[Image]) -> list[Item]:
    return [Item(id=image.file, thumbnail=f"/thumbnails/{image.sha256}.webp", full=f"/images/{image.sha256}",
                 name=image.file, detail=f"{image.width} × {image.height} · {t(f'data.split.{image.split}')}",
                 note=t(f"data.split.{image.split}"), kind=image.split) for image in images]


def _choose_class(counted: dict[str, dict[str, int]], label: str) -> None:
    # One widget for each set of classes: a browser that still shows a class which has just gone would answer with another.
    key = f"gallery-class-{hashlib.sha256(repr(sorted(counted)).encode()).hexdigest()[:8]}"
    if st.session_state.get(key) != label:
        st.session_state[key] = label
    st.selectbox(t("data.gallery.class"), list(counted), key=key, width=340, on_change=_turn_to_class, args=(key, label),
                 format_func=lambda name: f"{name} ({sum(counted[name].values()):,})" if name in counted else name)


def _turn_to_class(key: str, now: str) -> None:
    if (label := st.session_state[key]) != now:
        place.put(**{"class": label, "page": None})


def _page(count: int) -> int:
    asked = place.get("page") or "1"
    last = max(0, (count - 1) // PAGE)
    return min(last, max(0, int(asked) - 1)) if asked.isdecimal() else 0


def _turn_pages(first: int, count: int) -> None:
    here = first // PAGE + 1
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="right", key="gallery-pages"):
        st.caption(t("data.gallery.range", first=first + 1, last=min(count, first + PAGE), count=f"{count:,}"), width="content")
        st.button(t("data.gallery.page_back"), key="page-back", icon=":material/chevron_left:", disabled=first == 0,
                  on_click=lambda: place.put(page=here - 1))
        st.button(t("data.gallery.page_on"), key="page-on", icon=":material/chevron_right:", disabled=first + PAGE >= count,
                  on_click=lambda: place.put(page=here + 1))
