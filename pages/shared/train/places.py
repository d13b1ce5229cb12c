"""Share this one training among all places there are? Asked beside Start, where there is more than one."""

from __future__ import annotations

import streamlit as st

from pages.shared import backend, place
from pages.shared.bound import bind_to
from pages.shared.text import t
from transfer_core.jobs import ranks


def asked() -> int:
    """Among how many the training is to be shared, as the URL says; 1 is alone."""
    there = ranks.places(backend.store(), backend.device())
    return there if there > 1 and place.get("workers") == "all" else 1


def show(now: int) -> None:
    there = ranks.places(backend.store(), backend.device())
    if there < 2:
        return
    with st.container(key="places", gap="small"):
        st.toggle(t("train.places", count=there), help=t("train.places_help"),
                  **bind_to("places-on", now > 1, lambda on: place.put(workers="all" if on else None)))
