"""Figures as plain data (Plotly's JSON), each with a sentence that says the same without eyes. No plotly import.

Colour is never the only signal: training is a solid line, validation a dotted one with markers, the best epoch a star.
The browser component that draws live curves takes `PALETTE` and `layout` from here too, so every chart looks alike.
"""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from transfer_core.progress import Progress
from transfer_core.words import Message, message, say

Theme = Literal["light", "dark"]

PALETTE = ("#c2571a", "#2f74c0", "#bb236a", "#219cb4", "#514fe5", "#e46568")
"""Six colours for categories. Found by search: at least 3 : 1 against both backgrounds, and at least 26 apart (CIE76)
for full colour vision, for deuteranopia and for protanopia (Machado et al. 2009); a test measures both."""
PARTS = ("total", "target", "source", "penalty")
"""The parts of the loss, in the order of their colours."""
SCALE = {"light": ((0, "#fbfaf7"), (1, "#2f74c0")), "dark": ((0, "#12161d"), (1, "#6aa9ea"))}
"""Heat maps: from the page's background to blue; one hue, so that lightness alone carries the number."""

_TEXT = {"light": "#1d2430", "dark": "#ece8e1"}
_GRID = {"light": "#ddd7cb", "dark": "#333c4a"}
_PANEL = {"light": "#fbfaf7", "dark": "#12161d"}


@dataclass(frozen=True)
class Chart:
    figure: dict[str, Any]
    """`{"data": […], "layout": {…}}`, for Plotly in the browser or `plotly.graph_objects.Figure`."""
    alt: Message
    """What a screen reader says instead."""


