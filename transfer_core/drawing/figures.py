"""Figures of what was measured, with the sentence that says the same without eyes. `name` tells one from the others on a page."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from transfer_core.charts import PALETTE
from transfer_core.drawing import axes, shares
from transfer_core.metrics import Reliability
from transfer_core.progress import Progress
from transfer_core.words import say

_LEVELS = {level: f"{100 * level:.0f} %" for level in (0.0, 0.25, 0.5, 0.75, 1.0)}
FEWEST = 10
"""Photos in a bin of the reliability diagram, so that each has an interval that says something."""


def bins_for(photos: int) -> int:
    return max(1, min(10, photos // FEWEST))


def reliability(bins: Sequence[Reliability], language: str, name: str = "trust") -> str:
    """How sure against how often right: a dot and its 95 % interval for each bin, and the line on which both agree."""
    figure = axes.Axes(name, (0.0, 1.0), (0.0, 1.0))
    places = [(each.confidence, each.accuracy) for each in bins]
    drawn = [figure.curve([(0, 0), (1, 1)], "currentColor", "2 5", 1.5),
             *(figure.upright(each.confidence, each.low, each.high, PALETTE[1]) for each in bins),
             *(figure.dot(x, y, PALETTE[1]) for x, y in places)]
    rows = "; ".join(f"{100 * x:.0f} % → {100 * y:.0f} %" for x, y in places)
    return figure.svg(say("trust.alt", language, rows=rows), drawn, _LEVELS, _LEVELS, say("trust.axis", language)) + axes.legend(
        [(say("trust.bins", language), PALETTE[1], "dot"), (say("trust.perfect", language), "currentColor", "dashed")])


def folds(found: dict[str, Any], language: str, name: str = "folds") -> str:
    """One dot a fold of a cross-validation, and the interval of all together as a band."""
    each, score = found["folds"], found["accuracy"]
    across = (0.5, len(each) + 0.5)
    figure = axes.Axes(name, across, (0.0, 1.0))
    drawn = [figure.area([(x, score["high"]) for x in across], [(x, score["low"]) for x in across], PALETTE[0]),
             figure.curve([(x, score["value"]) for x in across], PALETTE[0]),
             *(figure.dot(place, fold["accuracy"], PALETTE[1]) for place, fold in enumerate(each, 1))]
    alt = say("folds.alt", language, value=f"{100 * score['value']:.0f}",
              rows=", ".join(f"{100 * fold['accuracy']:.0f} %" for fold in each))
    ticks = {place: str(place) for place in range(1, len(each) + 1, max(1, len(each) // 5))}
    return figure.svg(alt, drawn, ticks, _LEVELS, say("folds.axis", language)) + axes.legend(
        [(say("folds.all", language), PALETTE[0], "band"), (say("folds.one", language), PALETTE[1], "dot")])


def kept(progress: Progress, language: str) -> str:
    """What was learned and what was kept, over the epochs. The last epoch's `kept` must be there."""
    epochs = progress.epochs
    last = epochs[-1].epoch
    learned = [(epoch.epoch, epoch.validation_accuracy) for epoch in epochs]
    left = [(epoch.epoch, max(0.0, epoch.kept.share)) for epoch in epochs if epoch.kept and epoch.kept.share is not None]
    alt = say("kept.alt", language, epoch=last, learned=f"{100 * learned[-1][1]:.0f}", kept=f"{100 * left[-1][1]:.0f}")
    lines = (shares.Curve(learned, PALETTE[0]), shares.Curve(left, PALETTE[1], "7 5", "diamond"))
    return shares.picture(over_epochs(last, language), lines, alt, progress.best and progress.best.epoch) + shares.legend(
        (say("kept.learned", language), PALETTE[0], False),
        (say(f"kept.kept_{epochs[-1].kept.kind}", language), PALETTE[1], True))


def over_epochs(last: int, language: str) -> shares.Axis:
    return shares.Axis(1, last, [(number, str(number)) for number in epoch_ticks(last)], say("live.epoch", language))


def epoch_ticks(last: int) -> range:
    """At most ten of the epochs from the first to the last."""
    return range(1, last + 1, max(1, -(-last // 10)))
