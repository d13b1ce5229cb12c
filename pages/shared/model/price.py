"""What the recipe costs on this machine, and what it would cost one step further: the browser shows that without asking."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import islice

import streamlit as st

from pages.shared import backend, draft
from pages.shared.components.price import Price, Tag, price
from pages.shared.draft import Draft
from pages.shared.model.numbers import digits, duration, short, size
from pages.shared.text import t
from transfer_core import catalog, estimate
from transfer_core.recipe import Recipe
from transfer_core.speeds import Speed, speeds

MOST = 400
"""Prices sent along. 65 layer groups, the most there are, need 261 while no part is set apart; one price takes up to 0.08 ms."""


def section(now: Draft, single: bool) -> None:
    """`single`: parts can be set one by one, so those prices are needed, too."""
    speed = speeds(backend.home()).get(now.info.name)
    with st.container(border=True, key="price"):
        st.markdown(f"**{t('model.price')}**")
        price(now.positions, prices(now, speed, single), [
            Tag(t("model.trainable"), t("model.trainable_help")),
            Tag(t("model.minutes"), t("model.minutes_help")),
            Tag(t("model.memory"), t("model.memory_help")),
            *_download(now),
        ])
        if not now.images:
            st.caption(t("model.minutes_need_photos"))
        elif speed is None:
            st.caption(t("model.minutes_need_speed"))


def prices(now: Draft, speed: Speed | None, single: bool) -> dict[str, Price]:
    """The price of everything that one move of the ladder can make of the present positions, by `pattern`."""
    groups = [group.name for group in now.info.groups]
    found: dict[str, Price] = {}
    others = backend.source_images(now.recipe)
    for positions in islice(_reachable(now.positions, single), MOST):
        if (name := pattern(positions)) not in found:
            recipe = now.recipe.model_copy(update=draft.freeze_settings(groups, positions))
            found[name] = _price(recipe, now, speed, others)
    return found


def pattern(positions: Sequence[str]) -> str:
    """What a price depends on: which groups learn, and whether any is anchored. `price.js` says the same.

    >>> pattern(["freeze", "train", "anchor"])
    'fll+'
    """
    return "".join("f" if position == "freeze" else "l" for position in positions) + "+" * ("anchor" in positions)


def _reachable(positions: list[str], single: bool) -> Iterable[list[str]]:
    """Where the ladder can be before the server answers: the nearest first.

    A slider drawn over groups that were set apart, and back, leaves them learning: that is `reach`.
    """
    count = len(positions)
    before = next((index for index, position in enumerate(positions) if position != "freeze"), count)
    yield positions
    for first in range(count + 1):
        reach = max(first, before)
        yield ["freeze"] * first + ["train"] * (reach - first) + positions[reach:]
    if single:
        for index in range(count):
            for other in draft.POSITIONS:
                yield [*positions[:index], other, *positions[index + 1:]]
    apart = [index + 1 for index in range(before, count) if positions[index] != "train"]
    for reach in apart:
        for first in range(reach):
            yield ["freeze"] * first + ["train"] * (reach - first) + positions[reach:]


def _price(recipe: Recipe, now: Draft, speed: Speed | None, others: int) -> Price:
    cost = estimate.estimate(recipe, now.info, now.images, speed, classes=now.classes or 10, source_images=others)
    share = min(1.0, cost.trainable_parameters / max(1, cost.total_parameters))
    time = duration(cost.seconds) if cost.seconds and now.images else "–"
    return Price(
        values=[short(cost.trainable_parameters), time, size(cost.memory_bytes)],
        share=share, text=t("model.trainable_share", share=digits(100 * share), total=short(cost.total_parameters)))


def _download(now: Draft) -> list[Tag]:
    """What has to be fetched does not depend on the freezing."""
    if now.recipe.weights != "pretrained" or catalog.weights_at(now.info.name, backend.home()) != "download":
        return []
    return [Tag(t("model.download"), t("model.download_help"), size(4 * now.info.parameters))]
