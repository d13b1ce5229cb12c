"""HTML of one language. Every text that is handed in is escaped here and nowhere else."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from transfer_core.words import Message, say

LONGEST = 120
"""Letters of a stranger's name that are shown; the rest is in its title."""
_PLACE = re.compile("\ue000(\\d+)\ue001")
_BOLD = re.compile(r"\*\*(.+?)\*\*")
_AFTER_FULL_STOP = re.compile("(?<=[。！？：）]) ")
_CODE = re.compile(r"`(.+?)`")


@dataclass(frozen=True)
class Html:
    """What is markup already."""

    text: str

    def __str__(self) -> str:
        return self.text


def plain(text: object) -> str:
    """Any text, escaped, on one line; without letters that HTML does not allow."""
    line = " ".join(str(text).split())
    return escape("".join(sign if sign.isprintable() or sign in _JOINERS else "\ufffd" for sign in line))


_JOINERS = "\u200c\u200d\u200e\u200f\u2066\u2067\u2068\u2069\ufeff"
"""They print nothing, but emoji, Persian and Hindi are made with them."""


def label(text: str) -> Html:
    """A stranger's name, cut where it is too long. Isolated, so that one written from right to left does not turn what is
    around it."""
    line = " ".join(text.split())
    if len(line) <= LONGEST:
        return Html(f"<bdi>{plain(line)}</bdi>")
    return Html(f'<bdi title="{plain(line[:1000])}">{plain(line[:LONGEST])}…</bdi>')


@dataclass(frozen=True)
class Voice:
    """Says things in one language, as HTML."""

    language: str

    def text(self, key: str, **values: Any) -> str:
        """Plain text, not escaped: for what escapes by itself."""
        return say(key, self.language, **values)

    def say(self, key: str, **values: Any) -> Html:
        """A sentence. The `**bold**` and `code` of the word files become markup; what fills them never does."""
        put: list[str] = []

        def hold(value: Any) -> Any:
            if isinstance(value, Message):
                value = self.told(value)
            if not isinstance(value, Html | str):
                return value
            put.append(value.text if isinstance(value, Html) else plain(value) if value.isascii() else label(value).text)
            return f"\ue000{len(put) - 1}\ue001"

        said = escape(say(key, self.language, **{name: hold(value) for name, value in values.items()}), quote=False)
        said = _CODE.sub(r"<code>\1</code>", _BOLD.sub(r"<b>\1</b>", said))
        return Html(_PLACE.sub(lambda place: put[int(place[1])], said))

    def told(self, fact: Message | dict[str, Any]) -> Html:
        fact = fact if isinstance(fact, Message) else Message(**fact)
        return self.say(fact.key, **fact.values)

    def heading(self, section: str) -> str:
        return f"<h2>{self.say(f'report.{section}.title')}</h2>"


def paragraph(*parts: Html, kind: str = "") -> str:
    text = _AFTER_FULL_STOP.sub("", " ".join(map(str, parts)))  # Chinese puts no space between sentences
    return f"<p{_class(kind)}>{text}</p>"


def items(parts: Iterable[Html], kind: str = "") -> str:
    found = "".join(f"<li>{part}</li>" for part in parts)
    return f"<ul{_class(kind)}>{found}</ul>" if found else ""


def pairs(rows: Iterable[tuple[Html, Html]]) -> str:
    return "<dl>" + "".join(f"<div><dt>{name}</dt><dd>{value}</dd></div>" for name, value in rows) + "</dl>"


def table(head: Sequence[Html], rows: Iterable[Sequence[Html]], caption: Html, kind: str = "", foot: Sequence[Html] = ()) -> str:
    """The first cell of each row is its heading. It scrolls inside a box of its own, where it is wider than a phone."""
    top = "".join(f'<th scope="col">{cell}</th>' for cell in head)
    body = "".join(_row(row) for row in rows)
    last = f"<tfoot>{_row(foot)}</tfoot>" if foot else ""
    # A box that scrolls must be reached with the keyboard, too.
    return (f'<div class="box" role="region" tabindex="0" aria-label="{_bare(caption)}"><table{_class(kind)}>'
            f"<caption>{caption}</caption><thead><tr>{top}</tr></thead><tbody>{body}</tbody>{last}</table></div>")


def _row(cells: Sequence[Html]) -> str:
    return f'<tr><th scope="row">{cells[0]}</th>' + "".join(f"<td>{cell}</td>" for cell in cells[1:]) + "</tr>"


def _class(kind: str) -> str:
    return f' class="{kind}"' if kind else ""


def _bare(html: Html) -> str:
    """For an attribute: its text without its tags."""
    return re.sub(r"<[^>]*>", "", html.text).replace('"', "&quot;")


def number(value: float | None, digits: int = 3) -> Html:
    return Html("–") if value is None else Html(f"{value:.{digits}f}")


def share(value: float | None, digits: int = 1) -> Html:
    return Html("–") if value is None else Html(f"{100 * value:.{digits}f} %")


def between(low: float | None, high: float | None, digits: int = 1) -> Html:
    """The bounds of a share."""
    return Html("–") if low is None or high is None else Html(f"{100 * low:.{digits}f} – {100 * high:.{digits}f} %")
