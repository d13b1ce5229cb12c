"""Where things lie on disk: the data home of a person's work, and the files that ship with the studio."""

from __future__ import annotations

import errno
import fcntl
import importlib.metadata
import json
import os
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent
PEOPLE = "people"
BROUGHT = frozenset(("runs", "jobs", "demos", "datasets", "thumbnails"))
"""What is fetched when somebody asks for it, where files go through an object store."""
PERSON = re.compile(r"[a-z0-9][a-z0-9-]{0,63}")
_DEVICE = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9]) *(\..*)?", re.IGNORECASE)


@cache  # asked for at every link of every page; looking costs a tenth of a page's run
def studio() -> Path:
    """The folder that holds `app.py`, `pages/` and `assets/`: the checkout, or inside the package when installed from a wheel."""
    checkout = PACKAGE.parent
    return checkout if (checkout / "assets" / "words").is_dir() else PACKAGE / "studio"


def assets() -> Path:
    return studio() / "assets"


@cache
def studio_version() -> str:
    try:
        return importlib.metadata.version("transfer-studio")
    except importlib.metadata.PackageNotFoundError:
        return "0"


@dataclass(frozen=True)
class Home:
    """The data home: everything a person made. Copy this folder and nothing is lost.

    Set by `TRANSFER_STUDIO_HOME`, else `./studio-data`. Sub-folders are made on first use.
    In a studio for many people each has a home inside it, `people/<person>`, laid out in the same way: whoever holds a person's
    home has no path to anything of another's. The database, and what no person made, lie in the studio's own (`shared`).
    """

    root: Path
    studio: Path | None = None
    """The data home this person's home lies in; None: it is the studio's own."""

    @classmethod
    def default(cls) -> Home:
        from transfer_core.settings import settings  # which says its errors in words, and words lie at a path

        return cls(settings().home.expanduser().resolve())

    @property
    def shared(self) -> Path:
        return self.studio or self.root

    def of(self, person: str | None) -> Home:
        """The home of one person of this studio; None: the studio's own, which is that of the only person where there are no
        accounts. Raises `ValueError` for a name that no person can have."""
        if person is None:
            return Home(self.shared)
        if not is_person(person):
            raise ValueError(f"no name of a person: {person!r}")
        return Home(self.shared / PEOPLE / person, self.shared)

    def people(self) -> Iterator[Home]:
        """The homes of all people that have one, in no order. Not the studio's own."""
        folder = self.shared / PEOPLE
        names = [each.name for each in folder.iterdir() if each.is_dir()] if folder.is_dir() else []
        return (self.of(name) for name in names if is_person(name))

    def at(self, *parts: str) -> Path:
        """A path inside, without making anything but what is fetched (see `depot`). Raises `NotFound` for a part that is no plain
        name: an address somebody typed must not lead out of this home."""
        for part in parts:
            if part in ("", ".", "..") or any(sign in part for sign in "/\\\0"):
                from transfer_core.errors import NotFound  # which says its words, and words lie at a path

                raise NotFound("no_file", file=part[:64])
        if len(parts) > 1 and parts[0] in BROUGHT:
            from transfer_core import depot

            if depot.is_on():  # this folder is a working copy: what is missing is fetched
                from transfer_core.depot.looking import look

                look(self, parts)
        return self.root.joinpath(*parts)

    def told(self, path: Path) -> str:
        """A path for people's eyes. In a studio for many they learn what it is called inside, and not where on the server."""
        if self.studio is None:
            return str(path)
        return path.relative_to(self.studio.parent).as_posix() if path.is_relative_to(self.studio.parent) else path.name

    def _folder(self, *parts: str) -> Path:
        folder = self.at(*parts)
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    @property
    def database(self) -> Path:
        self.shared.mkdir(parents=True, exist_ok=True)
        return self.shared / "studio.db"

    @property
    def uploads(self) -> Path:
        """Raw uploads, one folder each; removed once imported."""
        return self._folder("uploads")

    @property
    def weights(self) -> Path:
        """Weight files people brought, named by their content's hash."""
        return self._folder("weights")

    @property
    def cache(self) -> Path:
        """What can be computed again: activations and exported prefixes. May be deleted while nothing trains."""
        return self._folder("cache")

    def image(self, sha256: str) -> Path:
        """An image's own bytes, by content: shared by every dataset version that holds it."""
        return self._folder("images", sha256[:2]) / self.at(sha256).name

    def thumbnail(self, sha256: str) -> Path:
        return self._folder("thumbnails", sha256[:2]) / self.at(f"{sha256}.webp").name

    def manifest(self, dataset: str, version: int) -> Path:
        """The list of images of one dataset version; written once, never changed."""
        return self._folder("datasets", dataset) / f"v{version}.jsonl"

    def run(self, run: str) -> Path:
        """A run's artifacts: best weights, last checkpoint, predictions, exports."""
        return self._folder("runs", run)

    def demo(self, demo: str) -> Path:
        """What a published demo answers with; it stays when the run it came from is deleted."""
        return self._folder("demos", demo)

    def job(self, job: str) -> Path:
        """A job's log."""
        return self._folder("jobs", job)


