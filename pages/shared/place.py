"""Where a visitor is. All a page needs to know lies in the URL: a refresh, a bookmark or a second tab lose nothing.

Keys of the URL: `lang`, `dataset` (id), `run` (job id of a training), `job` (an import), `upload`, `depth`,
every recipe setting that differs from the recommended one (see `draft`), and what the model search asks (`searching.KEYS`).
"""

from __future__ import annotations

from contextvars import ContextVar

import streamlit as st

from transfer_core.recipe import Recipe
from transfer_core.words import FALLBACK, languages

SETTINGS = tuple(name for name in Recipe.model_fields if name not in ("dataset", "version"))
"""Recipe settings, as keys of the URL."""
KEPT = ("lang", "depth", "dataset", "run", "preset")
"""What goes along when a visitor moves to another page; the draft's settings go along too."""


def get(key: str) -> str | None:
    return st.query_params.get(key) or None


def asked() -> dict[str, str]:
    """Everything the URL says, read once: each `get` costs 15 µs, and a page asks for some thirty keys."""
    return {key: value for key, value in st.query_params.to_dict().items() if value}


def put(**values: str | None) -> None:
    """Change the URL; None removes a key. All at once: a refresh between two changes would find half of where we are."""
    now = {key: st.query_params.get_all(key) for key in st.query_params}
    then = {**now, **{key: [str(value)] for key, value in values.items() if value is not None}}
    then = {key: value for key, value in then.items() if key not in values or values[key] is not None}
    if then != now:
        st.query_params.from_dict(then)


def link(**changes: str | None) -> dict[str, str]:
    """The query parameters a link to another page carries: where we are, with changes."""
    here = asked()
    kept = {key: here[key] for key in (*KEPT, *SETTINGS) if key in here}
    return {key: str(value) for key, value in {**kept, **changes}.items() if value is not None}


_settled: ContextVar[str | None] = ContextVar("language", default=None)


def language() -> str:
    """The language in the URL, else the browser's, else English."""
    return _settled.get() or _look_up()


def settle_language() -> None:
    """Look the language up once for this run of the script, which says some 280 texts in it."""
    _settled.set(_look_up())


def _look_up() -> str:
    wanted = get("lang")
    if wanted in languages():
        return wanted
    browser = (st.context.locale or FALLBACK).split("-")[0].lower()
    return browser if browser in languages() else FALLBACK
