"""How to use the downloaded files, as code to copy."""

from __future__ import annotations

import shlex

import streamlit as st

from pages.shared.text import t
from transfer_core.paths import assets

# Words that every system knows: `unzip` is not there on Windows, nor is `&&` in its PowerShell.
_COMMAND = """python -m zipfile -e {file} my-model
cd my-model
python -m pip install -r requirements.txt
python predict.py photo.jpg"""

_STUDIO = """from pathlib import Path

from transfer_core import Predictor

predictor = Predictor("my-model/model.onnx")
for name, share in zip(predictor.classes, predictor.predict_files([Path("photo.jpg")])[0].probabilities):
    print(name, share)"""


def quoted(file: str) -> str:
    """A file's name for a terminal: in double quotes, which Windows knows, too, where no sign in it means something there."""
    safe = shlex.quote(file)
    return safe if safe == file or set(file) & set("$`\"\\!%") else f'"{file}"'


def timm_code(folder: str = "my-model") -> str:
    """The text of the model card, for someone who stands beside the unpacked folder."""
    return (assets() / "export" / "use_timm.py").read_text("utf-8").strip().replace("local-dir:.", f"local-dir:{folder}")


def show(file: str, timm: bool) -> None:
    """`file`: the zip, as it is called after the download; `timm`: whether timm can open it."""
    st.subheader(t("share.use"))
    codes = {"command": (_COMMAND.format(file=quoted(file)), "bash"), "timm": (timm_code(), "python"),
             "studio": (_STUDIO, "python")}
    shown = [name for name in codes if timm or name != "timm"]
    for tab, name in zip(st.tabs([t(f"share.use_{name}") for name in shown], key="use"), shown, strict=True):
        code, language = codes[name]
        tab.code(code, language=language)
