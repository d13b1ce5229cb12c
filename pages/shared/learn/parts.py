"""What sections are made of: a formula with its symbols in words, a frame for what can be tried, bars, papers."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from html import escape
from pathlib import Path
from typing import Any

import streamlit as st

from pages.shared.learn.papers import PAPERS
from pages.shared.text import t


def formula(section: str, latex: str, symbols: Mapping[str, str], *papers: str) -> None:
    """`symbols`: LaTeX → the last part of the key of its words. A formula wider than the window is pushed sideways."""
    with st.container(key=f"learn-formula-{section}"):
        st.latex(latex)
    meanings = ((symbol, t(f"learn.{section}.{word}")) for symbol, word in symbols.items())
    st.markdown("\n".join(f"- {t('learn.symbol', symbol=symbol, meaning=meaning)}" for symbol, meaning in meanings))
    st.caption(t("learn.source", papers=" · ".join(f"[{PAPERS[paper][0]}]({PAPERS[paper][1]})" for paper in papers)))


@contextmanager
def example(section: str, own: bool) -> Iterator[None]:
    """A frame that says whose numbers are in it."""
    with st.container(border=True, key=f"learn-try-{section}"):
        st.badge(t("learn.yours" if own else "learn.example"), color="green" if own else "gray",
                 icon=":material/person:" if own else ":material/science:")
        yield


def bars(rows: Sequence[tuple[str, float, str, str]], key: str) -> None:
    """(name, share from 0 to 1, number as read, colour) as bars that a screen reader reads as a list."""
    with st.container(key=key):
        st.html('<ol class="bars learn-bars">' + "".join(
            f'<li><span class="name">{escape(name)}</span><span class="track"><span style="width:{100 * min(1, share):.1f}%;'
            f'background:{ink}"></span></span><b>{escape(text)}</b></li>' for name, share, text, ink in rows) + "</ol>")


@st.cache_data(max_entries=16, show_spinner=False)
def read(file: Path, written: int) -> dict[str, Any]:
    """A JSON file as it was `written`."""
    return json.loads(file.read_text("utf-8"))
