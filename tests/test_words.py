"""Every sentence exists in every language, is filled with the same values, and is found by the code that says it."""

from __future__ import annotations

import ast
import re
import string
import tomllib
from collections import Counter
from pathlib import Path

import pytest

from transfer_core import errors
from transfer_core.paths import assets, studio
from transfer_core.words import FALLBACK, Message, _flatten, has, languages, message, say, texts

OTHERS = [code for code in languages() if code != FALLBACK]
ERRORS = {name for name, thing in vars(errors).items() if isinstance(thing, type) and issubclass(thing, errors.StudioError)}


def sources() -> list[Path]:
    return sorted([*(studio() / "transfer_core").rglob("*.py"), *(studio() / "pages").rglob("*.py")])


def calls(names: set[str]) -> dict[str, list[tuple[str, set[str], str]]]:
    """First argument (a string constant) → (function, names of keyword arguments, where), for calls of these functions."""
    found: dict[str, list[tuple[str, set[str], str]]] = {}
    for file in sources():
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
                called = getattr(node.func, "id", getattr(node.func, "attr", ""))
                if called in names and isinstance(node.args[0].value, str):
                    keywords = {each.arg or "**" for each in node.keywords}
                    where = f"{file.relative_to(studio())}:{node.lineno}"
                    found.setdefault(node.args[0].value, []).append((called, keywords, where))
    return found


def fields(text: str | dict[str, str]) -> set[str]:
    parts = text.values() if isinstance(text, dict) else [text]
    return {name for part in parts for _, name, _, _ in string.Formatter().parse(part) if name is not None}


RAISED = calls(ERRORS)
SAID = {key: places for key, places in calls({"message"}).items() if "." in key}


@pytest.mark.parametrize("language", OTHERS)
def test_every_language_has_the_same_keys(language):
    assert texts(language).keys() == texts(FALLBACK).keys()


@pytest.mark.parametrize("language", OTHERS)
def test_every_language_fills_in_the_same_values(language):
    different = {key: (fields(text), fields(texts(language)[key])) for key, text in texts(FALLBACK).items()
                 if key in texts(language) and fields(text) != fields(texts(language)[key])}
    assert different == {}


@pytest.mark.parametrize("language", languages())
def test_no_text_is_empty_or_a_placeholder(language):
    bad = [key for key, text in texts(language).items()
           for part in (text.values() if isinstance(text, dict) else [text]) if not part.strip() or "TODO" in part]
    assert bad == []


@pytest.mark.parametrize("language", languages())
def test_no_key_is_defined_in_two_files(language):
    folder = assets() / "words" / language
    keys: Counter[str] = Counter()
    for file in folder.rglob("*.toml"):
        found: dict[str, object] = {}
        _flatten(tomllib.loads(file.read_text("utf-8")), file.stem if file.parent == folder else file.parent.name, found)
        keys.update(found.keys())
    assert [key for key, count in keys.items() if count > 1] == []


@pytest.mark.parametrize("language", languages())
def test_bold_is_bold(language):
    """Markdown closes no `**` that stands between punctuation and a letter: it would be read as two stars."""
    broken = []
    for key, text in texts(language).items():
        for part in (text.values() if isinstance(text, dict) else [text]):
            pieces = re.sub(r"\{\w+\}", "x", part).split("**")
            broken += [key for bold, after in zip(pieces[1::2], pieces[2::2], strict=False)
                       if re.search(r"[^\w\s]$", bold) and re.match(r"\w", after)]
    assert broken == []


def test_the_source_was_found():
    assert "no_run" in RAISED
    assert "verdict.failed" in SAID


@pytest.mark.parametrize("code", sorted(RAISED))
def test_every_error_says_what_happened_and_what_to_do(code):
    for part in ("text", "hint"):
        assert has(f"errors.{code}.{part}"), f"raised at {RAISED[code][0][2]}"
    needed = fields(texts(FALLBACK)[f"errors.{code}.text"]) | fields(texts(FALLBACK)[f"errors.{code}.hint"])
    for _, given, where in RAISED[code]:
        assert "**" in given or needed <= given, f"{where} does not give {needed - given}"


@pytest.mark.parametrize("key", sorted(SAID))
def test_every_message_exists_and_gets_its_values(key):
    assert has(key), f"said at {SAID[key][0][2]}"
    for _, given, where in SAID[key]:
        needed = fields(texts(FALLBACK)[key])
        assert "**" in given or needed <= given, f"{where} does not give {needed - given}"


def test_a_number_chooses_its_form():
    assert say("cli.waiting", count=1) == "Waiting: one training is ahead."
    assert say("cli.waiting", count=3) == "Waiting: 3 trainings are ahead."


def test_a_message_is_said_in_the_readers_language_with_its_parts():
    score = {"accuracy": "1", "low": "0", "high": "2", "n": 3}
    told = Message.model_validate_json(message("cli.evaluated", split="Test", **score).model_dump_json())
    assert told.say() == "Test: 1 % right (0 – 2 %) of 3 photos"
    assert message("cli.evaluated", split=message("cli.test"), **score).say("zh").startswith("测试：")


def test_an_unknown_language_falls_back():
    assert say("language.name", "xx") == "English"


def test_an_error_without_a_hint_is_still_said():
    assert str(errors.StudioError("no_token")).startswith("This request")
    with pytest.raises(KeyError):
        errors.StudioError("no such code").message()
