"""What the training cost: how much was learned and how much of the old knowledge is left, epoch by epoch."""

from __future__ import annotations

import streamlit as st

from pages.shared import navigation
from pages.shared.components.drawing import drawing, shares
from pages.shared.text import plain, t
from pages.shared.train.follow import follow
from transfer_core.charts import PALETTE
from transfer_core.events import Epoch, Kept
from transfer_core.metrics import wilson
from transfer_core.progress import Progress, validated


def show(run: str) -> None:
    """Nothing for a training without validation photos, or from before this was measured."""
    progress = follow(run)
    best, second = progress.best, progress.evaluated.get("source")
    measured = best is not None and best.kept is not None and validated(progress) and best.kept.share is not None
    if measured or second:
        st.subheader(t("kept.title"), anchor="kept")
    if second:
        score = {name: f"{100 * second.report[name]:.0f}" for name in ("accuracy", "low", "high")}
        st.markdown(t("kept.second_test", n=second.report["n"], **score))
    if not measured:
        return
    st.markdown(sentence(best))
    if len(progress.epochs) > 1:
        drawing(curves(progress), key="kept-curves")
    _drift(best.kept)
    st.caption(navigation.theory("forgetting"))


def sentence(epoch: Epoch) -> str:
    kept, percent = epoch.kept, f"{100 * epoch.validation_accuracy:.0f}"
    if not kept.drift:
        return t("kept.frozen", percent=percent)
    kind = kept.kind
    if kind == "similarity":
        return t("kept.similarity", percent=percent, kept=f"{100 * kept.similarity:.0f}", n=kept.images, epoch=epoch.epoch)
    n = kept.source_images if kind == "source" else kept.images
    low, high = wilson(round(kept.share * n), n)
    interval = {"low": f"{100 * low:.0f}", "high": f"{100 * high:.0f}"}
    return t(f"kept.{kind}", percent=percent, kept=f"{100 * kept.share:.0f}", n=n, epoch=epoch.epoch, **interval)


def curves(progress: Progress) -> str:
    """Both shares over the epochs, as SVG."""
    epochs = progress.epochs
    last = epochs[-1].epoch
    learned = [(epoch.epoch, epoch.validation_accuracy) for epoch in epochs]
    left = [(epoch.epoch, max(0.0, epoch.kept.share)) for epoch in epochs if epoch.kept and epoch.kept.share is not None]
    alt = t("kept.alt", epoch=last, learned=f"{100 * learned[-1][1]:.0f}", kept=f"{100 * left[-1][1]:.0f}")
    step = max(1, -(-last // 10))
    axis = shares.Axis(1, last, [(number, str(number)) for number in range(1, last + 1, step)], t("live.epoch"))
    lines = (shares.Curve(learned, PALETTE[0]), shares.Curve(left, PALETTE[1], "7 5", "diamond"))
    return shares.picture(axis, lines, alt, progress.best and progress.best.epoch) + shares.legend(
        (t("kept.learned"), PALETTE[0], False), (t(f"kept.kept_{epochs[-1].kept.kind}"), PALETTE[1], True))


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
