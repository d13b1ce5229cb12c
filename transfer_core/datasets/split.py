"""Train, validation and test: by class, whole groups only, the same for the same seed."""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from math import floor

from transfer_core.datasets.manifest import Split

SHARES = {"validation": 0.15, "test": 0.15}


@dataclass(frozen=True)
class Item:
    """What a split needs to know of an image; `given` is the split it came with."""

    label: str
    group: int
    given: str | None = None


@dataclass(frozen=True)
class Result:
    splits: list[Split]
    straddling: int = 0
    """Training-side copies of validation or test images, left out."""
    carved: tuple[str, ...] = ()
    """Splits that were missing from a given division and were taken from train."""
    small: tuple[str, ...] = ()
    """Classes with fewer than three groups: all in train."""


def split(items: Sequence[Item], seed: int = 0, shares: dict[str, float] | None = None) -> Result:
    """Give every item a split.

    Without a given division: validation and test get 15 % of each class each, rounded half up and at least one group;
    10 pictures become 6 / 2 / 2. A class needs three groups to be in all three. A group that spans classes goes to train.
    With one: it is kept; a missing validation or test is taken from train in the same way, and of a group that lies on
    both sides only the test (else the validation) side stays, so that nothing is tested that was trained on.
    """
    shares = SHARES if shares is None else shares
    given = {item.given for item in items}
    if not given & {"train"} or not given & {"validation", "test"}:
        splits, small = _carve(items, range(len(items)), shares, seed)
        return Result(splits, small=small)
    splits, straddling = _keep_given(items)
    missing = {name: share for name, share in shares.items() if name not in given}
    small: tuple[str, ...] = ()
    if missing:
        pool = [i for i, name in enumerate(splits) if name == "train"]
        carved, small = _carve(items, pool, missing, seed)
        for i in pool:
            splits[i] = carved[i]
    return Result(splits, straddling, tuple(missing), small)


def _keep_given(items: Sequence[Item]) -> tuple[list[Split], int]:
    members: dict[int, set[str]] = defaultdict(set)
    for item in items:
        members[item.group].add(item.given or "train")
    splits: list[Split] = []
    for item in items:
        stays = next(name for name in ("test", "validation", "train") if name in members[item.group])
        splits.append(stays if (item.given or "train") == stays else "left_out")  # type: ignore[arg-type]
    return splits, splits.count("left_out")


def _carve(items: Sequence[Item], pool: Sequence[int], shares: dict[str, float],
           seed: int) -> tuple[list[Split], tuple[str, ...]]:
    splits: list[Split] = ["train"] * len(items)
    labels_of: dict[int, set[str]] = defaultdict(set)
    members: dict[int, list[int]] = defaultdict(list)
    for i in pool:
        labels_of[items[i].group].add(items[i].label)
        members[items[i].group].append(i)
    count = Counter(items[i].label for i in pool)
    small = []
    for label in sorted(count):
        groups = [group for group, labels in labels_of.items() if labels == {label}]
        random.Random(f"{seed}/{label}").shuffle(groups)  # noqa: S311 — a repeatable draw, not a secret
        if len(groups) <= len(shares):
            small.append(label)
            continue
        for place, (name, share) in enumerate(reversed(shares.items())):  # the test first
            quota = max(1, floor(share * count[label] + 0.5))
            keep = len(shares) - place  # groups the other splits still need
            for group in _take(groups, {group: len(members[group]) for group in groups}, quota, keep):
                groups.remove(group)
                for i in members[group]:
                    splits[i] = name  # type: ignore[assignment]
    return splits, tuple(small)


def _take(groups: list[int], size: dict[int, int], quota: int, keep: int) -> list[int]:
    """Groups, in their drawn order, that fit into `quota` images; the smallest one if none does. At least `keep` remain."""
    taken: list[int] = []
    for group in groups:
        if size[group] <= quota and len(groups) - len(taken) > keep:
            taken.append(group)
            quota -= size[group]
    return taken or [min(groups, key=size.__getitem__)]
