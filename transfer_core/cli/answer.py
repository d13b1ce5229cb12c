"""How a command answers: in words, or as exactly one JSON object on stdout, whatever libraries print on the way."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from transfer_core.settings import terminal_language


@dataclass(frozen=True)
class Answer:
    """What a command found out: `data` for machines, `text` for people."""

    data: Mapping[str, Any]
    text: str
    status: int = 0
    """Of the process, once it is given."""


class Output:
    """Keeps stdout for the answer. Until then everything written to it, by C libraries too, goes to stderr."""

    def __init__(self, as_json: bool) -> None:
        self.as_json = as_json
        self.status = 0

    def __enter__(self) -> Output:
        sys.stdout.flush()
        self._stdout = os.dup(1)
        self._python_stdout = sys.stdout
        if self.as_json:
            os.dup2(2, 1)
            sys.stdout = sys.stderr
        return self

    def __exit__(self, *_: object) -> None:
        sys.stdout.flush()
        sys.stdout = self._python_stdout
        os.dup2(self._stdout, 1)
        os.close(self._stdout)

    def give(self, answer: Answer) -> None:
        if self.as_json:
            self._write(json.dumps(answer.data, ensure_ascii=False, default=str))
        else:
            self._write(answer.text)

    def fail(self, code: str, what: str, hint: str) -> None:
        print("\n".join(filter(None, (what, hint))), file=sys.stderr)  # noqa: T201
        if self.as_json:
            self._write(json.dumps({"error": {"code": code, "message": what, "hint": hint}}, ensure_ascii=False))

    def _write(self, text: str) -> None:
        rest = (text.rstrip("\n") + "\n").encode("utf-8", "replace")
        while rest:
            rest = rest[os.write(self._stdout, rest):]


def language() -> str:
    """The language commands answer in."""
    return terminal_language()


def table(rows: Iterable[Mapping[str, Any]]) -> str:
    """Rows as aligned columns, the keys of the first as the heading; wide characters count two."""
    rows = list(rows)
    if not rows:
        return "–"
    lines = [list(rows[0]), *([_cell(value) for value in row.values()] for row in rows)]
    widths = [max(map(_width, column)) for column in zip(*lines, strict=True)]
    return "\n".join("  ".join(cell + " " * (width - _width(cell)) for cell, width in zip(line, widths, strict=True)).rstrip()
                     for line in lines)


def _cell(value: Any) -> str:
    if value is None or value == "":
        return "–"
    return f"{value:.3f}" if isinstance(value, float) else str(value)


def _width(text: str) -> int:
    return sum(2 if "⺀" <= sign <= "￠" else 1 for sign in text)