def layout(theme: Theme = "light", **more: Any) -> dict[str, Any]:
    """The layout every chart starts from: transparent, the page's text colour, room for long class names."""
    axis = {"gridcolor": _GRID[theme], "zerolinecolor": _GRID[theme], "linecolor": _GRID[theme], "automargin": True}
    base = {
        "uirevision": "run", "paper_bgcolor": "rgba(0,0,0,0)", "plot_bgcolor": "rgba(0,0,0,0)", "height": 300,
        "font": {"color": _TEXT[theme], "size": 13}, "colorway": list(PALETTE),
        "margin": {"l": 44, "r": 8, "t": 8, "b": 40}, "hoverlabel": {"bgcolor": _PANEL[theme], "font": {"color": _TEXT[theme]}},
        "legend": {"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0},
    }
    axes = {name: axis | more.pop(name, {}) for name in ("xaxis", "yaxis")}
    return base | axes | more


def plain(label: str) -> str:
    """A class name as Plotly text. Plotly reads `<b>` and `<a href>` as markup; a stranger's label must not be any."""
    return html.escape(" ".join(label.split()), quote=False)


def loss_curves(progress: Progress, language: str = "en", theme: Theme = "light") -> Chart:
    """Each part of the loss that this training has, over its steps: training as it went, validation once an epoch."""
    epochs, steps = progress.epochs, progress.steps
    shown = [part for part in PARTS if any(getattr(epoch.validation, part) is not None for epoch in epochs)
             or any(getattr(step.losses, part) is not None for step in steps)]
    if not {"source", "penalty"} & set(shown):
        shown = [part for part in shown if part == "target"]  # nothing was added: the total is the target's curve again
    data = []
    for part in shown:
        color, title = PALETTE[PARTS.index(part)], say(f"results.charts.{part}", language)
        there = [step for step in steps if getattr(step.losses, part) is not None]
        data += [
            {"type": "scatter", "mode": "lines", "name": say("results.charts.training_of", language, part=title),
             "x": [step.step for step in there], "y": [getattr(step.losses, part) for step in there],
             "line": {"color": color, "width": 1.5}},
            {"type": "scatter", "mode": "lines+markers", "name": say("results.charts.validation_of", language, part=title),
             "x": [epoch.step for epoch in epochs], "y": [getattr(epoch.validation, part) for epoch in epochs],
             "line": {"color": color, "width": 2.5, "dash": "dot"},
             "marker": {"size": 8, "symbol": ["star" if epoch.best else "circle" for epoch in epochs]}},
        ]
    figure = {"data": data, "layout": layout(theme, hovermode="x unified",
                                             xaxis={"title": {"text": say("results.charts.step", language)}},
                                             yaxis={"rangemode": "tozero"})}
    if not epochs:
        return Chart(figure, message("results.charts.nothing_yet"))
    return Chart(figure, message("results.charts.loss_alt", epochs=len(epochs), first=f"{epochs[0].validation.target:.3f}",
                                 last=f"{epochs[-1].validation.target:.3f}"))


def accuracy_curves(progress: Progress, language: str = "en", theme: Theme = "light") -> Chart:
    """Share of right answers after each epoch."""
    epochs = progress.epochs
    x = [epoch.epoch for epoch in epochs]
    data = [
        {"type": "scatter", "mode": "lines+markers", "name": say("results.charts.training", language), "x": x,
         "y": [epoch.train_accuracy for epoch in epochs], "line": {"color": PALETTE[1], "width": 1.5}},
        {"type": "scatter", "mode": "lines+markers", "name": say("results.charts.validation", language), "x": x,
         "y": [epoch.validation_accuracy for epoch in epochs], "line": {"color": PALETTE[0], "width": 2.5, "dash": "dot"},
         "marker": {"size": 8, "symbol": ["star" if epoch.best else "circle" for epoch in epochs]}},
    ]
    figure = {"data": data, "layout": layout(theme, hovermode="x unified",
                                             xaxis={"title": {"text": say("results.charts.epoch", language)}},
                                             yaxis={"tickformat": ".0%", "range": [0, 1.02]})}
    if not epochs:
        return Chart(figure, message("results.charts.nothing_yet"))
    best = progress.best or epochs[-1]
    return Chart(figure, message("results.charts.accuracy_alt", percent=f"{100 * best.validation_accuracy:.0f}",
                                 epoch=best.epoch, epochs=len(epochs)))


def confusion_map(confusion: Sequence[Sequence[int]], classes: Sequence[str], language: str = "en",
                  theme: Theme = "light") -> Chart:
    """Confusion matrix: row = true class, column = answer; colour is the share of the row, the text is the count."""
    names, places = [plain(name) for name in classes], list(range(len(classes)))
    shares = [[count / max(1, sum(row)) for count in row] for row in confusion]
    axis = {"tickvals": places, "ticktext": names, "showgrid": False}
    data = [{"type": "heatmap", "z": shares, "text": [list(row) for row in confusion], "zmin": 0, "zmax": 1,
             "colorscale": [list(stop) for stop in SCALE[theme]], "showscale": False, "xgap": 1, "ygap": 1,
             "hovertemplate": "%{y} → %{x}: %{text}<extra></extra>"}
            | ({"texttemplate": "%{text}"} if len(classes) <= 30 else {})]
    n, right = sum(map(sum, confusion)), sum(row[index] for index, row in enumerate(confusion))
    figure = {"data": data, "layout": layout(
        theme, height=max(300, 60 + 26 * len(classes)),
        xaxis=axis | {"title": {"text": say("results.charts.predicted", language)}, "side": "top"},
        yaxis=axis | {"title": {"text": say("results.charts.truth", language)}, "autorange": "reversed"})}
    return Chart(figure, message("results.charts.confusion_alt", classes=len(classes), n=n, right=right))


def probability_bars(probabilities: Sequence[float], classes: Sequence[str], theme: Theme = "light", most: int = 10) -> Chart:
    """One image's classes, the likeliest first and highlighted; at most `most` of them."""
    order = sorted(range(len(classes)), key=lambda index: -probabilities[index])[:most]
    values = [float(probabilities[index]) for index in order]
    places = list(range(len(order)))
    data = [{"type": "bar", "orientation": "h", "x": values, "y": places, "texttemplate": "%{x:.1%}", "textposition": "auto",
             "marker": {"color": [PALETTE[0], *[PALETTE[1]] * (len(order) - 1)]}, "hoverinfo": "skip", "cliponaxis": False}]
    figure = {"data": data, "layout": layout(
        theme, height=60 + 34 * len(order), showlegend=False, xaxis={"tickformat": ".0%", "range": [0, 1]},
        yaxis={"tickvals": places, "ticktext": [plain(classes[index]) for index in order], "autorange": "reversed"})}
    return Chart(figure, message("results.charts.bars_alt", label=classes[order[0]], percent=f"{100 * values[0]:.0f}"))
