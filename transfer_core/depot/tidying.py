"""What is done now and then: push what could not be pushed, delete what could not be deleted, forget what others deleted."""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Iterable
from contextlib import suppress

from transfer_core.depot import is_on, things
from transfer_core.depot.folders import Folder, states, todo
from transfer_core.depot.jobs import is_wanted
from transfer_core.depot.notes import made_with
from transfer_core.depot.place import Away, patience, place
from transfer_core.errors import NotFound, StudioError
from transfer_core.paths import Home
from transfer_core.store import Job, Store
from transfer_core.store.leases import is_here

log = logging.getLogger(__name__)
OLD = 3600.0
"""Seconds after which what a killed process left half done is removed, and an image that no dataset names any more."""
UNUSED = 2 * 86_400.0
"""Seconds after which an upload nobody imported is removed from the store: its machine, which does so after a day, is gone."""


def remove(home: Home, *parts: str) -> None:
    """A folder, here and, where there is a store, there."""
    if is_on():
        Folder(home, "/".join(parts)).remove()
    else:
        shutil.rmtree(home.at(*parts), ignore_errors=True)


def remove_dataset(home: Home, dataset: str) -> None:
    """Its lists, and the images that no other dataset of this home names. Raises `Unavailable`: it can be asked for again."""
    if is_on():
        _remove_dataset_there(home, dataset)
    shutil.rmtree(home.at("datasets", dataset), ignore_errors=True)


def _remove_dataset_there(home: Home, dataset: str) -> None:
    from transfer_core.datasets.garbage import named

    with patience(0):
        lists = [name.removeprefix(things.key(home, "datasets") + "/") for name in place().names(things.key(home, "datasets"))]
        for name in lists:
            if name.endswith(".jsonl") and len(name.split("/")) == 2 and ".." not in name.split("/"):
                things.bring_sealed(home, home.root.joinpath("datasets", *name.split("/")), fresh=0)
        theirs = named(home, [dataset]) - named(home, {name.split("/")[0] for name in lists} - {dataset})
        images = place().names(things.key(home, "images"))
        for sha256 in theirs:
            key = things.key(home, "images", sha256[:2], sha256)
            if key in images and images[key].modified < time.time() - OLD:  # a younger one was just imported again
                place().remove(key, things.key(home, "thumbnails", sha256[:2], f"{sha256}.webp"))
        place().remove_all(things.key(home, "datasets", dataset))


def remove_person(home: Home) -> None:
    """All of a person's in the store. Raises `Unavailable`: it is asked for again. Nothing of the studio's own is removed so."""
    if is_on() and home.studio is not None:
        with patience(0):
            place().remove_all("/".join(home.root.relative_to(home.shared).parts))


def is_empty(home: Home) -> bool:
    with patience(0):
        return not place().names("/".join(home.root.relative_to(home.shared).parts))


def catch_up(store: Store, homes: Iterable[Home]) -> int:
    """Do what had to wait for the store; returns how much of it is done."""
    done = 0
    for home in homes:
        for what, folder in todo(home):
            try:
                with patience(0):
                    done += _caught_up(store, what, folder)
            except Away:
                return done
            except (StudioError, OSError):
                log.exception("%s could not be pushed", folder.name)
    return done


def _caught_up(store: Store, what: str, folder: Folder) -> bool:
    if what == "gone":
        with folder.notes.lock(wait=False) as locked:
            if locked:
                folder.remove_there()
        return locked
    job = _job(store, folder)
    if folder.is_at_work or (job is not None and job.state == "running" and not is_here(job.worker)):
        return False  # whoever works in it pushes it, or somebody else goes on with the job elsewhere
    if not folder.path.is_dir() or (job is not None and job.result == {}):
        folder.forget()
        return False
    if (job is None and folder.name.startswith(("runs/", "jobs/"))) or not is_wanted(store, folder):
        return False  # deleted: what may be shown again is pushed then, and what somebody had deleted for good never is
    # Whoever had the job last has the truth. A demo, or an upload, is made by one machine only.
    return folder.push(only_mine=job is None or is_here(job.worker))


def tidy(store: Store, home: Home) -> None:
    """Remove from this machine what was deleted on another one: gone from the store, and from the database or thrown away.

    Neither alone is enough. Another database knows none of it, and a store that was emptied by mistake has none of it.
    """
    limit = time.time() - OLD
    for stage in (home.root / "depot" / "stage").glob("*"):
        with suppress(FileNotFoundError):
            if stage.stat().st_mtime < limit:
                shutil.rmtree(stage, ignore_errors=True)
    with patience(0):
        for folder in states(home):
            try:
                _tidy_folder(store, folder)
            except Away:
                raise
            except StudioError:  # a damaged index must not keep all others
                log.exception("%s could not be tidied", folder.name)
        _tidy_datasets(store, home)
        uploads = things.key(home, "uploads")
        facts = place().names(uploads)
        old = {name.removeprefix(f"{uploads}/").split("/")[0] for name in facts}
        young = {name.removeprefix(f"{uploads}/").split("/")[0] for name, fact in facts.items()
                 if fact.modified > time.time() - UNUSED}
        for upload in old - young:
            place().remove_all(f"{uploads}/{upload}")


def _tidy_folder(store: Store, folder: Folder) -> None:
    folder.sweep()
    if not folder.is_at_work and _is_over(store, folder) and folder.index(0) is None:
        shutil.rmtree(folder.path, ignore_errors=True)
        folder.forget()


def _tidy_datasets(store: Store, home: Home) -> None:
    """Lists and photos of datasets that were deleted on another machine."""
    from transfer_core.datasets.garbage import images_alone, named

    here = {folder.name for folder in (home.root / "datasets").glob("*") if folder.is_dir()}
    if not here or made_with(home) != place().address:  # another store knows none of them
        return
    lists = things.key(home, "datasets") + "/"
    there = {name.removeprefix(lists).split("/")[0] for name in place().names(lists.rstrip("/"))}
    gone = [dataset for dataset in here - there if store.everyone().first_version(dataset) is None]
    with images_alone(home) as alone:  # an import writes its list before anybody knows of it
        if not gone or not alone:
            return
        only_theirs = named(home, gone) - named(home, here - set(gone))
        for sha256 in only_theirs:
            for file in (home.image(sha256), *home.thumbnail(sha256).parent.glob(f"{sha256}.*")):
                file.unlink(missing_ok=True)
        if only_theirs and (home.root / "cache").is_dir():
            from transfer_core.activations import Shelf

            Shelf(home).forget_images(only_theirs)
        for dataset in gone:
            shutil.rmtree(home.root / "datasets" / dataset, ignore_errors=True)


def _job(store: Store, folder: Folder) -> Job | None:
    """Whose folder it is; None for a demo's or an upload's, and of one that was deleted."""
    try:
        return store.everyone().job(folder.name.split("/")[1])
    except NotFound:
        return None


def _is_over(store: Store, folder: Folder) -> bool:
    """Whether the database knows nobody who wants it. Uploads are swept where they arrived."""
    return not folder.name.startswith("uploads/") and not is_wanted(store, folder)
