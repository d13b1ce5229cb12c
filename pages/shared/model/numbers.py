"""Numbers as visitors read them: those that are alike everywhere, and those that need their language or their clock."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import streamlit as st

from pages.shared.text import t
from transfer_core.numbers import decimal, digits, percent, short, size

__all__ = ["decimal", "digits", "duration", "local", "logarithmic", "percent", "plus", "short", "size"]


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
