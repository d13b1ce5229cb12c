"""One dataset: what it holds, what the import found, its pictures, and what can be put right. Every change is a new version."""

from __future__ import annotations

import streamlit as st

from pages.shared import backend, navigation, place
from pages.shared.data import classes, counts, first_look, pictures, problems, report, versions
from pages.shared.home.recent import ago
from pages.shared.text import plain, t
from transfer_core.store import Dataset


def show(dataset: Dataset) -> None:
    latest = dataset.latest
    with st.container(horizontal=True, vertical_alignment="center", key="dataset-head"):
        st.title(plain(dataset.name), width="content")
        if st.button(t("data.rename.button"), type="tertiary", icon=":material/edit:", key="rename-dataset"):
            _rename(dataset)
        st.space("stretch")
        # No link: to a browser that is behind, the page without a dataset is where it was a moment ago.
        st.button(t("data.view.another"), type="tertiary", icon=":material/add:", key="another-dataset",
                  on_click=lambda: place.put(dataset=None, run=None, job=None, **{"class": None, "page": None}))
    st.markdown(_sentence(latest.summary))
    st.caption(t("data.view.version", version=latest.version, when=ago(latest.created)))
    versions.offer_undo(dataset)
    report.warnings(latest.summary)
    left, right = st.columns([3, 2], gap="large")
    with left:
        counts.show(dataset)
    with right:
        counts.splits(latest.summary["split"])
        if st.button(t("data.view.next"), type="primary", icon=":material/arrow_forward:", key="next-model"):
            navigation.go("model", dataset=dataset.id, run=None)
        report.show(latest.summary)
    first_look.show(dataset)
    report.conflicts(latest.summary)
    problems.show(dataset)
    st.subheader(t("data.view.pictures"))
    st.fragment(pictures.show, key="pictures")(dataset)
    with st.expander(t("data.classes.title"), icon=":material/label:", key="edit-classes"):
        classes.show(dataset)
    with st.expander(t("data.versions.title", count=latest.version), icon=":material/history:", key="versions"):
        versions.show(dataset)
    versions.delete_dataset(dataset)


def _rename(dataset: Dataset) -> None:
    @st.dialog(t("data.rename.title", name=plain(dataset.name)))
    def ask() -> None:
        name = st.text_input(t("data.classes.new_name"), dataset.name, key="new-dataset-name", max_chars=80).strip()
        st.caption(t("data.rename.text"))
        if st.button(t("data.rename.button"), type="primary", key="rename-dataset-yes", disabled=name in ("", dataset.name)):
            backend.store().rename_dataset(dataset.id, name)
            st.rerun()

    ask()


def _sentence(summary: dict) -> str:
    split = summary["split"]
    return t("data.view.sentence", images=f"{sum(summary['classes'].values()):,}", classes=len(summary["classes"]),
             train=f"{split['train']:,}", validation=f"{split['validation']:,}", test=f"{split['test']:,}")
