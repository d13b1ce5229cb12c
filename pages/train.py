"""Train: the card that says what will happen, Start, and the run as it happens."""

import streamlit as st

from pages.shared import backend, place
from pages.shared.text import t
from pages.shared.train import card, watch

st.title(t("train.title"))
run = backend.run()
if run is not None:
    watch.show(run)
elif place.get("run"):
    st.warning(t("train.no_such_run"), icon=":material/search_off:")
    card.show()
else:
    card.show()
