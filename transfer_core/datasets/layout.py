"""Which folder means what: wrapping folders, train/validation/test, domains, classes. Works on names alone, decodes nothing."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from transfer_core.datasets.entries import Entry
from transfer_core.datasets.names import split_of

Parts = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Placed:
    """A picture and where the layout puts it."""

    entry: Entry
    label: str
    split: str | None = None
    domain: str = ""
    nested: bool = False
    """It lay in a sub-folder of its class and was folded in."""


@dataclass(frozen=True)
class Folders:
    """What the folders were understood as."""

    wrapper: Parts
    levels: tuple[str, ...]
    """Meaning of each folder level below the wrapper, from the top: "split", "domain", "class"."""
    placed: tuple[Placed, ...]
    strays: tuple[Entry, ...]
    """Pictures above every class folder."""
    ambiguous: bool = False
    """Class folders are repeated under several parents: one of the two levels is a domain, and only a person knows which."""


def unwrap(files: Sequence[Entry]) -> tuple[Parts, list[Entry], list[Entry]]:
    """Wrapping folders (one folder that holds everything and has only folders in it), the pictures inside, stray ones outside.

    A few pictures beside the one folder (at most one in twenty, or three) are strays and do not count.
    """
    wrapper: Parts = ()
    inside, strays = list(files), []
    while inside:
        depth = len(wrapper)
        loose = [file for file in inside if len(file.parts) == depth + 1]
        folders = {file.parts[depth] for file in inside if len(file.parts) > depth + 1}
        if len(folders) != 1 or len(loose) > max(3, len(inside) // 20):
            break
        below = [file for file in inside if len(file.parts) > depth + 1]
        if sum(len(file.parts) == depth + 2 for file in below) > len(below) // 20:
            break  # pictures directly inside: that folder is a class
        wrapper, inside, strays = (*wrapper, folders.pop()), below, strays + loose
    return wrapper, inside, strays


def read_folders(files: Sequence[Entry], first_is: str | None = None) -> Folders:
    """`first_is`: "domain" or "class", a person's answer for the upper of two ambiguous levels."""
    wrapper, inside, strays = unwrap(files)
    depth = len(wrapper)
    strays += [file for file in inside if len(file.parts) == depth + 1]
    rest = [(file, file.parts[depth:-1]) for file in inside if len(file.parts) > depth + 1]
    rest, where, unlabelled = _take_split(rest)
    strays += unlabelled
    grid = _is_grid([below for _, below, _ in rest])
    domain_at = None
    if grid:
        domain_at = 1 if first_is == "class" else 0
    placed = tuple(_place(file, below, split, domain_at) for file, below, split in rest)
    levels = ["class"]
    if domain_at is not None:
        levels.insert(domain_at, "domain")
    if where is not None:
        levels.insert(min(where, len(levels)), "split")
    return Folders(wrapper, tuple(levels), placed, tuple(strays), grid)


def _place(file: Entry, below: Parts, split: str | None, domain_at: int | None) -> Placed:
    if domain_at is None or len(below) < 2:
        return Placed(file, below[0], split, nested=len(below) > 1)
    return Placed(file, below[1 - domain_at], split, below[domain_at], nested=len(below) > 2)


def _take_split(rest: list[tuple[Entry, Parts]]) -> tuple[list[tuple[Entry, Parts, str | None]], int | None, list[Entry]]:
    """Find the level (top or second) whose folders are all called train, val, test …; take it out of the paths."""
    for level in (0, 1):
        names = {below[level] if len(below) > level else "" for _, below in rest}
        if not names or not all(split_of(name) for name in names):
            continue
        if level == 0 and len(names) < 2 and len({below[:2] for _, below in rest}) < 2:
            continue  # a single folder "test" with pictures: a class of that name
        taken = [(file, below[:level] + below[level + 1:], split_of(below[level])) for file, below in rest]
        labelled = [(file, below, split) for file, below, split in taken if below]
        if not labelled:
            if level == 0:  # train and test are no classes: the labels are elsewhere
                return [], None, [file for file, _ in rest]
            continue
        return labelled, level, [file for file, below, _ in taken if not below]
    return [(file, below, None) for file, below in rest], None, []


def _is_grid(paths: Sequence[Parts]) -> bool:
    """At least two folders that all hold mostly the same (two or more) sub-folders, and hardly a picture of their own."""
    below: dict[str, set[str]] = defaultdict(set)
    direct = 0
    for path in paths:
        direct += len(path) == 1
        below[path[0]].update(path[1:2])
    if len(below) < 2 or direct > len(paths) // 20:
        return False
    folders = [folder for folder in below.values() if folder]
    times = Counter(name for folder in folders for name in folder)
    repeated = sum(count >= 2 for count in times.values())
    return repeated >= 2 and repeated >= len(times) / 2 and len(folders) >= len(below) / 2


_NUMBERED = re.compile(r"^(.*?[^\W\d_].*?)[\s_.\-]*[(\[]?\d+[)\]]?$")


def labels_from_names(files: Sequence[Entry]) -> dict[str, str] | None:
    """`hat_0.jpg`, `shoes (3).jpg` → class from the file name; None unless nine in ten names say one and two classes repeat."""
    found = {}
    for file in files:
        stem = file.name.rpartition(".")[0] or file.name
        if match := _NUMBERED.match(stem):
            found[file.path] = match[1]
    count = Counter(found.values())
    repeated = [name for name, times in count.items() if times >= 2]
    if len(found) < 0.9 * len(files) or len(repeated) < 2 or len(count) > len(files) / 2:
        return None
    return found
