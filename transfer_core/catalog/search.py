"""Find models the way people ask for them: `resnet 50`, `EfficientNet-Lite`, `vit <10M`, `apache`, `in21k`."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable

from transfer_core.catalog.models import ModelInfo, models
from transfer_core.catalog.suggestions import suggested
from transfer_core.catalog.weights import weights_at
from transfer_core.paths import Home

_LIMIT = re.compile(r"^(<=|>=|<|>)(\d+(?:\.\d+)?)(px|k|m|g|b)$")
"""`<10M` and `<1B` limit parameters, `<2G` multiply-adds (GMACs), `>=384px` the input size."""


def search(
    text: str = "",
    *,
    family: str | None = None,
    min_parameters: int | None = None,
    max_parameters: int | None = None,
    max_gmacs: float | None = None,
    max_size: int | None = None,
    licence: str | None = None,
    commercial: bool = False,
    pretrained: bool = True,
    here: Home | None = None,
    limit: int | None = None,
) -> list[ModelInfo]:
    """Models in which every word of `text` occurs (name, family, licence, dataset), the likeliest first.

    Case, spaces, hyphens, dots and underscores do not matter. When nothing matches, names spelled alike are tried.
    `commercial` keeps licences known to allow commercial use, `pretrained` models with weights, `here` those whose
    weights are on this machine already.
    """
    words, limits = _read(text)
    checks: list[Callable[[ModelInfo], bool]] = [
        *limits,
        *([lambda info: info.pretrained] if pretrained else []),
        *([lambda info: info.family == family] if family else []),
        *([lambda info: info.parameters >= min_parameters] if min_parameters is not None else []),
        *([lambda info: info.parameters <= max_parameters] if max_parameters is not None else []),
        *([lambda info: info.gmacs <= max_gmacs] if max_gmacs is not None else []),
        *([lambda info: info.image_size <= max_size] if max_size is not None else []),
        *([lambda info: info.licence == licence] if licence else []),
        *([lambda info: info.commercial is True] if commercial else []),
    ]
    allowed = [info for info in models() if all(check(info) for check in checks)]
    found = [info for info in allowed if all(word in _haystack(info) for word in words)]
    if not found and words:
        found = _alike("".join(words), allowed)
    else:
        found.sort(key=_rank("".join(words)))
    if here is not None:
        found = [info for info in found if weights_at(info.name, here) != "download"]
    return found[:limit]


def families() -> dict[str, int]:
    """Family → how many pretrained models it has, the largest first."""
    counts: dict[str, int] = {}
    for info in models():
        if info.pretrained:
            counts[info.family] = counts.get(info.family, 0) + 1
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def licences() -> dict[str, bool | None]:
    """Licence → whether it allows commercial use (None: one has to read it)."""
    return dict(sorted((info.licence, info.commercial) for info in models() if info.pretrained))


def _plain(text: str) -> str:
    return re.sub(r"[\s._\-]+", "", text.lower())


def _haystack(info: ModelInfo) -> str:
    return "|".join(_plain(part) for part in (info.name, info.family, info.licence, info.trained_on))


def _read(text: str) -> tuple[list[str], list[Callable[[ModelInfo], bool]]]:
    """The words of a query, and its limits such as `<10M` (also written `< 10 M`)."""
    words: list[str] = []
    limits: list[Callable[[ModelInfo], bool]] = []
    for part in re.sub(r"([<>]=?)\s*([\d.]+)\s*(px|[kmgb])\b", r" \1\2\3 ", text.lower()).split():
        found = _LIMIT.match(part)
        if found:
            limits.append(_limit(found[1], float(found[2]), found[3]))
        elif word := _plain(part):
            words.append(word)
    return words, limits


def _limit(sign: str, number: float, unit: str) -> Callable[[ModelInfo], bool]:
    bound = number * {"k": 1e3, "m": 1e6, "b": 1e9, "g": 1e9, "px": 1}[unit]

    def within(info: ModelInfo) -> bool:
        value = info.macs if unit == "g" else info.image_size if unit == "px" else info.parameters
        return {"<": value < bound, "<=": value <= bound, ">": value > bound, ">=": value >= bound}[sign]

    return within


def _rank(words: str) -> Callable[[ModelInfo], tuple]:
    """Exact architecture, then suggested, then names that begin with the words, then timm's default tags, then smaller models.

    timm's toys for tests are last, unless they are asked for.
    """
    advised = {suggestion.model.name for suggestion in suggested()}

    def key(info: ModelInfo) -> tuple:
        architecture, unwanted = _plain(info.architecture), info.toy and not words.startswith("test")
        return (unwanted, words not in (architecture, _plain(info.name)), info.name not in advised,
                not architecture.startswith(words), words not in architecture, not info.default, info.parameters, info.name)

    return key


def _alike(word: str, infos: list[ModelInfo]) -> list[ModelInfo]:
    names = {_plain(info.architecture): None for info in infos}
    order = {name: place for place, name in enumerate(difflib.get_close_matches(word, names, 8, 0.7))}
    close = [info for info in infos if _plain(info.architecture) in order]
    return sorted(close, key=lambda info: (info.toy, order[_plain(info.architecture)], not info.default, info.name))
