"""Image files that no dataset version holds: what a stopped or failed import leaves behind.

An import writes pictures before the manifest that names them, and leans on those that lie there already. So it holds the image
store while it works, and garbage is collected only when nobody holds it. The lock is the file system's: it ends with its process.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from transfer_core.paths import Home, taking

KEPT = 86_400.0
"""Seconds that a file is left alone: a second belt, where a file system knows no locks."""
_NAMED = re.compile(rb'"sha256": "([0-9a-f]{64})"')
_HASH = re.compile(r"[0-9a-f]{64}")


@contextmanager
def holding_images(home: Home) -> Iterator[None]:
    """Nothing is collected meanwhile. Any number of imports may hold the images at once; waits while garbage is collected."""
    with taking(_lock_file(home), wait=True, together=True):
        yield


@contextmanager
def images_alone(home: Home) -> Iterator[bool]:
    """Whether nobody imports; nobody begins to inside the block."""
    with taking(_lock_file(home)) as alone:
        yield alone


@contextmanager
def files_alone(home: Home) -> Iterator[bool]:
    """As `images_alone`, and nobody makes a backup: that holds the studio's, one lock for the files of all people."""
    with ExitStack() as locks:
        yield all(locks.enter_context(images_alone(each)) for each in dict.fromkeys((home, home.of(None))))


def collect_garbage(home: Home, now: float | None = None) -> list[str]:
    """Remove images, thumbnails and display copies of no manifest in this home; returns their hashes. None while an import runs.

    Manifests on disk decide, not the database: with another database (a lost one, one from a backup) no photo may go.
    """
    with files_alone(home) as alone:
        if not alone:
            return []
        limit = (now or time.time()) - KEPT
        old = [file for file in _files(home) if _changed(file) < limit]
        kept = named(home) if old else set()
        garbage = [file for file in old if _hash(file) not in kept or file.suffix == ".part"]
        for file in garbage:
            file.unlink(missing_ok=True)
        return sorted({_hash(file) for file in garbage})


def _lock_file(home: Home) -> Path:
    home.root.mkdir(parents=True, exist_ok=True)
    return home.root / "images.lock"  # beside the images: an import that is refused makes no folder


def _files(home: Home) -> Iterator[Path]:
    for kind in ("images", "thumbnails"):
        yield from (file for file in (home.root / kind).glob("??/*") if _HASH.fullmatch(_hash(file)))


def _hash(file: Path) -> str:
    """`<hash>`, `<hash>.webp`, `<hash>.display.webp`; `.<hash>.….part` is a half-written one."""
    return file.name.removeprefix(".").split(".")[0]


def _changed(file: Path) -> float:
    try:
        return file.stat().st_mtime
    except FileNotFoundError:  # a half-written one became whole
        return float("inf")


def named(home: Home, datasets: Iterable[str] = ("*",)) -> set[str]:
    """Hashes of images in all versions of these datasets; without any, of all, those deleted included: a deletion can be taken
    back."""
    found: set[str] = set()
    for dataset in datasets:
        for manifest in (home.root / "datasets").glob(f"{dataset}/v*.jsonl"):
            with manifest.open("rb") as lines:
                for line in lines:
                    found.update(hash_.decode() for hash_ in _NAMED.findall(line))
    return found
