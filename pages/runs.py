"""Every training there was: what it was made from, how it ended, and the way back to it."""

import streamlit as st

from pages.shared.runs import listing
from pages.shared.text import t

st.title(t("runs.title"))
listing.show()
