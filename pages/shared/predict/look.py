"""Trying the first look at a dataset, before anything was trained: the job in the URL's `look`."""

from __future__ import annotations

import streamlit as st

from pages.shared import backend, navigation, place
from pages.shared.text import plain, t
from transfer_core.errors import NotFound
from transfer_core.store import Job


def asked() -> Job | None:
    """The first look in the URL while its model is there; else None, after saying so."""
    try:
        job = backend.store().job(place.get("look") or "")
    except NotFound:
        job = None
    if job is None or job.kind != "guess" or not backend.home().at("runs", job.id, "model.onnx").is_file():
        st.warning(t("predict.first_look_gone"), icon=":material/search_off:")
        navigation.link("data", t("predict.first_look_back"), ":material/photo_library:")
        return None
    st.caption(t("predict.first_look", name=plain(job.payload["name"])))
    return job


def onward() -> None:
    navigation.link("model", t("data.view.next"), ":material/arrow_forward:")
