"""The way into a sweep: which values, how often, and how many trainings that makes."""

from __future__ import annotations

import streamlit as st

from pages.shared import backend, navigation
from pages.shared.draft import NO_DATASET, Draft
from pages.shared.model.numbers import decimal, duration
from pages.shared.text import t
from pages.shared.undisturbed import undisturbed
from transfer_core.errors import StudioError
from transfer_core.estimate import estimate
from transfer_core.recipe import Recipe
from transfer_core.speeds import speeds
from transfer_core.sweeping import check, grid, numbers, setting_of

MOST = 40
"""Trainings of one sweep asked for on a page; the command line knows no such bound."""


def offer(now: Draft) -> None:
    """Asks when it is opened; nothing where there is no λ, or nothing to train on."""
    constant = now.recipe.source_loss and not {"train", "anchor"} & set(now.positions)
    checked = now.dataset and now.dataset.latest.summary.get("split", {}).get("validation")
    if setting_of(now.recipe) is None or now.recipe.dataset == NO_DATASET or constant or not checked:
        return
    # No popover: it would grow below the window's edge, and its button could not be reached.
    with st.expander(t("sweep.offer"), icon=":material/tune:", key="sweep-offer"):
        st.markdown(t("sweep.offer_text"))
        if now.recipe.source_loss and now.recipe.regularizer:
            st.markdown(t("sweep.varies_lambda_target", name=t(f"objective.source_{now.recipe.source_loss}_title")))
        usual = ", ".join(decimal(value) for value in grid(now.recipe))
        text = st.text_input(t("sweep.values"), usual, key=f"sweep-values-{setting_of(now.recipe)}-{now.recipe.regularizer}")
        seeds = st.number_input(t("sweep.seeds"), 1, 10, 1, key="sweep-seeds", help=t("sweep.seeds_help"))
        values, wrong = _read(now.recipe, text)
        if wrong:
            st.error(wrong, icon=":material/error:")
        else:
            st.caption(_told(now, len(values) * seeds))
            if now.positions[0] == "freeze" and len(values) * seeds > 1:
                st.caption(t("sweep.once"))
        too_many = len(values) * seeds > MOST
        if too_many:
            st.warning(t("sweep.too_many", most=MOST), icon=":material/warning:")
        st.button(t("sweep.start"), type="primary", key="sweep-start", disabled=bool(wrong) or too_many,
                  on_click=_start, args=(now.recipe, values, int(seeds)))
    if job := st.session_state.pop("sweep begun", None):
        navigation.go("sweep", job=job)


def _told(now: Draft, count: int) -> str:
    """How many trainings, and how long they take where this machine's speed is known."""
    text = t("sweep.count", count=count)
    cost = estimate(now.recipe, now.info, now.images, speeds(backend.home()).get(now.info.name), classes=now.classes,
                    source_images=backend.source_images(now.recipe))
    if cost.seconds is None or not count:
        return text
    return t("sweep.takes", count=text, time=duration(cost.seconds + (count - 1) * cost.seconds_again))


def _read(recipe: Recipe, text: str) -> tuple[list[float], str]:
    """The values, and what is wrong with them."""
    try:
        return check(recipe, numbers(text)), ""
    except (ValueError, StudioError):
        return [], t("sweep.bad_values")


@undisturbed()
def _start(recipe: Recipe, values: list[float], seeds: int) -> None:
    payload = {"recipe": recipe.model_dump(mode="json"), "values": values, "seeds": seeds}
    st.session_state["sweep begun"] = backend.store().submit("sweep", payload, backend.device()).id
