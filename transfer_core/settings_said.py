"""The settings of a recipe as a person reads them: what each is called, and what its value means. Plain text, not escaped."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from transfer_core.catalog import ModelInfo
from transfer_core.numbers import counted, decimal
from transfer_core.words import say

_SHARES = ("warmup", "label_smoothing", "head_dropout")
_OFF_AT_ZERO = ("clip", "patience")
_SHA = 16
"""Letters of a hash that are shown."""


def name(setting: str, language: str) -> str:
    return say("compare.version" if setting == "version" else f"settings.{setting}", language)


def value(setting: str, given: Any, info: ModelInfo | None, language: str, datasets: Mapping[str, str] | None = None) -> str:
    """`info`: the recipe's model, shortened as the recipe says; None where the catalog does not know it. `datasets`: names by id.

    A value of no use to this is said as it is: recipes come from other studios, too.
    """
    def words(key: str, **values: Any) -> str:
        return say(key, language, **values)

    if setting in ("model", "version", "source_version"):
        return str(given)
    if setting == "positions":
        return ", ".join(f"{group}: {words(f'ladder.{position}')}" for group, position in given.items()) or words("settings.none")
    if setting == "freeze":
        return _frozen(given, info, words)
    if setting == "kept_groups":
        return words("structure.first_groups", count=given) if given else words("structure.all_groups")
    if setting == "image_size":
        if given:
            return words("settings.pixels", size=given)
        return words("settings.image_size_own", size=info.image_size) if info else words("settings.own")
    if setting == "stored_views":
        return words("settings.stored_views_auto" if given is None else
                     "settings.stored_views_fresh" if given == 0 else "settings.stored_views_value", count=given)
    if setting == "minutes":
        return words("settings.minutes_value", count=counted(given)) if given else words("settings.minutes_none")
    if setting == "source_loss":
        return words(f"objective.source_{given or 'none'}_title")
    if setting == "regularizer":
        return words(f"objective.omega_{given or 'none'}_title")
    if isinstance(given, bool):
        return words("settings.on" if given else "settings.off")
    if setting in _SHARES:
        return f"{100 * given:g} %"
    if setting in _OFF_AT_ZERO and given == 0:
        return words("settings.off")
    if isinstance(given, float):
        return decimal(given)
    if given is None:
        return words("settings.none")
    if setting in ("weights_file", "start_from"):
        return given[:_SHA]
    if setting in ("dataset", "source_dataset"):
        return (datasets or {}).get(given, given)
    return words(f"settings.{setting}_{given}") if isinstance(given, str) else str(given)


def _frozen(given: int | str, info: ModelInfo | None, words: Any) -> str:
    if info is None:
        return words("runs.freeze_all") if given == "all" else words("runs.freeze_some", count=given) if given else words(
            "runs.freeze_none")
    groups = len(info.groups)
    return words("settings.freeze_value", frozen=groups if given == "all" else given, all=groups)
