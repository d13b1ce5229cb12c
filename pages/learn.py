"""Learn: the theory of transfer learning, each formula with an example on the visitor's own training."""

import streamlit as st

from pages.shared.learn import contents, shown
from pages.shared.text import t

st.title(t("learn.title"))
st.markdown(t("learn.intro"))
contents.show(shown.choose())
