"""Where photos come from: this computer, an example, or a dataset made before."""

from __future__ import annotations

import streamlit as st

from pages.shared import backend, place
from pages.shared.components.upload import upload
from pages.shared.home import example
from pages.shared.home.recent import ago
from pages.shared.text import plain, t
from pages.shared.undisturbed import undisturbed
from transfer_core.examples import EXAMPLES
from transfer_core.people import is_trial
from transfer_core.store import Dataset


def show() -> None:
    _offer_undo()
    if is_trial():
        st.title(t("people.trial_title"))
        st.markdown(t("people.trial"))
    else:
        st.title(t("data.title"))
        st.markdown(t("data.lead"))
        if arrived := upload(key="upload"):
            job = backend.store().submit("understand", {"upload": arrived["upload"]})
            place.put(job=job.id, called=arrived["name"] or None, dataset=None, run=None, deleted=None)
            st.rerun()
        st.subheader(t("data.examples_title"))
    _examples()
    _datasets()


def _examples() -> None:
    with st.container(key="examples"):
        for each in EXAMPLES:
            with st.container(border=True, key=f"example-{each.name}"):
                st.html(example.preview(each.name))
                st.markdown(f"**{t(f'examples.{each.name}.title')}**")
                st.caption(t(f"examples.{each.name}.text"))
                st.button(t("data.example_use"), key=f"use-{each.name}", icon=":material/add:", on_click=_use, args=(each.name,))


@undisturbed()
def _use(name: str) -> None:
    """Open the example where it was imported before, else import it."""
    payload = {"example": name, "name": t(f"examples.{name}.title"), "then": "look"}
    job = example.imported(name) or backend.store().submit("import", payload)
    place.put(job=job.id, dataset=None, run=None, deleted=None)


def _datasets() -> None:
    datasets = backend.store().datasets()
    if not datasets:
        return
    st.subheader(t("data.datasets_title"))
    with st.container(key="datasets"):
        for dataset in datasets:
            _card(dataset)


def _card(dataset: Dataset) -> None:
    classes = dataset.latest.summary["classes"]
    with st.container(border=True, key=f"dataset-{dataset.id}"):
        # No link: to where one was a moment ago, on the page itself, a link would count as late (see `place`).
        st.button(f"**{plain(dataset.name)}**", type="tertiary", icon=":material/photo_library:", key=f"open-{dataset.id}",
                  on_click=_open, args=(dataset.id,))
        size = t("home.dataset_size", images=f"{sum(classes.values()):,}", classes=len(classes))
        st.caption(f"{size} · {ago(dataset.latest.created)}")


def _open(dataset: str) -> None:
    place.put(dataset=dataset, run=None, deleted=None)


def _offer_undo() -> None:
    """Deleting hides; the URL remembers what, so that a refresh does not take the way back."""
    deleted = place.get("deleted")
    if not deleted:
        return
    with st.container(horizontal=True, vertical_alignment="center", key="deleted-dataset"):
        st.caption(t("data.deleted"))
        st.button(t("data.undo"), key="undo-delete", icon=":material/undo:", on_click=_undo, args=(deleted,))


@undisturbed()
def _undo(dataset: str) -> None:
    backend.store().delete_dataset(dataset, undo=True)
    place.put(deleted=None, dataset=dataset)
