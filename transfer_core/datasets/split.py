"""Train, validation and test: by class, whole groups only, the same for the same seed."""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from math import floor

from transfer_core.datasets.manifest import Split

SHARES = {"validation": 0.15, "test": 0.15}


@dataclass(frozen=True, slots=True)
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


def one_side(items: Sequence[Item], splits: Sequence[Split], given: bool = False) -> list[Split]:
    """The splits after some groups have grown: a group that lies on several sides goes to one; what does not stays where it is.

    Of a division that was `given`, only its test (else its validation) images stay, as in `split`. Else a torn group goes,
    largest first, where it fits into what its class should have in test or validation, otherwise to train; a class whose test
    or validation would be empty gets its smallest group there, as long as it has three.
    """
    if given:
        return _keep_given([Item(item.label, item.group, where) for item, where in zip(items, splits, strict=True)])[0]
    settled, members, labels = list(splits), defaultdict(list), defaultdict(set)
    for place, item in enumerate(items):
        members[item.group].append(place)
        labels[item.group].add(item.label)
    torn = [group for group in members if len({splits[place] for place in members[group]}) > 1]
    count = Counter(item.label for item in items)
    have = Counter((item.label, where) for item, where in zip(items, splits, strict=True) if item.group not in set(torn))

    def put(group: int, where: Split) -> None:
        for place in members[group]:
            settled[place] = where
            have[items[place].label, where] += 1

    for group in sorted(torn, key=lambda group: (-len(members[group]), group)):
        own, size = labels[group], len(members[group])
        label = next(iter(own))
        fits = (name for name in reversed(SHARES) if len(own) == 1
                and have[label, name] + size <= max(1, floor(SHARES[name] * count[label] + 0.5)))
        put(group, next(fits, "train"))  # type: ignore[arg-type]
    for label in {label for group in torn for label in labels[group]}:
        groups = [group for group in members if labels[group] == {label}]
        for name in reversed(SHARES):
            movable = [group for group in groups if settled[members[group][0]] == "train"]
            if not have[label, name] and len(groups) > len(SHARES) and len(movable) > 1:
                put(min(movable, key=lambda group: (len(members[group]), group)), name)  # type: ignore[arg-type]
    return settled


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
