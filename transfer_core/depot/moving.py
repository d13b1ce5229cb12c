"""All of a data home into the store, for who moves there, and all of it back, for a backup or the way out."""

from __future__ import annotations

import logging
from collections.abc import Callable, Container, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from transfer_core.depot import things
from transfer_core.depot.folders import Folder
from transfer_core.depot.jobs import is_wanted
from transfer_core.depot.listing import INDEX
from transfer_core.depot.marks import asked_for, lies_here
from transfer_core.depot.notes import made_with
from transfer_core.depot.place import Away, place
from transfer_core.errors import BadInput, Unavailable
from transfer_core.events import Progressed
from transfer_core.paths import Home
from transfer_core.settings import settings
from transfer_core.store import Store

log = logging.getLogger(__name__)
KINDS = ("runs", "jobs", "demos")


@dataclass
class Moved:
    folders: int = 0
    """Of runs, jobs and demos that were not there yet as they are here (or, on the way back, there)."""
    images: int = 0
    datasets: int = 0
    weights: int = 0

    def add(self, what: str, new: bool) -> None:
        setattr(self, what, getattr(self, what) + new)

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def push_all(home: Home, told: Callable[[Progressed], object] = lambda event: None, store: Store | None = None) -> Moved:
    """Everything that people made, of everybody. What is there already is left alone; may be repeated after it was interrupted.

    A folder that is newer in the store, because another machine went on with it, stays as it is there. With `store`, what this
    machine has of before, and neither the object store nor the database knows any more, was deleted, and does not come back.
    """
    from transfer_core.datasets.garbage import named

    moved = Moved()
    for each in _homes(home):
        there = place().names("/".join(each.root.relative_to(each.shared).parts))
        gone = _gone(store, each, there)
        sets = {folder.name for folder in (each.root / "datasets").glob("*")} - gone
        images = [name for name in sorted(named(each, sets)) if each.image(name).is_file()
                  and things.key(each, "images", name[:2], name) not in there]
        _tell(told, len(images))
        things.at_once(lambda sha256, home=each: things.push_image(home, sha256), images,
                       lambda done, total: told(Progressed(stage="pushing", done=done, total=total)))
        moved.images += len(images)
        lists = sorted(file for pattern in ("v*.jsonl", "kept.json") for file in (each.root / "datasets").glob(f"*/{pattern}")
                       if file.parent.name not in gone)
        for file in lists:
            if file.name == "kept.json" or things.key(each, *file.relative_to(each.root).parts) not in there:
                things.push_sealed(each, file)
                moved.datasets += file.suffix == ".jsonl"
        for file in (each.root / "weights").glob("*"):
            if _is_hash(file.name) and things.key(each, "weights", file.name) not in there:
                things.push_weights(each, file.name)
                moved.weights += 1
        for folder in _folders(each):
            if store is not None and folder.known and folder.index(0) is None and not is_wanted(store, folder):
                continue
            if not folder.known and folder.index(0) is not None:
                folder.bring()  # another machine's: what lies here under that name is compared with it
            moved.folders += folder.push(only_mine=False)
    return moved


def pull_all(home: Home, told: Callable[[Progressed], object] = lambda event: None) -> Moved:
    """Everything that the store has, of everybody, checkpoints and exports, too. A copy of the home is then one of all of it.

    Raises `BadInput("copies_too_many")` where a studio on this machine would soon remove some of it again.
    """
    facts, most = place().names(), settings().copies_bytes
    need = sum(fact.size for fact in facts.values())
    if most is not None and need > most:
        raise BadInput("copies_too_many", need=f"{need / 1e9:.2f}", most=f"{most / 1e9:.2f}")
    moved, names, damaged = Moved(), sorted(facts), None
    for number, name in enumerate(names):
        told(Progressed(stage="fetching", done=number, total=len(names)))
        try:
            moved.add(*_pull(*_home_of(home, name)))
        except ValueError:  # names in a store are data: this one is none of ours
            log.warning("%r in the store is no name of a studio", name[:200])
        except Unavailable as error:
            if isinstance(error, Away) or error.code != "artifacts_damaged":
                raise
            log.warning("%s could not be fetched: %s", name, error)
            damaged = error
    if damaged is not None:  # told when all the rest is here
        raise damaged
    return moved


def _pull(home: Home, parts: list[str]) -> tuple[str, bool]:
    """Bring one; what it is, and whether it was missing here."""
    if parts[0] == "images" and len(parts) == 3:
        return "images", not lies_here(home, home.image(parts[2])) and things.bring_image(home, parts[2])
    if parts[0] == "weights" and len(parts) == 2:
        return "weights", not lies_here(home, home.weights / home.at(parts[1]).name) and things.bring_weights(home, parts[1])
    if parts[0] in ("datasets", "thumbnails") and len(parts) == 3:
        things.key(home, *parts)  # before it is a path
        file = home.root.joinpath(*parts)
        return "datasets", not file.is_file() and things.bring_sealed(home, file, fresh=0) and file.name.startswith("v")
    if parts[0] in KINDS and parts[-1] == INDEX:
        folder = Folder(home, "/".join(parts[:-1]))
        asked_for(home, folder.notes.name)  # as all of it: who pulls wants a copy of the home, and no room made meanwhile
        return "folders", folder.bring()
    return "folders", False


def _gone(store: Store | None, home: Home, there: Container[str]) -> set[str]:
    """Datasets that lie here, that this store once had, and that nobody knows any more."""
    if store is None or made_with(home) != place().address:
        return set()
    return {folder.name for folder in (home.root / "datasets").glob("*")
            if things.key(home, "datasets", folder.name, "v1.jsonl") not in there
            and store.everyone().first_version(folder.name) is None}


def _homes(home: Home) -> Iterator[Home]:
    yield home.of(None)
    yield from home.people()


def _home_of(home: Home, name: str) -> tuple[Home, list[str]]:
    """Whose it is. Raises `ValueError` for a person that cannot be."""
    parts = name.split("/")
    if parts[0] == "people" and len(parts) > 2:
        return home.of(parts[1]), parts[2:]
    return home.of(None), parts


def _folders(home: Home) -> Iterator[Folder]:
    for kind in KINDS:
        folder = home.root / kind
        for path in sorted(folder.iterdir()) if folder.is_dir() else ():
            if path.is_dir() and _has_files(path):
                yield Folder(home, f"{kind}/{path.name}")


def _has_files(folder: Path) -> bool:
    return any(file.is_file() and file.name not in ("log.txt", "log.old.txt") for file in folder.rglob("*"))


def _is_hash(name: str) -> bool:
    return len(name) == 64 and name.isalnum()


def _tell(told: Callable[[Progressed], object], total: int) -> None:
    told(Progressed(stage="pushing", done=0, total=total))
