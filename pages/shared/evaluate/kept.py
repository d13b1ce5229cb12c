"""What the training cost: how much was learned and how much of the old knowledge is left, epoch by epoch."""

from __future__ import annotations

import streamlit as st

from pages.shared import navigation
from pages.shared.components.drawing import drawing
from pages.shared.place import language
from pages.shared.text import plain, t, told
from pages.shared.train.follow import follow
from transfer_core import sentences
from transfer_core.drawing import figures
from transfer_core.events import Epoch, Kept
from transfer_core.progress import Progress, validated


def show(run: str) -> None:
    """Nothing for a training without validation photos, or from before this was measured."""
    progress = follow(run)
    best, second = progress.best, progress.evaluated.get("source")
    measured = best is not None and best.kept is not None and validated(progress) and best.kept.share is not None
    if measured or second:
        st.subheader(t("kept.title"), anchor="kept")
    if second:
        st.markdown(told(sentences.second_dataset(second.report)))
    if not measured:
        return
    st.markdown(sentence(best))
    if len(progress.epochs) > 1:
        drawing(curves(progress), key="kept-curves")
    _drift(best.kept)
    st.caption(navigation.theory("forgetting"))


def sentence(epoch: Epoch) -> str:
    return told(sentences.kept(epoch))


def curves(progress: Progress) -> str:
    """Both shares over the epochs, as SVG."""
    return figures.kept(progress, language())


def _drift(kept: Kept) -> None:
    """How far each part that was trained has gone."""
    if not kept.drift:
        return
    with st.expander(t("kept.drift", percent=f"{100 * kept.moved:.2g}"), icon=":material/near_me:", key="drift"):
        st.caption(t("kept.drift_help"))
        rows = [{"part": plain(name), "drift": 100 * value} for name, value in kept.drift.items()]
        st.dataframe(rows, hide_index=True, key="drift-table", column_config={
            "part": st.column_config.TextColumn(t("kept.part")),
            "drift": st.column_config.NumberColumn(t("kept.moved"), format="%.2g %%")})
