"""Every sentence a person reads, in every language, from the word files.

`assets/words/<language>/<area>.toml` (or `<area>/<part>.toml`, when an area has grown) holds the texts of one area;
`say("data.imported", "zh", count=12)` finds, fills and returns one. A text with a number may be a table
`{one = "…", other = "…"}`, chosen by `count`.
The core says things as a `Message` (a key and its values), so that what a worker reported in the night
is read in the reader's language in the morning.
"""

from __future__ import annotations

import tomllib
from functools import cache
from typing import Any

from pydantic import BaseModel, ConfigDict

from transfer_core.paths import assets

FALLBACK = "en"


class Message(BaseModel):
    """A sentence not yet in a language: the key of its text and the values that fill it."""

    model_config = ConfigDict(frozen=True)

    key: str
    values: dict[str, Any] = {}

    def say(self, language: str = FALLBACK) -> str:
        return say(self.key, language, **self.values)


def message(key: str, **values: Any) -> Message:
    return Message(key=key, values=values)


@cache
def languages() -> dict[str, str]:
    """Language code → its own name, the fallback language first."""
    codes = sorted((folder.name for folder in (assets() / "words").iterdir() if folder.is_dir()),
                   key=lambda code: (code != FALLBACK, code))
    return {code: texts(code)["language.name"] for code in codes}


@cache
def texts(language: str) -> dict[str, Any]:
    """All texts of one language, keys joined by dots: `{"data.imported": "…"}`."""
    found: dict[str, Any] = {}
    folder = assets() / "words" / language
    for file in sorted(folder.rglob("*.toml")):
        area = file.stem if file.parent == folder else file.parent.name
        _flatten(tomllib.loads(file.read_text("utf-8")), area, found)
    return found


def _flatten(table: dict[str, Any], prefix: str, into: dict[str, Any]) -> None:
    for name, value in table.items():
        if isinstance(value, dict) and set(value) != {"one", "other"}:
            _flatten(value, f"{prefix}.{name}", into)
        else:
            into[f"{prefix}.{name}"] = value


def has(key: str) -> bool:
    return key in texts(FALLBACK)


def say(key: str, language: str = FALLBACK, **values: Any) -> str:
    """The text of `key` in `language` (else in English), filled with `values`.

    A `Message` among the values is said in the same language first. Raises `KeyError` for a key no language has:
    a missing text is a defect, and a test looks for it.
    """
    text = texts(language).get(key) if language in languages() else None
    text = texts(FALLBACK)[key] if text is None else text
    if isinstance(text, dict):
        text = text["one" if values.get("count") == 1 else "other"]
    values = {name: value.say(language) if isinstance(value, Message) else value for name, value in values.items()}
    return text.format(**values) if values else text
