"""A run's progress, for a page that asks every second: only the events since the last look are read and folded."""

from __future__ import annotations

import streamlit as st

from pages.shared import backend
from transfer_core.progress import Progress, fold


def follow(run: str) -> Progress:
    """The fold of all events so far. What was folded before is kept for this session; losing it costs one full read."""
    known = st.session_state.get("followed")
    number, progress = known[1:] if known and known[0] == run else (0, Progress())
    events = backend.store().events(run, after=number)
    if events:
        number, progress = events[-1][0], fold(progress, (event for _, event in events))
        st.session_state["followed"] = (run, number, progress)
    return progress
