"""The report of a run: one HTML file with everything that is known of it, in every language, that needs nothing else to be read.

Everything a stranger named (classes, datasets, runs, files) is escaped where it is written down. The page holds no script and
refers to nothing outside itself; its own content policy forbids both.
"""

from __future__ import annotations

from pathlib import Path

from transfer_core.errors import BadInput
from transfer_core.paths import replacing
from transfer_core.reporting.facts import Facts, gather
from transfer_core.reporting.page import POLICY, page
from transfer_core.store import Store
from transfer_core.words import FALLBACK

__all__ = ["POLICY", "Facts", "gather", "report", "write_report"]


def report(store: Store, run: str, language: str = FALLBACK) -> bytes:
    """The file, UTF-8; it opens in `language`. Raises what `gather` raises."""
    # A label may hold half a surrogate pair: JSON allows that, UTF-8 does not.
    return page(gather(store, run), language).encode("utf-8", "replace")


def write_report(store: Store, run: str, out: Path, language: str = FALLBACK) -> int:
    """Write or replace `out`, whole or not at all; returns its bytes. Raises `BadInput("report_unwritable")` and what `gather`
    raises."""
    content = report(store, run, language)
    try:
        with replacing(out) as part:
            part.write_bytes(content)
    except OSError as error:
        raise BadInput("report_unwritable", file=str(out), reason=error.strerror or type(error).__name__) from error
    return len(content)
