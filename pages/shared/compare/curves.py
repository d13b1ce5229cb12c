"""How each of them learned, one curve each over the same epochs."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from pages.shared.compare.chosen import Chosen
from pages.shared.components.drawing import drawing
from pages.shared.text import t
from pages.shared.train.follow import follow
from transfer_core.drawing import shares
from transfer_core.drawing.axes import Axes, legend
from transfer_core.events import Epoch
from transfer_core.progress import validated

_DASHES = ("", "7 5")
_TICKS = 5


def show(runs: Sequence[Chosen]) -> None:
    known = [(run, progress.epochs) for run in runs if (progress := follow(run.job.id)).epochs and validated(progress)]
    if not known:
        return
    st.subheader(t("compare.curves"), anchor="curves")
    last = max(epochs[-1].epoch for _, epochs in known)
    with st.container(key="compare-curves"):
        drawing(accuracy(known, last), key="compare-accuracy")
        drawing(losses(known, last), key="compare-loss")


def accuracy(known: Sequence[tuple[Chosen, Sequence[Epoch]]], last: int) -> str:
    step = max(1, -(-last // 10))
    axis = shares.Axis(1, last, [(number, str(number)) for number in range(1, last + 1, step)], t("live.epoch"))
    drawn = [shares.Curve([(epoch.epoch, epoch.validation_accuracy) for epoch in epochs], run.ink, _dash(run))
             for run, epochs in known]
    ends = "; ".join(f"{run.number}: {100 * epochs[-1].validation_accuracy:.0f} %" for run, epochs in known)
    return shares.picture(axis, drawn, t("compare.alt_accuracy", rows=ends)) + shares.legend(
        *((f"{run.number} · {t('compare.accuracy')}", run.ink, bool(_dash(run))) for run, _ in known))


def losses(known: Sequence[tuple[Chosen, Sequence[Epoch]]], last: int) -> str:
    """Of the new classes only: totals of different objectives cannot be compared."""
    top = max(epoch.validation.target for _, epochs in known for epoch in epochs) * 1.05
    axes = Axes("compare-loss", (0.5, last + 0.5), (0.0, top))
    drawn = [axes.curve([(epoch.epoch, epoch.validation.target) for epoch in epochs], run.ink, _dash(run))
             for run, epochs in known]
    drawn += [axes.dot(epoch.epoch, epoch.validation.target, run.ink) for run, epochs in known for epoch in epochs[-1:]]
    levels = {top * level / (_TICKS - 1): f"{top * level / (_TICKS - 1):.2f}" for level in range(_TICKS)}
    step = max(1, -(-last // 10))
    ends = "; ".join(f"{run.number}: {epochs[-1].validation.target:.2f}" for run, epochs in known)
    return axes.svg(t("compare.alt_loss", rows=ends), drawn, {n: str(n) for n in range(1, last + 1, step)}, levels,
                    t("live.epoch")) + legend([(f"{run.number} · {t('compare.loss')}", run.ink, "dashed" if _dash(run) else "")
                                               for run, _ in known])


def _dash(run: Chosen) -> str:
    """Colour is never the only signal: every second curve is dashed."""
    return _DASHES[(run.number - 1) % len(_DASHES)]
