"""The versions of a dataset: what changed, the way back, and the end of it all (with an undo)."""

from __future__ import annotations

import streamlit as st

from pages.shared import backend, place
from pages.shared.data import classes, edits
from pages.shared.home.recent import ago
from pages.shared.text import plain, t, told
from transfer_core import datasets
from transfer_core.store import Dataset, Version

_SHOWN = 20


def offer_undo(dataset: Dataset) -> None:
    """What was just done, with a way back."""
    edited = edits.last(dataset)
    if edited is None:
        return
    before, said = edited
    with st.container(horizontal=True, vertical_alignment="center", key="edited"):
        st.markdown(f":material/check_circle: {said} {t('data.edit.now', version=dataset.latest.version)}")
        if st.button(t("data.undo"), key="undo-edit", icon=":material/undo:"):
            _go_back(dataset, before)


def show(dataset: Dataset) -> None:
    st.caption(t("data.versions.text"))
    versions = backend.store().versions(dataset.id)[::-1]
    for version in versions[:_SHOWN]:
        _row(dataset, version)


def _row(dataset: Dataset, version: Version) -> None:
    latest = version.version == dataset.latest.version
    with st.container(horizontal=True, vertical_alignment="center", key=f"version-{version.version}"):
        held = version.summary["classes"]
        size = t("home.dataset_size", images=f"{sum(held.values()):,}", classes=len(held))
        st.markdown(f"**{t('data.versions.number', version=version.version)}** · {plain(told(version.change))}  \n"
                    f":small[{size} · {ago(version.created)}]")
        st.space("stretch")
        if latest:
            st.badge(t("data.versions.current"), color="green")
        elif st.button(t("data.versions.go_back"), key=f"restore-{version.version}", icon=":material/settings_backup_restore:"):
            _go_back(dataset, version.version)


def _go_back(dataset: Dataset, version: int) -> None:
    edits.apply(dataset, datasets.restore_version, version, said=t("data.edit.restored", version=version))


def delete_dataset(dataset: Dataset) -> None:
    if st.button(t("data.delete.button"), type="tertiary", icon=":material/delete:", key="delete-dataset"):
        _confirm(dataset)


def _confirm(dataset: Dataset) -> None:
    @st.dialog(t("data.delete.title", name=plain(dataset.name)))
    def ask() -> None:
        st.markdown(t("data.delete.text"))
        st.caption(classes.dependents(dataset))
        if st.button(t("data.delete.yes"), type="primary", key="delete-dataset-yes", icon=":material/delete:"):
            backend.store().delete_dataset(dataset.id)
            place.put(dataset=None, run=None, job=None, deleted=dataset.id, **{"class": None, "page": None})
            st.rerun()

    ask()
