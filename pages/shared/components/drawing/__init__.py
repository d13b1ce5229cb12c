"""An SVG drawing of our own making, in the page's own colours. (`st.html` strips SVG; `st.image` knows no theme.)"""

from __future__ import annotations

from functools import cache

import streamlit as st

_JS = """
export default function ({ parentElement, data }) {
  parentElement.querySelector(".drawing").innerHTML = data;
}
"""


@cache
def _component():
    return st.components.v2.component("studio_drawing", html='<div class="drawing"></div>\n', js=_JS, isolate_styles=False)


def drawing(svg: str, key: str) -> None:
    """Show an SVG. Trusted markup only: what comes from a person must be escaped by who draws it."""
    _component()(key=key, data=svg)
