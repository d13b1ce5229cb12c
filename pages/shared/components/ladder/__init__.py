"""The freeze ladder: a model's layer groups in forward order, each set to train, anchor or freeze."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import streamlit as st

from pages.shared.components.face import face
from pages.shared.draft import POSITIONS
from pages.shared.model.numbers import short
from pages.shared.text import t
from pages.shared.undisturbed import undisturbed
from transfer_core.catalog import GroupInfo

_WORDS = ("input", "head_help", "slider", "slider_value", "slider_all", "slider_none", "strip", "rungs", "rung", "compute",
          "parameters", "shape", "train", "anchor", "freeze", "train_help", "anchor_help", "freeze_help")


def ladder(groups: Sequence[GroupInfo], positions: Sequence[str], on_change: Callable[[list[str]], None], *,
           head: str, single: bool, key: str = "ladder") -> None:
    """Draw the groups and hand every new set of positions (one for each group) to `on_change`.

    `single` shows the rungs one by one under the picture; without it there is the slider alone.

    A person drags faster than the server answers. Each message carries the time it was sent; what comes back carries the
    time of the message it answers, and the browser ignores answers to anything but its last message.
    """
    answered = f"{key}-answered"

    def changed() -> None:
        with undisturbed():
            sent = st.session_state[key].get("positions") or {}
            wanted, when = sent.get("positions"), sent.get("sent", 0)
            if when < st.session_state.get(answered, 0):
                return  # of two scripts that began at once, the later one was here first
            st.session_state[answered] = when
            if isinstance(wanted, list) and len(wanted) == len(groups) and set(wanted) <= set(POSITIONS):
                on_change(wanted)

    rungs = [{"name": group.name, "parameters": short(group.parameters), "share": group.share,
              "shape": " × ".join(map(str, group.shape)), "position": position}
             for group, position in zip(groups, positions, strict=True)]
    # Words with a place for a number (`slider_value`, `rung`) are filled in the browser.
    face("ladder", '<div class="ladder"></div>')(key=key, on_positions_change=changed, data={
        "rungs": rungs, "head": head, "single": single, "answers": st.session_state.get(answered, 0),
        "words": {word: t(f"ladder.{word}") for word in _WORDS},
    })
