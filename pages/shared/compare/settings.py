"""The settings in which the trainings differ; what is like the first one stands back."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
import streamlit as st

from pages.shared.compare.chosen import Chosen
from pages.shared.model import settings
from pages.shared.place import language
from pages.shared.text import t
from transfer_core import catalog, measured, settings_said
from transfer_core.errors import NotFound


def show(runs: Sequence[Chosen]) -> None:
    st.subheader(t("compare.settings"), anchor="settings")
    differing = [name for name in measured.differing([run.recipe.model_dump() for run in runs]) if name != "dataset"]
    if not differing:
        st.write(t("compare.same_settings"))
        return
    rows = [{"setting": _name(name), **{str(run.number): _value(name, run) for run in runs}} for name in differing]
    frame = pd.DataFrame(rows)
    st.dataframe(frame.style.apply(_marked, axis=1), hide_index=True, key="compare-settings",
                 column_config={"setting": st.column_config.TextColumn(t("compare.setting"), pinned=True)})


def _name(name: str) -> str:
    return settings_said.name(name, language())


def _value(name: str, run: Chosen) -> str:
    try:
        info = catalog.model(run.recipe.model).shortened(run.recipe.kept_groups)
    except NotFound:
        info = None
    return settings.say(name, getattr(run.recipe, name), info)


def _marked(row: pd.Series) -> list[str]:
    """Bold and tinted: what is not as in the first training."""
    mark = "font-weight: 600; background-color: rgba(217,98,43,.16)"
    return ["", "", *(mark if value != row.iloc[1] else "" for value in row.iloc[2:])]