def is_person(name: object) -> bool:
    """Whether a person can be called so: what becomes a folder's name has no way out of where it lies."""
    return isinstance(name, str) and bool(PERSON.fullmatch(name))


@contextmanager
def taking(lock: Path, wait: bool = False, together: bool = False) -> Iterator[bool]:
    """Hold a lock file inside the block, alone or `together` with others who do. Yields whether it was to be had; with `wait` it
    always is, in the end.

    The lock is the file system's: it ends with its process, so the file says nothing and may stay.
    """
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("a") as file:
        try:
            fcntl.flock(file, (fcntl.LOCK_SH if together else fcntl.LOCK_EX) | (0 if wait else fcntl.LOCK_NB))
            taken = True
        except BlockingIOError:
            taken = False
        yield taken


@contextmanager
def replacing(path: Path, lasting: bool = True, secret: bool = False) -> Iterator[Path]:
    """Yield a temporary path beside `path` and rename it over `path` when the block ends well.

    A reader sees the old file or the whole new one, never half of it; a kill in the middle leaves the old one. So does a power
    cut where the file is `lasting`: its bytes are on the disk before its name is, and its name before this ends. What can be
    computed anew need not wait for the disk. A `secret` one is there before it is written to, for nobody else to read.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        if secret:
            os.close(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        yield part
        if lasting:
            to_disk(part)
        part.replace(path)
        if lasting:
            to_disk(path.parent)
    finally:
        part.unlink(missing_ok=True)


def to_disk(path: Path) -> None:
    """Wait until a file's bytes, or the names in a folder, are where a power cut leaves them."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:  # network shares that do not know it of folders
        if error.errno not in (errno.EINVAL, errno.ENOTSUP) or not path.is_dir():
            raise
    finally:
        os.close(handle)


def file_name(name: str) -> str:
    """A name a person chose as a file name that every system takes: no separators, no control characters, at most 100 bytes, and
    none that Windows keeps for its devices, whatever stands after the dot (`CON.zip`)."""
    kept = "".join("-" if sign in '/\\:*?"<>|' or not sign.isprintable() else sign for sign in name).strip(" .-")
    if _DEVICE.fullmatch(kept):
        kept = _DEVICE.sub(r"\1_\2", kept)
    return kept.encode("utf-8", "ignore")[:100].decode("utf-8", "ignore").strip(" .-") or "model"


def write_json(path: Path, content: object, lasting: bool = True) -> None:
    """Write or replace a file, whole or not at all."""
    with replacing(path, lasting) as part:
        part.write_text(json.dumps(content, ensure_ascii=False, indent=1), "utf-8")
