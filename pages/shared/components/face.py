"""The browser's side of a component: `<name>.js` and `<name>.css`, which lie beside the code that calls them."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import streamlit as st


@cache
def face(name: str, html: str, *, isolate_styles: bool = True, parts: tuple[str, ...] = ()) -> Callable[..., Any]:
    """The component of the folder `name`, read and registered once. `html` is what its script finds when it begins;
    with `isolate_styles` its style sheet neither reaches the page nor hears of it. `parts` are folders of what it shares with
    other components; they come first."""
    js, css = ("\n".join(_read(each, kind) for each in (*parts, name)) for kind in ("js", "css"))
    return st.components.v2.component(f"studio_{name}", js=js, css=css, html=f"{html}\n", isolate_styles=isolate_styles)


def _read(name: str, kind: str) -> str:
    file = Path(__file__).parent / name / f"{name}.{kind}"
    return file.read_text("utf-8") if file.is_file() else ""
