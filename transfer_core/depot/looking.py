"""What is brought because somebody asks for it: called by `Home.at` and by the routes that give files."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from transfer_core.depot import is_on, things
from transfer_core.depot.folders import Folder
from transfer_core.depot.marks import asked_for
from transfer_core.depot.place import patience
from transfer_core.errors import Unavailable
from transfer_core.paths import Home

if TYPE_CHECKING:
    from transfer_core.store import Job

LONG = 60.0
"""Seconds for which it is remembered what a run that has ended left behind."""


def look(home: Home, parts: Sequence[str]) -> None:
    """A folder: bring what is small of it. A file: bring that file. Uploads are brought by the jobs that need them."""
    kind = parts[0]
    if kind in ("datasets", "thumbnails"):
        if len(parts) == 3:
            bring(home, *parts)
        return
    folder, asked = Folder(home, "/".join(parts[:2])), "/".join(parts[2:])
    if (kind == "demos" or (kind == "runs" and asked)) and folder.path.is_dir():
        asked_for(home, folder.notes.name)  # before it is looked for: then nobody removes it in between
    try:
        if kind == "demos":  # a model and some photos: asked for to be used
            folder.look(lambda _: True)
        elif not asked:
            folder.look()
        else:
            folder.look(lambda path: path == asked or path.startswith(f"{asked}/"))
    except Unavailable:
        if kind != "jobs":  # its log lies there, which is nobody else's
            raise


def bring(home: Home, *parts: str) -> bool:
    """A sealed file (`datasets/<id>/v1.jsonl`, a thumbnail), unless it is here."""
    if not is_on():
        return False
    with patience(0):
        return things.bring_sealed(home, home.root.joinpath(*parts))


def bring_image(home: Home, sha256: str) -> bool:
    """Whether an image is here now."""
    if not is_on():
        return home.image(sha256).is_file()
    with patience(0):
        return things.bring_image(home, sha256)


def has(home: Home, job: Job, name: str) -> bool:
    """Whether a run left this file, here or in the store; it is not brought."""
    if home.root.joinpath("runs", job.id, name).is_file():
        return not is_on() or job.result != {}  # thrown away on another machine, and still lying here
    if not is_on():
        return False
    with patience(0):
        return name in (Folder(home, f"runs/{job.id}").index(0 if job.live else LONG) or {})
