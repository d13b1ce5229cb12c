"""What freezing saves when its part is computed once, and what it did in the training shown."""

from __future__ import annotations

from statistics import fmean

import streamlit as st

from pages.shared.learn import parts
from pages.shared.learn.shown import Shown
from pages.shared.model.numbers import digits, size
from pages.shared.text import plain, t, told
from transfer_core.charts import PALETTE
from transfer_core.theory import passes

_IMAGES, _FROZEN, _EPOCHS = 100, 0.9, [1, 2, 3, 5, 8, 10, 15, 20, 30, 50, 100]


def show(now: Shown | None) -> None:
    parts.formula("freezing", r"E\, N\, c \quad\longrightarrow\quad V N\, s\, c \;+\; E\, N\, (1 - s)\, c",
                  {"N": "n", "E": "e", "s": "s", "V": "v", "c": "c"}, "features", "probe")
    cached = now.progress.cached if now else None
    images = now.progress.started.images.get("train", 0) if cached and now.progress.started else 0
    known = cached is not None and images > 0
    _saved(known, images if known else _IMAGES, cached.share if known else _FROZEN, max(1, cached.views) if known else 1,
           now.recipe.epochs if known else 10, now.job.id if now else "")
    if now and now.progress.epochs:
        _of_run(now)


@st.fragment
def _saved(own: bool, images: int, frozen: float, views: int, epochs: int, run: str) -> None:
    with parts.example("freezing", own):
        options = sorted({*_EPOCHS, epochs})
        chosen = st.select_slider(t("learn.freezing.slider"), options, epochs, key=f"learn-epochs-{run}")
        plainly, stored = passes(images, chosen, frozen, views)
        most = max(plainly, stored)
        parts.bars([(t("learn.freezing.plain"), plainly / most, _count(plainly), PALETTE[1]),
                    (t("learn.freezing.stored"), stored / most, _count(stored), PALETTE[0])], key="learn-freezing-bars")
        if stored < plainly:
            st.markdown(t("learn.freezing.result", factor=digits(plainly / stored), n=images, share=_percent(frozen)))
        else:
            st.markdown(t("learn.freezing.result_none", views=views))
        st.caption(t("learn.freezing.forward"))


def _count(number: float) -> str:
    return t("learn.freezing.unit", count=f"{number:,.0f}")


def _percent(share: float) -> str:
    """Whole percents, but never 100 while something is left to run."""
    return f"{100 * share:.0f}" if share < 0.995 or share == 1 else "> 99"


def _of_run(now: Shown) -> None:
    cached, progress = now.progress.cached, now.progress
    epoch = digits(fmean(each.seconds for each in progress.epochs))
    with parts.example("freezing-run", own=True):
        if cached is None:
            st.markdown(t("learn.freezing.run_none", epoch=epoch))
            for note in progress.notes:
                if note.message.key.startswith("fit.cache."):
                    st.caption(plain(told(note.message)))
            return
        facts = {"size": size(cached.bytes), "share": _percent(cached.share), "epoch": epoch}
        if cached.hit:
            st.markdown(t("learn.freezing.run_hit", **facts))
        else:
            engine = t(f"train.engine_{cached.engine}")
            st.markdown(t("learn.freezing.run", **facts, seconds=digits(cached.seconds), engine=engine))
