"""Weights copied the wrong way round: what was copied at the start of the training shown, and that its source was only read."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import streamlit as st

from pages.shared import backend
from pages.shared.learn import parts
from pages.shared.learn.shown import Shown
from pages.shared.text import plain, t
from transfer_core.events import Transferred


def formula() -> None:
    latex = r"\theta_{\mathrm{new}} \;\leftarrow\; \theta_{\mathrm{source}}"
    parts.formula("copying", latex, {latex: "arrow"}, "features")


def check(now: Shown | None) -> None:
    if now is None:
        st.caption(t("learn.copying.no_run"))
    elif now.progress.transferred is None:
        key = now.recipe.weights if now.recipe.weights in ("scratch", "file") else "pretrained"
        st.caption(t(f"learn.copying.{key}", **({"model": plain(now.recipe.model)} if key == "pretrained" else {})))
    else:
        _counts(now, now.progress.transferred)


def _counts(now: Shown, taken: Transferred) -> None:
    st.success(t("learn.copying.counts", name=plain(taken.run), copied=taken.copied, skipped=taken.skipped,
                 initialized=taken.initialized), icon=":material/check_circle:")
    source = backend.home().at("runs", taken.run, "model.safetensors")
    begun = now.job.started or now.job.created
    if not source.is_file():
        st.caption(t("learn.copying.source_gone"))
    elif (written := source.stat().st_mtime) < begun:
        st.caption(t("learn.copying.unwritten", written=_moment(written), begun=_moment(begun)))
    else:
        st.caption(t("learn.copying.written_since"))


def _moment(seconds: float) -> str:
    """On the visitor's wall clock."""
    west = st.context.timezone_offset or 0
    return f"{datetime.fromtimestamp(seconds, UTC) - timedelta(minutes=west):%Y-%m-%d %H:%M}"
