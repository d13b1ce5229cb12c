"""Try it: photos of one's own, answered by the very file that is downloaded."""

import streamlit as st

from pages.shared import needs, place
from pages.shared.components.photos import photos
from pages.shared.predict import answers
from pages.shared.text import t

st.title(t("predict.title"))
run = needs.trained_run()
if run is not None:
    answers.get_ready(run)
    st.caption(t("predict.caption"))
    uploaded = photos(small=bool(place.get("upload")))
    if uploaded:
        place.put(upload=uploaded)
    if place.get("upload"):
        answers.show(run)
    needs.next_step("share", t("predict.next"), primary=bool(place.get("upload")))
