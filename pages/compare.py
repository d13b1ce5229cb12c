"""Compare: what differs between some trainings, and whether one of them is better."""

import streamlit as st

from pages.shared.compare import show
from pages.shared.text import t

st.title(t("compare.title"))
show()
