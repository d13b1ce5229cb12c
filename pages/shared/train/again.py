"""The way from a run to the next one: the Model page, set as that run was."""

from __future__ import annotations

from pages.shared import draft, navigation
from pages.shared.text import t
from transfer_core.recipe import Recipe
from transfer_core.store import Job


def again(run: Job) -> None:
    recipe = Recipe(**run.payload["recipe"])
    changes = draft.address(recipe)
    navigation.link("model", t("train.another"), ":material/add:", run=None, dataset=recipe.dataset, **changes)
