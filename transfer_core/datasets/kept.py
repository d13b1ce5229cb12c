"""Doubts a person has looked into and found unfounded: such photos are not shown again."""

from __future__ import annotations

import json
from collections.abc import Iterable

from transfer_core import depot
from transfer_core.paths import Home, write_json

KINDS = ("label_errors", "leaks", "duplicates", "odd", "quality")
_FILE = "kept.json"


def kept(home: Home, dataset: str, kind: str) -> set[str]:
    """What was kept as it is: `<sha256> <label>` of each image, so that one that gets another label is doubted anew."""
    return set(_read(home, dataset).get(kind, ()))


def keep(home: Home, dataset: str, kind: str, images: Iterable[str]) -> None:
    """Raises `ValueError` for a kind there is none of."""
    if kind not in KINDS:
        raise ValueError(kind)
    before = _read(home, dataset)
    file = home.manifest(dataset, 1).with_name(_FILE)
    write_json(file, before | {kind: sorted({*before.get(kind, ()), *images})})
    if depot.is_on():
        from transfer_core.depot.things import push_sealed

        push_sealed(home, file)


def _read(home: Home, dataset: str) -> dict[str, list[str]]:
    file = home.manifest(dataset, 1).with_name(_FILE)
    if depot.is_on():
        from transfer_core.depot.things import renew_now_and_then

        renew_now_and_then(home, file)
    return json.loads(file.read_text("utf-8")) if file.is_file() else {}
