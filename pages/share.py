"""Take home: the model as files, each replayed on test photos before it is offered."""

import streamlit as st

from pages.shared import needs, report
from pages.shared.share import files, making, publishing, pushing, snippets
from pages.shared.text import t
from pages.shared.train.follow import follow

st.title(t("share.title"))
run = needs.trained_run()
if run is not None:
    exported = follow(run.id).exported
    name = files.show(run.id, exported)
    report.offer(run)
    if exported:
        making.show(run)
    snippets.show(name, timm=bool({"timm", "safetensors"} & set(exported)))  # the second is what it was called before
    if "onnx" in exported:
        publishing.show(run)
        pushing.show(run)
