"""Also test every photo once? Asked beside Start, and answered by itself where a test is small and the answer cheap."""

from __future__ import annotations

from dataclasses import dataclass

import streamlit as st

from pages.shared import backend, place
from pages.shared.bound import bind_to
from pages.shared.model.numbers import duration
from pages.shared.text import plain, t, told
from transfer_core.jobs import beside
from transfer_core.metrics import wilson
from transfer_core.recipe import Recipe

_USUAL = 0.8
"""The score for which the uncertainty of one split is said, before there is any."""


@dataclass(frozen=True)
class Asked:
    offer: beside.Offer | None
    """None where the photos are not here."""
    on: bool


def asked(recipe: Recipe) -> Asked:
    """What goes without saying, unless the URL says otherwise."""
    try:
        manifest = backend.manifest(recipe.dataset, recipe.version)
    except FileNotFoundError:
        return Asked(None, False)
    offer = beside.offer(backend.home(), recipe, manifest)
    said = {str(beside.FOLDS): True, "0": False}.get(place.get("folds") or "", offer.on)
    return Asked(offer, offer.possible and said)


def show(recipe: Recipe, now: Asked) -> None:
    offer = now.offer
    if offer is None:
        return

    def change(on: bool) -> None:
        place.put(folds=None if on == offer.on else beside.FOLDS if on else 0)

    with st.container(key="beside", gap="small"):
        st.toggle(t("beside.toggle", count=beside.FOLDS), disabled=not offer.possible, help=_help(recipe),
                  **bind_to("folds-on", now.on, change))
        st.caption(_price(now))


def _help(recipe: Recipe) -> str:
    count = backend.store().version(recipe.dataset, recipe.version).summary["split"]["test"]
    if not count:
        return t("beside.help_untested", folds=beside.FOLDS)
    low, high = wilson(_USUAL * count, count)
    return t("beside.help", count=count, points=f"{50 * (high - low):.0f}", folds=beside.FOLDS)


def _price(now: Asked) -> str:
    cost, why = now.offer.cost, now.offer.why
    price = t("beside.takes" if cost.measured else "beside.takes_slow", time=duration(cost.seconds)) if cost else ""
    return " ".join(filter(None, (plain(told(why)) if why and not now.on else "", price)))
