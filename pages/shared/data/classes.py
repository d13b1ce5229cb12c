"""Rename, merge and delete classes. Each is asked once, with what depends on it, and can be taken back."""

from __future__ import annotations

import streamlit as st

from pages.shared import backend, place
from pages.shared.data import counts, edits, pictures
from pages.shared.text import plain, t
from transfer_core import datasets
from transfer_core.store import Dataset

_LONGEST = 120


def show(dataset: Dataset) -> None:
    """Three buttons for the class the gallery shows."""
    counted = counts.by_class(dataset.id, dataset.latest.version)
    label = pictures.chosen(counted)
    st.markdown(t("data.classes.of", name=plain(label), count=f"{sum(counted[label].values()):,}"))
    few = len(counted) <= 2
    with st.container(horizontal=True, key="class-actions"):
        if st.button(t("data.classes.rename"), key="rename-class", icon=":material/edit:"):
            _rename(dataset, label)
        if st.button(t("data.classes.merge"), key="merge-class", icon=":material/merge:", disabled=few,
                     help=t("data.classes.two_stay") if few else None):
            _merge(dataset, label)
        if st.button(t("data.classes.delete"), key="delete-class", icon=":material/delete:", disabled=few,
                     help=t("data.classes.two_stay") if few else None):
            _delete(dataset, label)


def dependents(dataset: Dataset) -> str:
    """What was made from this dataset and stays as it is."""
    runs = sum(run.payload["recipe"]["dataset"] == dataset.id for run in backend.store().jobs("train"))
    return t("data.classes.dependents", count=runs) if runs else t("data.classes.no_dependents")


def _rename(dataset: Dataset, label: str) -> None:
    @st.dialog(t("data.classes.rename_title", name=plain(label)))
    def ask() -> None:
        name = st.text_input(t("data.classes.new_name"), label, key="new-class-name", max_chars=_LONGEST).strip()
        known = name in counts.by_class(dataset.id, dataset.latest.version) and name != label
        st.caption(t("data.classes.exists", name=plain(name)) if known else dependents(dataset))
        if st.button(t("data.classes.rename"), type="primary", key="rename-yes", disabled=not name or name == label or known):
            place.put(**{"class": name, "page": None})
            edits.apply(dataset, datasets.rename_class, label, name,
                        said=t("data.edit.renamed", old=plain(label), new=plain(name)))

    ask()


def _merge(dataset: Dataset, label: str) -> None:
    @st.dialog(t("data.classes.merge_title", name=plain(label)))
    def ask() -> None:
        others = [name for name in sorted(counts.by_class(dataset.id, dataset.latest.version)) if name != label]
        into = st.selectbox(t("data.classes.merge_into"), others, key="merge-into")
        st.caption(dependents(dataset))
        if st.button(t("data.classes.merge_yes"), type="primary", key="merge-yes"):
            place.put(**{"class": into, "page": None})
            edits.apply(dataset, datasets.merge_classes, [label, into], into,
                        said=t("data.edit.merged", old=plain(label), new=plain(into)))

    ask()


def _delete(dataset: Dataset, label: str) -> None:
    @st.dialog(t("data.classes.delete_title", name=plain(label)))
    def ask() -> None:
        count = sum(counts.by_class(dataset.id, dataset.latest.version)[label].values())
        st.markdown(t("data.classes.delete_text", count=f"{count:,}"))
        st.caption(dependents(dataset))
        if st.button(t("data.classes.delete_yes"), type="primary", key="delete-yes", icon=":material/delete:"):
            place.put(**{"class": None, "page": None})
            edits.apply(dataset, datasets.delete_class, label, said=t("data.edit.class_deleted", name=plain(label)))

    ask()
