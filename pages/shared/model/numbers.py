"""Numbers as people read them: 4.7 M weights, 19 MB, about 3 minutes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import streamlit as st

from pages.shared.text import t


def digits(number: float) -> str:
    """Two digits that say something, never an exponent: `0.4`, `4.1`, `47`, `120`."""
    return f"{number:.2g}" if 0.001 <= number < 99 else f"{number:.0f}"


def decimal(number: float) -> str:
    """A setting in full, without an exponent: `0.00001`, `3`, `10000`."""
    return f"{number:.12f}".rstrip("0").rstrip(".")


def percent(probability: float, places: int = 0) -> str:
    """A model's probability: `87 %`. It is never certain and never excludes: what rounds to that is `> 99 %` or `< 1 %`."""
    text = f"{100 * probability:.{places}f}"
    least = f"{10 ** -places:.{places}f}"
    if float(text) >= 100:
        return f"> {100 - float(least):.{places}f} %"
    return f"{text} %" if float(text) else f"< {least} %"


def short(number: float) -> str:
    """Three digits and a letter: `4.65 M`, `12.8 k`, `640`."""
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if number >= 0.9995 * size:
            return f"{number / size:.3g} {unit}" if number < 999.5 * size else f"{number / size:.0f} {unit}"
    return f"{number:.0f}"


def size(count: float) -> str:
    """Bytes in decimal units, as disks are sold and downloads reported."""
    return f"{count / 1e9:.1f} GB" if count >= 0.95e9 else f"{max(1, count / 1e6):.0f} MB"


def duration(seconds: float) -> str:
    if seconds < 45:
        return t("model.under_a_minute")
    if seconds < 90 * 60:
        return t("model.about_minutes", count=max(1, round(seconds / 60)))
    return t("model.about_hours", hours=f"{seconds / 3600:.1f}")


def logarithmic(low: float, high: float) -> list[float]:
    """1, 3, 10, 30, … from `low` to `high`: the steps of a slider whose meaning grows tenfold."""
    steps, exponent = [], -12
    while (base := float(f"1e{exponent}")) <= high * 1.0001:
        steps += [step for step in (base, float(f"3e{exponent}")) if low * 0.9999 <= step <= high * 1.0001]
        exponent += 1
    return steps


def plus(options: list, value: object) -> list:
    """The options with the value among them, in order: a hand-edited URL may name one between the steps."""
    return options if value in options else sorted([*options, value])


def local(moment: float) -> datetime:
    """The visitor's wall clock (the browser says how far it is from UTC, in minutes west)."""
    west = st.context.timezone_offset or 0
    return datetime.fromtimestamp(moment, UTC).replace(tzinfo=None) - timedelta(minutes=west)
