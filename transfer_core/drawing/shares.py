"""Shares of 0 to 100 % over epochs or anything else that runs from left to right, as SVG in the page's own colours."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT, LEFT, BOTTOM, TOP = 400, 210, 42, 34, 10
_MOST = 60
"""Markers in a curve; more would run into each other."""


@dataclass(frozen=True)
class Curve:
    """Points from left to right; `bars` are intervals, one for each point."""

    points: Sequence[tuple[float, float]]
    ink: str
    dash: str = ""
    marker: str = "circle"
    bars: Sequence[tuple[float, float]] = ()


@dataclass(frozen=True)
class Axis:
    """What lies below the curves."""

    first: float
    last: float
    ticks: Sequence[tuple[float, str]]
    title: str

    def x(self, value: float) -> float:
        return LEFT + 12 + (value - self.first) / ((self.last - self.first) or 1) * (WIDTH - LEFT - 30)


def picture(axis: Axis, curves: Iterable[Curve], alt: str, mark: float | None = None) -> str:
    """`mark`: where a dotted line stands."""
    grid = "".join(_level(level) for level in (0.0, 0.25, 0.5, 0.75, 1.0))
    ticks = "".join(f'<text x="{axis.x(value):.1f}" y="{HEIGHT - BOTTOM + 18}" text-anchor="middle">{escape(text)}</text>'
                    for value, text in axis.ticks)
    line = "" if mark is None else (
        f'<line x1="{axis.x(mark):.1f}" x2="{axis.x(mark):.1f}" y1="{TOP}" y2="{HEIGHT - BOTTOM}" stroke="currentColor" '
        'stroke-opacity=".35" stroke-dasharray="2 4"/>')
    drawn = "".join(_curve(curve, axis) for curve in curves)
    return (f'<svg class="shares" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(alt)}" font-size="11" '
            f'fill="currentColor">{grid}{ticks}{line}{drawn}'
            f'<text x="{WIDTH / 2}" y="{HEIGHT - 2}" text-anchor="middle" opacity=".75">{escape(axis.title)}</text></svg>')


def legend(*entries: tuple[str, str, bool]) -> str:
    """What each ink stands for: its text, the ink, and whether the line is dashed."""
    told = "".join(f'<span class="{"dashed" if dashed else "whole"}" style="--ink:{ink}">{escape(text)}</span>'
                   for text, ink, dashed in entries)
    return f'<p class="shares-legend">{told}</p>'


def _y(value: float) -> float:
    return TOP + (1 - value) * (HEIGHT - BOTTOM - TOP)


def _level(level: float) -> str:
    y = _y(level)
    return (f'<line x1="{LEFT}" x2="{WIDTH}" y1="{y:.1f}" y2="{y:.1f}" stroke="currentColor" stroke-opacity=".15"/>'
            f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{100 * level:.0f} %</text>')


def _curve(curve: Curve, axis: Axis) -> str:
    ink, places = curve.ink, [(axis.x(value), _y(share)) for value, share in curve.points]
    bars = "".join(f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{_y(low):.1f}" y2="{_y(high):.1f}" stroke="{ink}" stroke-width="2" '
                   'stroke-opacity=".4"/>' for (x, _), (low, high) in zip(places, curve.bars, strict=False))
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
    drawn = f'{bars}<polyline points="{line}" fill="none" stroke="{ink}" stroke-width="2.5" stroke-dasharray="{curve.dash}"/>'
    if len(places) > _MOST:
        return drawn
    if curve.marker == "circle":
        return drawn + "".join(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="{ink}"/>' for x, y in places)
    return drawn + "".join(f'<path d="M{x:.1f} {y - 5:.1f}l5 5-5 5-5-5z" fill="{ink}"/>' for x, y in places)
