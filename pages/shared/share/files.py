"""The files of a run: what each is for, its size, and the proof that it answers as the page does."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from pathlib import Path
from urllib.parse import quote

import streamlit as st

from pages.shared.model.numbers import decimal, digits
from pages.shared.text import t
from transfer_core.events import Exported
from transfer_core.metrics import wilson

READY = ("zip", "onnx")
"""Made at the end of every training. (Weights alone are of no use without their configuration: both are in the zip.)"""


def show(run: str, exported: Mapping[str, Exported]) -> str:
    """Offers those that every training leaves; returns the name of the zip."""
    known = [exported[name] for name in READY if name in exported]
    if not known:
        st.info(t("share.none"), icon=":material/info:")
        return "model.zip"
    main, *others = known
    with st.container(border=True, key="download-main"):
        st.subheader(t(f"share.{main.format}_title"))
        st.write(t(f"share.{main.format}_text"))
        offer(run, main, primary=True)
    for other in others:
        with st.container(border=True, key=f"download-{other.format}"):
            st.markdown(f"**{t(f'share.{other.format}_title')}** – {t(f'share.{other.format}_text')}")
            offer(run, other)
    return next((Path(file.file).name for file in known if file.format == "zip"), "model.zip")


def offer(run: str, file: Exported, primary: bool = False) -> None:
    """The link, and what the file answered when it was asked."""
    st.html(_button(run, file, primary))
    _proof(file)


def _button(run: str, file: Exported, primary: bool) -> str:
    # A plain link to our own route: it streams from disk, resumes, and keeps the server's memory flat.
    address = f"/files/{quote(run)}/{quote(file.file)}"
    label = t("share.download", size=_size(file.bytes))
    return f'<a class="download{" primary" if primary else ""}" href="{address}" download>{escape(label)}</a>'


def _proof(file: Exported) -> None:
    if not file.replayed:
        st.caption(t("share.not_replayed"))
    elif file.right is not None:
        low, high = (f"{100 * bound:.1f}" for bound in wilson(file.right, file.replayed))
        st.caption(":material/straighten: " + t("share.quantized", n=file.replayed, right=file.right, low=low, high=high,
                                                before=file.right_before, same=file.same))
    elif file.same == file.replayed:
        st.caption(":material/verified: " + t("share.replayed", n=file.replayed, difference=_apart(file.largest_difference)))
    else:
        st.warning(t("share.differs", n=file.replayed, same=file.same, difference=_apart(file.largest_difference)))


def _apart(difference: float) -> str:
    """How far two probabilities are apart, in percentage points: nobody counts the zeros of 0.0000006."""
    for bound in (0.001, 0.01, 0.1):
        if 100 * difference < bound:
            return t("share.below", value=decimal(bound))
    return t("share.up_to", value=digits(100 * difference))


def _size(count: int) -> str:
    return f"{count / 1e6:.1f} MB" if count >= 1e6 else f"{count / 1e3:.0f} kB"
