"""Widgets whose truth lies elsewhere (in the URL, mostly), in a browser that may be behind.

A browser sends the state of *all* its widgets with each event. While what the server made of one event is still on its way, the
next event brings the old state of every widget the server has changed meanwhile: Streamlit takes that for a visitor's choice.
So a widget that has to show something new is replaced by another one, under another key; what comes from the one before counts
only when it is not what that one was last seen to show.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import streamlit as st

from pages.shared import place
from pages.shared.undisturbed import undisturbed


def bind_to(widget: str, value: Any, on_change: Callable[[Any], None], *, options: Sequence[Any] | None = None,
            start: str = "value") -> dict[str, Any]:
    """Arguments of a widget that shows `value` and hands on what the visitor makes of it: key, callback, and where it starts.

    `options` of a radio or a selectbox, which want an index to start from; `start="default"` for those that call it so. The
    start goes with every run. (A value put into the session state is told to the browser once, by a run that may be ended
    before it is: the widget then stands at its first option, which is sent with the next event as if it had been chosen.)

    The key is `widget`, or `widget-1`, `widget-2`, … once it was replaced: style sheets and tests look for the beginning.
    """
    remembered, language = f"turn of {widget}", place.language()
    turn, spoken = st.session_state.get(remembered, (0, language))
    # What a widget holds is known to Streamlit by the words it stands under: in another language it is another widget.
    if spoken != language or st.session_state.get(_key(widget, turn), value) != value:
        turn += 1
    st.session_state[remembered] = turn, language
    key = _key(widget, turn)

    def changed() -> None:
        with undisturbed():
            given = st.session_state.get(key, value)
            replaced = st.session_state[remembered][0] != turn
            if not (replaced and given == value):
                on_change(given)

    if options is None:
        return {"key": key, "on_change": changed, start: value}
    return {"key": key, "on_change": changed, "index": options.index(value) if value in options else None}


def _key(widget: str, turn: int) -> str:
    return f"{widget}-{turn}" if turn else widget
