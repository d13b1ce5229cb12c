"""What the training cost: how much was learned and how much of the old knowledge is left, epoch by epoch."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import streamlit as st

from pages.shared import navigation
from pages.shared.components.drawing import drawing
from pages.shared.text import plain, t
from pages.shared.train.follow import follow
from transfer_core.charts import PALETTE
from transfer_core.events import Epoch, Kept
from transfer_core.metrics import wilson
from transfer_core.progress import Progress, validated

_WIDTH, _HEIGHT, _LEFT, _BOTTOM, _TOP = 400, 210, 42, 34, 10
_MOST = 60
"""Markers in a curve; more would run into each other."""


def show(run: str) -> None:
    """Nothing for a training without validation photos, or from before this was measured."""
    progress = follow(run)
    best = progress.best
    if best is None or best.kept is None or not validated(progress) or best.kept.share is None:
        return
    st.subheader(t("kept.title"), anchor="kept")
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
    alt = escape(t("kept.alt", epoch=last, learned=f"{100 * learned[-1][1]:.0f}", kept=f"{100 * left[-1][1]:.0f}"))
    grid = "".join(_level(level) for level in (0.0, 0.25, 0.5, 0.75, 1.0))
    step = max(1, -(-last // 10))
    ticks = "".join(f'<text x="{_x(number, last):.1f}" y="{_HEIGHT - _BOTTOM + 18}" text-anchor="middle">{number}</text>'
                    for number in range(1, last + 1) if (number - 1) % step == 0)
    best = progress.best
    mark = (f'<line x1="{_x(best.epoch, last):.1f}" x2="{_x(best.epoch, last):.1f}" y1="{_TOP}" y2="{_HEIGHT - _BOTTOM}" '
            'stroke="currentColor" stroke-opacity=".35" stroke-dasharray="2 4"/>') if best else ""
    return (f'<svg class="kept-curves" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{alt}" font-size="11" '
            f'fill="currentColor">{grid}{ticks}{mark}{_curve(learned, last, PALETTE[0], "", "circle")}'
            f'{_curve(left, last, PALETTE[1], "7 5", "diamond")}'
            f'<text x="{_WIDTH / 2}" y="{_HEIGHT - 2}" text-anchor="middle" opacity=".75">{escape(t("live.epoch"))}</text></svg>'
            f'<p class="kept-legend"><span style="--ink:{PALETTE[0]}">{escape(t("kept.learned"))}</span>'
            f'<span class="dashed" style="--ink:{PALETTE[1]}">{escape(t(f"kept.kept_{epochs[-1].kept.kind}"))}</span></p>')


def _x(epoch: int, last: int) -> float:
    return _LEFT + 12 + (epoch - 1) / max(1, last - 1) * (_WIDTH - _LEFT - 30)


def _y(value: float) -> float:
    return _TOP + (1 - value) * (_HEIGHT - _BOTTOM - _TOP)


def _level(level: float) -> str:
    y = _y(level)
    return (f'<line x1="{_LEFT}" x2="{_WIDTH}" y1="{y:.1f}" y2="{y:.1f}" stroke="currentColor" stroke-opacity=".15"/>'
            f'<text x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{100 * level:.0f} %</text>')


def _curve(points: Sequence[tuple[int, float]], last: int, ink: str, dash: str, marker: str) -> str:
    places = [(_x(epoch, last), _y(value)) for epoch, value in points]
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
    drawn = f'<polyline points="{line}" fill="none" stroke="{ink}" stroke-width="2.5" stroke-dasharray="{dash}"/>'
    if len(places) > _MOST:
        return drawn
    if marker == "circle":
        return drawn + "".join(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="{ink}"/>' for x, y in places)
    return drawn + "".join(f'<path d="M{x:.1f} {y - 5:.1f}l5 5-5 5-5-5z" fill="{ink}"/>' for x, y in places)


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
