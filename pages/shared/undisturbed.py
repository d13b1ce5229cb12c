"""Callbacks that are not ended half way, and not run beside one another."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import streamlit as st
from streamlit.runtime.scriptrunner import get_script_run_ctx

from transfer_core.errors import StudioError

_LOCK = "one at a time"
_REFUSED = "refused"
_making = threading.Lock()
_acting: ContextVar[bool] = ContextVar("acting", default=False)


@contextmanager
def undisturbed() -> Iterator[None]:
    """For callbacks: what a visitor did is done to its end, whatever they do next.

    Streamlit ends a script at its next touch of the page, the URL or the session state once another event has come, and a
    callback is no exception. But the widget's new state is known by then, so that its callback is not called again: the
    change is lost, which takes no more than two keys pressed while one run begins. There is no public switch for it; the
    private one says whether a script is running that may be ended. Another Streamlit without it is as before.

    Two such callbacks of one visitor wait for each other (`one_at_a_time`). What one refuses (a `StudioError`) is kept for the
    page, which is drawn next: an error in a callback would end it without a word.
    """
    acting = _acting.set(True)
    try:
        with _not_ended(), one_at_a_time():
            yield
    except StudioError as error:
        st.session_state[_REFUSED] = error
        if _is_of_a_fragment():  # after it, Streamlit would draw that part alone, and the page says it
            st.rerun()
    finally:
        _acting.reset(acting)


def _is_of_a_fragment() -> bool:
    """Whether this is the callback of a widget inside a fragment. There is no public way to ask; where there is none at all, what
    was refused is said with the next run of the whole page."""
    try:
        from streamlit.runtime.scriptrunner_utils.script_run_context import ThreadState

        return bool(ThreadState.get().in_fragment_callback)
    except (ImportError, AttributeError, RuntimeError):
        return False


def refused() -> StudioError | None:
    """What the last callback could not do, once: the page that is drawn after it says so."""
    return st.session_state.pop(_REFUSED, None)


def acting() -> bool:
    """Whether this is a callback: something a visitor did on the page, and no link or Back button."""
    return _acting.get()


@contextmanager
def one_at_a_time() -> Iterator[None]:
    """Nobody else changes this visitor's session state meanwhile.

    Streamlit starts the script for the next event in a thread of its own, beside the one it has asked to end: both hold the
    same session state. Of two moves of one slider the older could then be written last.
    """
    with _making:
        lock = st.session_state.get(_LOCK) or threading.RLock()
        st.session_state[_LOCK] = lock
    with lock:
        yield


@contextmanager
def _not_ended() -> Iterator[None]:
    context = get_script_run_ctx(suppress_warning=True)
    runner = getattr(getattr(context, "_enqueue", None), "__self__", None)
    may_be_ended = getattr(runner, "_execing", None)
    if may_be_ended is None:
        yield
        return
    runner._execing = False
    try:
        yield
    finally:
        runner._execing = may_be_ended
