"""How to use the downloaded files, as code to copy."""

from __future__ import annotations

import shlex

import streamlit as st

from pages.shared.text import t
from transfer_core.paths import assets

_COMMAND = """unzip {file} -d my-model && cd my-model
pip install -r requirements.txt
python predict.py photo.jpg"""

_STUDIO = """from pathlib import Path

from transfer_core import Predictor

predictor = Predictor("my-model/model.onnx")
for name, share in zip(predictor.classes, predictor.predict_files([Path("photo.jpg")])[0].probabilities):
    print(name, share)"""


def timm_code(folder: str = "my-model") -> str:
    """The text of the model card, for someone who stands beside the unpacked folder."""
    return (assets() / "export" / "use_timm.py").read_text("utf-8").strip().replace("local-dir:.", f"local-dir:{folder}")


def show(file: str) -> None:
    """`file`: the zip, as it is called after the download."""
    st.subheader(t("share.use"))
    command, with_timm, with_studio = st.tabs([t("share.use_command"), t("share.use_timm"), t("share.use_studio")], key="use")
    command.code(_COMMAND.format(file=shlex.quote(file)), language="bash")
    with_timm.code(timm_code(), language="python")
    with_studio.code(_STUDIO, language="python")
