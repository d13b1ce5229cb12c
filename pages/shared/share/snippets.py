"""How to use the downloaded files, as code to copy."""

from __future__ import annotations

import shlex

import streamlit as st

from pages.shared.text import t

_COMMAND = """unzip {file} -d my-model && cd my-model
pip install -r requirements.txt
python predict.py photo.jpg"""

_TIMM = """import timm, torch
from PIL import Image

model = timm.create_model("local-dir:my-model", pretrained=True).eval()
transform = timm.data.create_transform(**timm.data.resolve_model_data_config(model))
with torch.no_grad():
    probabilities = model(transform(Image.open("photo.jpg").convert("RGB"))[None]).softmax(-1)[0]
print(model.pretrained_cfg["label_names"][probabilities.argmax()], float(probabilities.max()))"""

_STUDIO = """from pathlib import Path

from transfer_core import Predictor

predictor = Predictor("my-model/model.onnx")
for name, share in zip(predictor.classes, predictor.predict_files([Path("photo.jpg")])[0].probabilities):
    print(name, share)"""


def show(file: str) -> None:
    """`file`: the zip, as it is called after the download."""
    st.subheader(t("share.use"))
    command, with_timm, with_studio = st.tabs([t("share.use_command"), t("share.use_timm"), t("share.use_studio")], key="use")
    command.code(_COMMAND.format(file=shlex.quote(file)), language="bash")
    with_timm.code(_TIMM, language="python")
    with_studio.code(_STUDIO, language="python")
