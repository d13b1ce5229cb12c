"""Take home: the model as files, each replayed on test photos before it is offered."""

import streamlit as st

from pages.shared import needs
from pages.shared.share import files, snippets
from pages.shared.text import t
from pages.shared.train.follow import follow

st.title(t("share.title"))
run = needs.trained_run()
if run is not None:
    name = files.show(run)
    snippets.show(name, timm="safetensors" in follow(run.id).exported)
