"""Texts in the visitor's language."""

from __future__ import annotations

from typing import Any

from pages.shared.place import language
from transfer_core.errors import StudioError
from transfer_core.words import Message, say


def t(key: str, **values: Any) -> str:
    """The text of `key`: `t("train.start")` reads `start` in assets/words/<language>/train.toml."""
    return say(key, language(), **values)


def told(fact: Message | dict | StudioError) -> str:
    """A message from the core (also as stored), or what an error says."""
    if isinstance(fact, StudioError):
        return fact.message(language())
    if isinstance(fact, dict):
        fact = Message(**fact)
    return fact.say(language())


def plain(text: str) -> str:
    """A stranger's text (class name, file name) for Markdown: nothing in it is markup, a link, HTML or an icon."""
    return "".join(f"\\{letter}" if letter in r"\`*_{}[]()<>#+-.!|~:$&" else letter for letter in " ".join(text.split()))
