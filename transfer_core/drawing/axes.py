"""Small figures as SVG, in the page's own colours: two axes, and what is drawn between them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 420, 240, 44, 20, 12, 40


@dataclass(frozen=True)
class Axes:
    """From data to places in the drawing. What lies outside is cut off."""

    name: str
    """Tells this drawing's clip path from those of the others on the page."""
    x: tuple[float, float]
    y: tuple[float, float]
    logarithmic: bool = False
    """Of the x axis."""

    def at(self, x: float, y: float) -> tuple[float, float]:
        low, high = map(self._scaled, self.x)
        return (LEFT + (self._scaled(x) - low) / (high - low) * (WIDTH - LEFT - RIGHT),
                HEIGHT - BOTTOM - (y - self.y[0]) / (self.y[1] - self.y[0]) * (HEIGHT - BOTTOM - TOP))

    def _scaled(self, x: float) -> float:
        return math.log(x) if self.logarithmic else x

    def curve(self, points: Sequence[tuple[float, float]], ink: str, dash: str = "", width: float = 2.5) -> str:
        line = " ".join("{:.1f},{:.1f}".format(*self.at(*point)) for point in points)
        return f'<polyline points="{line}" fill="none" stroke="{ink}" stroke-width="{width}" stroke-dasharray="{dash}"/>'

    def area(self, upper: Sequence[tuple[float, float]], lower: Sequence[tuple[float, float]], ink: str) -> str:
        line = " ".join("{:.1f},{:.1f}".format(*self.at(*point)) for point in (*upper, *reversed(lower)))
        return f'<polygon points="{line}" fill="{ink}" fill-opacity=".18"/>'

    def dot(self, x: float, y: float, ink: str, *, diamond: bool = False) -> str:
        left, top = self.at(x, y)
        if diamond:
            return f'<path d="M{left:.1f} {top - 7:.1f}l7 7-7 7-7-7z" fill="{ink}"/>'
        return f'<circle cx="{left:.1f}" cy="{top:.1f}" r="6" fill="{ink}"/>'

    def upright(self, x: float, low: float, high: float, ink: str = "currentColor", dash: str = "") -> str:
        (left, bottom), (_, top) = self.at(x, low), self.at(x, high)
        return (f'<line x1="{left:.1f}" x2="{left:.1f}" y1="{bottom:.1f}" y2="{top:.1f}" stroke="{ink}" stroke-width="2" '
                f'stroke-dasharray="{dash}"/>')

    def svg(self, alt: str, drawn: Sequence[str], x_ticks: dict[float, str], y_ticks: dict[float, str], title: str = "") -> str:
        level = "".join(
            f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}" stroke="currentColor" stroke-opacity=".15"/>'
            f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{escape(text)}</text>'
            for y, text in ((self.at(self.x[0], value)[1], text) for value, text in y_ticks.items()))
        ticks = "".join(f'<text x="{self.at(value, self.y[0])[0]:.1f}" y="{HEIGHT - BOTTOM + 17}" text-anchor="middle">'
                        f"{escape(text)}</text>" for value, text in x_ticks.items())
        clip = (f'<clipPath id="axes-{self.name}"><rect x="{LEFT}" y="{TOP - 8}" width="{WIDTH - LEFT}" '
                f'height="{HEIGHT - BOTTOM - TOP + 10}"/></clipPath>')
        return (f'<svg class="axes" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(alt)}" font-size="12" '
                f'fill="currentColor">{clip}{level}{ticks}<g clip-path="url(#axes-{self.name})">{"".join(drawn)}</g>'
                f'<text x="{(WIDTH + LEFT) / 2:.0f}" y="{HEIGHT - 4}" text-anchor="middle" opacity=".75">{escape(title)}</text>'
                "</svg>")


def legend(entries: Sequence[tuple[str, str, str]]) -> str:
    """(text, colour, how its line or mark looks: "", "dashed", "dot", "diamond", "band")."""
    return '<p class="shares-legend axes-legend">' + "".join(
        f'<span class="{look}" style="--ink:{ink}">{escape(text)}</span>' for text, ink, look in entries) + "</p>"
