"""Running averages that must stand still: whether they did, as the training counted after its best epoch."""

from __future__ import annotations

import streamlit as st

from pages.shared.learn import parts
from pages.shared.learn.shown import Shown
from pages.shared.text import t, told


def formula() -> None:
    parts.formula("statistics", r"\mu \;\leftarrow\; (1 - m)\, \mu + m\, \mu_{\mathrm{batch}}", {
        r"\mu": "mu", r"\mu_{\mathrm{batch}}": "batch", "m": "m"}, "batchnorm")


def check(now: Shown | None) -> None:
    if now is None:
        st.caption(t("learn.statistics.no_run"))
        return
    best = now.progress.best
    seen = best.kept if best else None
    if seen is None or seen.averages is None:
        st.caption(t("learn.statistics.unrecorded"))
    elif not seen.averages:
        st.caption(t("learn.statistics.nothing"))
    else:
        text = t("learn.statistics.moved", count=seen.averages, moved=seen.averages_moved)
        if seen.averages_moved:
            st.error(text, icon=":material/error:")
        else:
            st.success(text, icon=":material/check_circle:")
    for note in now.progress.notes:
        if note.message.key == "fit.statistics_frozen":
            st.caption(told(note.message))
            break
