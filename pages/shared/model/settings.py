"""The rest of the recipe: one control a setting, made from a line of the table below, and what differs from the recommended."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, get_args

import streamlit as st

from pages.shared import backend, draft
from pages.shared.bound import bind_to
from pages.shared.draft import Draft
from pages.shared.model.numbers import plus
from pages.shared.place import language
from pages.shared.text import plain, t
from transfer_core import settings_said
from transfer_core.catalog import ModelInfo
from transfer_core.recipe import Recipe

OWN_SIZE = 0
"""The choice "as the model was trained", which a recipe says with None and a select box would take for nothing chosen."""
AS_SUITS = -1
"""The choice of None for the stored variations."""
NO_LIMIT = 0
"""The choice of None for the minutes."""
_UNSET = {"image_size": OWN_SIZE, "stored_views": AS_SUITS, "minutes": NO_LIMIT}


@dataclass(frozen=True)
class Control:
    """How one setting is shown. Without `steps` its kind follows from the recipe: choices, a switch, or a number."""

    name: str
    depth: str
    steps: tuple[Any, ...] = ()
    integer: tuple[int, int] | None = None

    @property
    def choices(self) -> tuple[str, ...]:
        return get_args(Recipe.model_fields[self.name].annotation) if not self.steps else ()


CONTROLS = (
    Control("epochs", "guided", integer=(1, 1000)),
    Control("learning_rate", "guided", steps=(1e-5, 3e-5, 1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1)),
    Control("augmentation", "guided"),
    Control("flip", "guided"),
    Control("stored_views", "expert", steps=(AS_SUITS, 0, 1, 2, 4, 8, 16)),
    Control("class_balance", "guided"),
    Control("patience", "guided", integer=(0, 1000)),
    Control("minutes", "guided", steps=(NO_LIMIT, 1, 2, 5, 10, 20, 30, 60, 120, 240, 480)),
    Control("optimizer", "expert"),
    Control("schedule", "expert"),
    Control("warmup", "expert", steps=(0.0, 0.05, 0.1, 0.2, 0.3, 0.5)),
    Control("backbone_factor", "expert", steps=(0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0)),
    Control("batch_size", "expert", steps=(4, 8, 16, 32, 64, 128, 256)),
    Control("image_size", "expert", steps=(OWN_SIZE, 96, 128, 160, 192, 224, 256, 288, 320, 384, 448, 512)),
    Control("label_smoothing", "expert", steps=(0.0, 0.05, 0.1, 0.2)),
    Control("clip", "expert", steps=(0.0, 0.5, 1.0, 2.0, 5.0)),
    Control("precision", "expert"),
    Control("seed", "expert", integer=(0, 2**31 - 1)),
)
"""Every recipe setting that has no place of its own higher up on the page."""


def section(now: Draft, depth: str) -> None:
    shown = [control for control in CONTROLS if depth == "expert" or control.depth == depth]
    st.subheader(t("settings.title"), anchor="settings")
    with st.grid(columns="auto", min_column_width=280, gap="medium", key="settings"):
        for control in shown:
            with st.container(key=f"control-{control.name}"):
                _draw(control, now)


def _draw(control: Control, now: Draft) -> None:
    name, value = control.name, getattr(now.recipe, control.name)
    words = {"label": t(f"settings.{name}"), "help": t(f"settings.{name}_help")}
    if control.integer:
        low, high = control.integer
        st.number_input(**words, min_value=low, max_value=high, step=1, **draft.bind(name, now))
        return
    if isinstance(value, bool):
        st.toggle(**words, **draft.bind(name, now))
        return
    unset = _UNSET.get(name)  # None cannot be chosen
    value = unset if value is None else value
    options = _options(control, value)
    bound = bind_to(draft.key(name), value, lambda given: draft.change(**{name: None if given == unset else given}),
                    options=options)
    st.selectbox(**words, options=options, format_func=lambda choice: say(name, choice, now.info), filter_mode=None, **bound)


def _options(control: Control, value: Any) -> list[Any]:
    if not control.steps:
        return list(control.choices)
    return plus(list(control.steps), value)


def say(name: str, value: Any, info: ModelInfo | None) -> str:
    """The value of a setting, as a person reads it; in Markdown, what was typed somewhere is no markup."""
    given = None if value == _UNSET.get(name, object()) else value
    names = {dataset.id: dataset.name for dataset in backend.store().datasets()} if name == "source_dataset" and given else {}
    said = settings_said.value(name, given, info, language(), names)
    return plain(said) if given and name in ("weights_file", "start_from", "source_dataset") else said


def differences(now: Draft) -> None:
    """“3 settings differ from the recommended – reset”, with the list."""
    names = now.differences
    with st.container(key="changed-settings"):
        if not names:
            st.caption(f":material/check: {t('settings.as_recommended')}")
            return
        with st.container(horizontal=True, vertical_alignment="center", gap="small"):
            st.markdown(f":material/edit_note: {t('settings.differ', count=len(names))}", width="content")
            st.button(t("settings.reset"), icon=":material/restart_alt:", key="reset", on_click=draft.reset, type="tertiary")
        for name in names:
            with st.container(horizontal=True, vertical_alignment="center", gap="small", key=f"changed-{name}"):
                st.markdown(
                    f"**{t(f'settings.{name}')}**: {say(name, getattr(now.recipe, name), now.info)} "
                    f":gray[{t('settings.instead_of', value=say(name, getattr(now.usual, name), now.info))}]", width="content")
                st.button(t("settings.undo"), icon=":material/undo:", key=f"undo-{name}", on_click=draft.reset, args=(name,),
                          type="tertiary", help=t("settings.undo_help"))
