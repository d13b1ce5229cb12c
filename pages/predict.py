"""Try it: photos of one's own, answered by the very file that is downloaded, or by the first look at a dataset."""

import streamlit as st

from pages.shared import needs, place
from pages.shared.components.photos import photos
from pages.shared.predict import answers, look
from pages.shared.text import t

st.title(t("predict.title"))
first = bool(place.get("look"))
run = look.asked() if first else needs.trained_run()
if run is not None:
    answers.get_ready(run)
    if not first:
        st.caption(t("predict.caption"))
    uploaded = photos(small=bool(place.get("upload")))
    if uploaded:
        place.put(upload=uploaded)
    if place.get("upload"):
        answers.show(run)
    if first:
        look.onward()
    else:
        needs.next_step("share", t("predict.next"), primary=bool(place.get("upload")))
