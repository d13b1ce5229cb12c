"""Numbers as people read them, alike in every language: 4.7 M weights, 19 MB, 87 %."""

from __future__ import annotations


def digits(number: float) -> str:
    """Two digits that say something, never an exponent: `0.4`, `4.1`, `47`, `120`."""
    return f"{number:.2g}" if 0.001 <= number < 99 else f"{number:.0f}"


def decimal(number: float) -> str:
    """A setting in full, without an exponent: `0.00001`, `3`, `10000`."""
    return f"{number:.12f}".rstrip("0").rstrip(".")


def counted(number: float) -> int | float:
    """A number of things for a sentence: 10, not 10.0; and 1 is one of them."""
    return int(number) if number == int(number) else number


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
