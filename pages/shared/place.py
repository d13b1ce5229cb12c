"""Where a visitor is. All a page needs to know lies in the URL: a refresh, a bookmark or a second tab lose nothing.

Keys of the URL: `lang`, `dataset` (id), `run` (job id of a training), `runs` (to be compared), `job` (an import), `look` (a
first look), `upload`, `id` (a published demo), `depth`, `folds` (whether a training brings a cross-validation along, where
that is not what goes without saying), `workers` ("all": a training is shared among all places there are), every recipe
setting that differs from the recommended one (see `draft`), and what the model search asks (`searching.KEYS`).
"""

from __future__ import annotations

import time
from contextvars import ContextVar
from urllib.parse import parse_qs

import streamlit as st
from streamlit.runtime.scriptrunner import get_script_run_ctx

from pages.shared.undisturbed import acting, one_at_a_time, undisturbed
from transfer_core.recipe import Recipe
from transfer_core.words import FALLBACK, languages

SETTINGS = tuple(name for name in Recipe.model_fields if name not in ("dataset", "version"))
"""Recipe settings, as keys of the URL."""
KEPT = ("lang", "depth", "dataset", "run", "preset", "folds", "workers")
"""What goes along when a visitor moves to another page; the draft's settings go along too."""
LATE_S, LINK_S = 20.0, 4.0
"""For how long a URL that was left counts as late where it may as well be a link: to the page itself there are hardly any."""
MOST_LEFT = 30
_STREAMLITS_OWN = ("embed", "embed_options")
_GO_ALONG = frozenset((*KEPT, *SETTINGS))
_WRITTEN = "place"
"""In the session state: on which page we changed the URL last, to what, and the URLs left before, each with when and where."""
_Url = dict[str, list[str]]
_Left = list[tuple[float, str, _Url]]


def get(key: str) -> str | None:
    _catch_up()
    return _last(_url().get(key)) or None


def asked() -> dict[str, str]:
    """Everything the URL says, read once: a page asks for some thirty keys."""
    _catch_up()
    return {key: value for key, values in _url().items() if (value := _last(values))}


@undisturbed()
def put(**values: object) -> None:
    """Change the URL; None removes a key. All at once: a refresh between two changes would find half of where we are."""
    _catch_up()
    now = _url()
    then = {**now, **{key: [str(value)] for key, value in values.items() if value is not None}}
    then = {key: value for key, value in then.items() if key not in values or values[key] is not None}
    if then != now:
        path, (_, _, left) = _path(), st.session_state.get(_WRITTEN) or ("", {}, [])
        left = [entry for entry in _with(left, path, now) if entry[1:] != (path, then)]  # where we are now was not left
        st.session_state[_WRITTEN] = (path, then, left)  # first: the next line may end this run of the script
        st.query_params.from_dict(then)


def _catch_up() -> None:
    """Where the browser is behind, put back what it has not heard of.

    Each event comes with the URL the browser shows. While a change of ours is on its way to it, that is the URL from before,
    and taking it for the present one would undo the change: three settings moved within one second would leave one. So an
    event on the page itself, or a fragment's tick, that shows a URL left before means the one it was left for, however late
    the machine is. Back and Forward are meant as they are. Anything else may be a link to where the visitor was before: then
    this holds for a moment only. From another page, what goes along with a visitor is put back.
    """
    if not _is_elsewhere():
        return
    with one_at_a_time():
        if _is_elsewhere():  # still: another script may have changed it meanwhile
            _settle()


def _is_elsewhere() -> bool:
    written = st.session_state.get(_WRITTEN)
    return written is not None and (_path(), _url()) != written[:2]


def _settle() -> None:
    now, here, (path, then, left) = _url(), _path(), st.session_state[_WRITTEN]
    if _went_back():
        left = []
    elif not (acting() or _is_fragment()):
        left = [entry for entry in left if time.monotonic() - entry[0] < (LATE_S if entry[1] == here == path else LINK_S)]
    if path == here:
        behind = any(old == now for _, where, old in left if where == here)
    else:
        behind = _along(now) != _along(then) and any(_along(old) == _along(now) for _, _, old in left)
        then = {**{key: value for key, value in now.items() if key not in _GO_ALONG}, **_along(then)}
    if behind:
        st.session_state[_WRITTEN] = (here, then, _with(left, here, now))
        st.query_params.from_dict(then)
    else:
        st.session_state[_WRITTEN] = (here, now, [])


def _url() -> _Url:
    """What the browser showed when it asked for this run of the script, or has been told in it.

    Not `st.query_params`: while a script ends and the next one begins, the two share those.
    """
    context = get_script_run_ctx(suppress_warning=True)
    if context is None:
        return {}
    return {key: values for key, values in parse_qs(context.query_string, keep_blank_values=True).items()
            if key.lower() not in _STREAMLITS_OWN}


def _last(values: list[str] | None) -> str:
    return values[-1] if values else ""


def _along(url: _Url) -> _Url:
    return {key: value for key, value in url.items() if key in _GO_ALONG}


def _with(left: _Left, path: str, url: _Url) -> _Left:
    """The URLs left before, and this one. (A URL that is left again is as fresh as it gets: it need not be there twice.)"""
    return [*(entry for entry in left if entry[1:] != (path, url)), (time.monotonic(), path, url)][-MOST_LEFT:]


def _path() -> str:
    """Which page this is, also in a callback, which runs before the page does."""
    context = get_script_run_ctx(suppress_warning=True)
    return context.page_script_hash if context else ""


def _is_fragment() -> bool:
    context = get_script_run_ctx(suppress_warning=True)
    return bool(context and context.fragment_ids_this_run)


def _went_back() -> bool:
    """Or forward: the browser says so."""
    return bool(getattr(get_script_run_ctx(suppress_warning=True), "is_history_navigation", False))


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
