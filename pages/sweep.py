"""Which λ? Several trainings side by side: what each learned, what each kept, and which one to take."""

import streamlit as st

from pages.shared.sweep import watch
from pages.shared.text import t

st.title(t("sweep.title"))
watch.show()
