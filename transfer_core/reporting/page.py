"""The whole file: every language in one page, and a switch between them that needs no script."""

from __future__ import annotations

from functools import cache

from transfer_core.paths import assets
from transfer_core.reporting import closing, making, opening, scores
from transfer_core.reporting.facts import Facts
from transfer_core.reporting.markup import Voice, plain
from transfer_core.words import FALLBACK, languages, say

POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
"""No script, no request: whatever a class is called."""
SECTIONS = {"data": opening.photos, "recipe": making.recipe, "curves": making.curves, "scores": scores.scores,
            "folds": scores.luck, "check": scores.checked, "mistakes": closing.mistakes, "limits": closing.limits,
            "again": making.again}
"""In their order; each has its title under `report.<name>.title`."""


def page(facts: Facts, language: str = FALLBACK) -> str:
    """`language`: the one it opens in; a browser shows one at a time, and prints that one."""
    first = language if language in languages() else FALLBACK
    switches = "".join(f'<input type="radio" name="language" id="language-{code}"{" checked" if code == first else ""}>'
                       f'<label for="language-{code}" lang="{_tag(code)}">{plain(name)}</label>'
                       for code, name in languages().items())
    title = plain(say("report.title", first, name=facts.name))
    return (f'<!doctype html>\n<html lang="{_tag(first)}">\n<head>\n<meta charset="utf-8">\n'
            f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n'
            '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
            '<meta name="color-scheme" content="light dark">\n'
            f"<title>{title}</title>\n<style>\n{_style()}</style>\n</head>\n<body>\n{switches}\n"
            + "\n".join(_told(facts, Voice(code)) for code in languages()) + "\n</body>\n</html>\n")


def _told(facts: Facts, voice: Voice) -> str:
    code = voice.language
    contents = "".join(f'<li><a href="#{name}-{code}">{voice.say(f"report.{name}.title")}</a></li>' for name in SECTIONS)
    body = "\n".join(f'<section id="{name}-{code}">{write(facts, voice)}</section>' for name, write in SECTIONS.items())
    return (f'<main lang="{_tag(code)}" class="{code}">{opening.head(facts, voice)}'
            f'<nav aria-label="{plain(voice.text("report.to"))}"><ol>{contents}</ol></nav>\n{body}</main>')


def _tag(code: str) -> str:
    """The language tag: fonts of Chinese characters hang on it."""
    return {"zh": "zh-Hans"}.get(code, code)


@cache
def _style() -> str:
    """With a rule for each language: shown while its switch is on."""
    shown = ",".join(f"#language-{code}:checked~main.{code}" for code in languages())
    return (assets() / "report" / "style.css").read_text("utf-8") + f"{shown}{{display:block}}\n"
