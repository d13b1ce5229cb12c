"""What freezing saves when its part is computed once, and what it did in the training shown."""

from __future__ import annotations

from collections.abc import Sequence
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
    facts = of_run(now) if now and now.progress.epochs else ()
    if known:
        _saved(facts, images, cached.share, max(1, cached.views), now.recipe.epochs, now.job.id)
        return
    _saved((), _IMAGES, _FROZEN, 1, 10, "")
    if facts:
        with parts.example("freezing-run", own=True):
            for text in facts:
                st.markdown(text)


@st.fragment
def _saved(facts: Sequence[str], images: int, frozen: float, views: int, epochs: int, run: str) -> None:
    """`facts`: sentences on the training whose numbers these are; none for the example."""
    with parts.example("freezing", own=bool(run)):
        for text in facts:
            st.markdown(text)
        options = sorted({*_EPOCHS, epochs})
        chosen = st.select_slider(t("learn.freezing.slider"), options, epochs, key=f"learn-epochs-{run}")
        plainly, stored = passes(images, chosen, frozen, views)
        most = max(plainly, stored)
        parts.bars([(t("learn.freezing.plain"), plainly / most, _count(plainly), PALETTE[1]),
                    (t("learn.freezing.stored"), stored / most, _count(stored), PALETTE[0])], key="learn-freezing-bars")
        if stored < plainly:
            st.markdown(t("learn.freezing.result", left=f"{100 * stored / plainly:.0f}", n=images, share=_percent(frozen)))
        else:
            st.markdown(t("learn.freezing.result_none", views=views))
        st.caption(t("learn.freezing.forward"))


def _count(number: float) -> str:
    return t("learn.freezing.unit", count=f"{number:,.0f}")


def _percent(share: float) -> str:
    """Whole percents, but never 100 while something is left to run."""
    return f"{100 * share:.0f}" if share < 0.995 or share == 1 else "> 99"


def of_run(now: Shown) -> list[str]:
    """What was stored and what it took; or that nothing was, and why."""
    cached, progress = now.progress.cached, now.progress
    epoch = digits(fmean(each.seconds for each in progress.epochs))
    if cached is None:
        reasons = [note.message for note in progress.notes if note.message.key.startswith("fit.cache.")]
        return [t("learn.freezing.run_none", epoch=epoch), *(plain(told(reason)) for reason in reasons[:1])]
    facts = {"size": size(cached.bytes), "share": _percent(cached.share), "epoch": epoch}
    if cached.hit:
        return [t("learn.freezing.run_hit", **facts)]
    engine = t("train.engine_onnx" if cached.engine == "onnxruntime" else "train.engine_torch")
    return [t("learn.freezing.run", **facts, seconds=digits(cached.seconds), engine=engine)]
