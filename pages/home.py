"""Home: what this is, the two ways in, and what was left here last time."""

import streamlit as st

from pages.shared import navigation, place
from pages.shared.components.drawing import drawing
from pages.shared.data import imports
from pages.shared.home import example, recent, waiting
from pages.shared.home.hero import hero
from pages.shared.text import t
from transfer_core.people import is_trial

_DIFFERENCES = (("ac_unit", "freeze"), ("tune", "lambda"), ("straighten", "honest"), ("download_done", "same"))


def _welcome() -> None:
    left, right = st.columns([6, 5], gap="large", vertical_alignment="center")
    with left, st.container(key="welcome"):
        st.title(t("home.title"))
        st.markdown(t("home.what"))
        with st.container(horizontal=True, key="ways-in", gap="small"):
            st.button(t("home.try_example"), type="primary", icon=":material/play_arrow:", key="try-example",
                      on_click=example.begin)
            said = t("people.trial_more") if is_trial() else t("home.use_photos")
            if st.button(said, icon=":material/add_photo_alternate:", key="use-photos"):
                navigation.go("data", dataset=None, run=None)
        st.caption(t("home.example_caption"))
    with right:
        drawing(_drawing(place.language()), key="hero")


@st.cache_data(show_spinner=False)
def _drawing(language: str) -> str:
    return hero({name: t(f"home.hero_{name}") for name in ("title", "text", "freeze", "anchor", "train", "photo")})


def _what_is_different() -> None:
    with st.container(key="differences"):
        for icon, name in _DIFFERENCES:
            with st.container(key=f"difference-{name}"):
                st.markdown(f":material/{icon}: **{t(f'home.{name}_title')}**")
                st.markdown(t(f"home.{name}_text"))


job, request = imports.job(place.get("job")), place.get("then")
if job and request:
    waiting.show(job, request)
else:
    if place.get("then"):
        waiting.leave()
    _welcome()
    recent.show()
    _what_is_different()
