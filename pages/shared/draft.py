"""The recipe a visitor is putting together: what is recommended for their dataset, and what they changed, kept in the URL."""

from __future__ import annotations

from typing import Any

import streamlit as st

from pages.shared import backend, place
from pages.shared.place import SETTINGS
from transfer_core import catalog, presets
from transfer_core.errors import NotFound, StudioError
from transfer_core.recipe import DEFAULT_MODEL, Recipe

_EMPTY = "none"


def model_info() -> catalog.ModelInfo:
    """The chosen model, or the default one when the URL names none that exists."""
    try:
        return catalog.model(place.get("model") or DEFAULT_MODEL)
    except NotFound:
        return catalog.model(DEFAULT_MODEL)


def preset_name() -> str:
    """The preset the visitor chose, else the one that fits the dataset."""
    asked = place.get("preset")
    if asked in presets.PRESETS:
        return asked
    dataset = backend.dataset()
    return presets.recommend(model_info(), dataset.latest.summary if dataset else {})[0]


def recommended() -> Recipe:
    """The recipe before the visitor changed anything but the model and the preset."""
    dataset = backend.dataset()
    summary = dataset.latest.summary if dataset else {}
    settings = presets.PRESETS[preset_name()](model_info(), summary)
    place_of = {"dataset": dataset.id, "version": dataset.latest.version} if dataset else {"dataset": "-"}
    return Recipe(**place_of, **{**settings, "model": model_info().name})


def recipe() -> Recipe:
    """The recommended recipe with the visitor's changes; changes that are not valid (a hand-edited URL) are dropped."""
    settled = recommended()
    for name in SETTINGS:
        if name != "model" and (text := place.get(name)) is not None:
            try:
                settled = settled.but(**{name: _parse(name, text)})
            except (StudioError, ValueError):
                place.put(**{name: None})
    return settled


def change(**settings: Any) -> None:
    """Set some settings; those that equal the recommendation leave the URL again."""
    usual = recommended()
    for name, value in settings.items():
        place.put(**{name: None if getattr(usual, name) == value and name != "model" else _format(value)})


def differences() -> list[str]:
    """Names of the settings that differ from the recommended ones."""
    usual, now = recommended(), recipe()
    return [name for name in SETTINGS if getattr(usual, name) != getattr(now, name)]


def reset() -> None:
    place.put(**{name: None for name in SETTINGS if name != "model"})


def key(name: str) -> str:
    """The widget key of a setting. It holds the value the URL gives, so that a changed URL remakes the widget."""
    return f"setting-{name}"


def bind(name: str) -> dict[str, Any]:
    """`key` and `on_change` of a widget that edits one setting: `st.slider(label, 1, 50, **draft.bind("epochs"))`."""
    widget = key(name)
    st.session_state[widget] = getattr(recipe(), name)
    return {"key": widget, "on_change": lambda: change(**{name: st.session_state[widget]})}


def _format(value: Any) -> str:
    if value is None:
        return _EMPTY
    if isinstance(value, dict):
        return ",".join(f"{group}:{position}" for group, position in value.items()) or _EMPTY
    return str(value).lower() if isinstance(value, bool) else str(value)


def _parse(name: str, text: str) -> Any:
    annotation = str(Recipe.model_fields[name].annotation)
    if name == "positions":
        return {} if text == _EMPTY else dict(pair.rsplit(":", 1) for pair in text.split(","))
    if name == "freeze":
        return text if text == "all" else int(text)
    if text == _EMPTY and "None" in annotation:
        return None
    if "bool" in annotation:
        return text == "true"
    if "int" in annotation:
        return int(text)
    return float(text) if "float" in annotation else text
