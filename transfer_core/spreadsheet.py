"""Names that strangers chose, in tables that spreadsheets open."""

from __future__ import annotations

from typing import Any

_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
"""With these a spreadsheet begins to compute; the wide ones in Chinese and Japanese ones (OWASP, “CSV Injection”)."""


def cell(value: Any) -> Any:
    """What a cell of a CSV file may hold: a text that begins like a formula gets an apostrophe, as spreadsheets themselves write
    text; numbers stay."""
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value
