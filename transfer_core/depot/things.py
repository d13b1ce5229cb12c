"""Single objects: by content hash (images, weights), or sealed with a first line that says size and hash of the rest."""

from __future__ import annotations

import hashlib
import json
import re
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

from transfer_core.depot.marks import lies_here
from transfer_core.depot.notes import stamp
from transfer_core.depot.place import Away, patience, patience_here, place
from transfer_core.errors import Unavailable
from transfer_core.paths import Home, replacing

AT_ONCE = 16
"""Objects under way at the same time: each waits for the network most of its time."""
LONGEST = 256_000_000
"""Bytes of a sealed object, at most: the manifest of a million images."""
FRESH = 5.0
"""Seconds for which is remembered that something was not there, or how it was."""
_HASH = re.compile(r"[0-9a-f]{64}")
_asked: dict[Path, float] = {}


def key(home: Home, *parts: str) -> str:
    """The name of something of this home in the store: below that of its person, whatever the parts are."""
    if any(part in ("", ".", "..") or any(sign in part for sign in "/\\\0") for part in parts):
        raise ValueError(f"no name in a store: {parts!r}")
    return "/".join((*home.root.relative_to(home.shared).parts, *parts))


def seal(data: bytes) -> bytes:
    return json.dumps({"size": len(data), "sha256": hashlib.sha256(data).hexdigest()}).encode() + b"\n" + data


def unseal(sealed: bytes, name: str) -> bytes:
    """Raises `Unavailable("artifacts_damaged")`."""
    head, _, data = sealed.partition(b"\n")
    try:
        told: Any = json.loads(head)
        if told["size"] == len(data) and told["sha256"] == hashlib.sha256(data).hexdigest():
            return data
    except (ValueError, KeyError, TypeError, RecursionError):
        pass
    raise Unavailable("artifacts_damaged", name=name)


def push_sealed(home: Home, file: Path) -> None:
    place().write(key(home, *file.relative_to(home.root).parts), seal(file.read_bytes()))


def bring_sealed(home: Home, file: Path, fresh: float = FRESH) -> bool:
    """Fetch a file unless it is there; True when it is now. One that was not there is asked for again after `fresh` seconds."""
    if file.is_file() or time.monotonic() - _asked.get(file, float("-inf")) < fresh:
        return file.is_file()
    return renew_sealed(home, file)


def renew_sealed(home: Home, file: Path) -> bool:
    """Fetch a file that may have changed. One that is not in the store stays as it is here."""
    name = key(home, *file.relative_to(home.root).parts)
    sealed = place().read(name, LONGEST)
    _remember(file)
    if sealed is None:
        return file.is_file()
    data = unseal(sealed, name)
    stamp(home)
    if not (file.is_file() and file.read_bytes() == data):
        with replacing(file) as part:
            part.write_bytes(data)
    return True


def renew_now_and_then(home: Home, file: Path) -> None:
    """For small files that pages read and any machine may write. What lies here does while the store is away."""
    if time.monotonic() - _asked.get(file, float("-inf")) >= FRESH:
        with suppress(Away), patience(0):
            renew_sealed(home, file)


def _remember(file: Path) -> None:
    if len(_asked) > 100_000:
        _asked.clear()
    _asked[file] = time.monotonic()


def push_image(home: Home, sha256: str) -> None:
    """The image and its thumbnail. Written anew each time, so that their age in the store tells when they were last wanted."""
    if lies_here(home, file := home.image(sha256)):
        place().push(key(home, "images", sha256[:2], sha256), file)
    if (small := home.thumbnail(sha256)).is_file():
        push_sealed(home, small)


def bring_image(home: Home, sha256: str) -> bool:
    return _bring_named(home, home.image(sha256), sha256)


def bring_weights(home: Home, sha256: str) -> bool:
    return _bring_named(home, home.weights / sha256, sha256)


def push_weights(home: Home, sha256: str) -> None:
    place().push(key(home, "weights", sha256), home.weights / sha256)


def _bring_named(home: Home, file: Path, sha256: str) -> bool:
    if not _HASH.fullmatch(sha256) or lies_here(home, file):
        return file.is_file()
    with suppress(_Nowhere), replacing(file) as part:  # lasting: whoever finds it takes it for whole
        if not place().fetch(key(home, *file.relative_to(home.root).parts), -1, sha256, part):
            raise _Nowhere
        stamp(home)
    return file.is_file()


class _Nowhere(Exception):
    """The store does not have it."""


def push_dataset(home: Home, file: Path, data: bytes, images: Iterable[str]) -> None:
    """A version's images, then the list that names them: who has the list finds all of them. `data`: the list, which is to lie
    in `file` when all others can have it."""
    at_once(lambda sha256: push_image(home, sha256), list(dict.fromkeys(images)))
    place().write(key(home, *file.relative_to(home.root).parts), seal(data))


def bring_images(home: Home, images: Iterable[str], thumbnails: bool = False,
                 told: Callable[[int, int], object] = lambda done, total: None) -> None:
    """Those that are not here. What the store does not have either stays missing, as a lost file does."""
    missing = [sha256 for sha256 in dict.fromkeys(images) if not lies_here(home, home.image(sha256))
               or (thumbnails and not home.thumbnail(sha256).is_file())]

    def bring(sha256: str) -> None:
        bring_image(home, sha256)
        if thumbnails:
            bring_sealed(home, home.thumbnail(sha256), fresh=0)

    at_once(bring, missing, told)


def at_once(work: Callable[[Any], object], what: Sequence[Any],
            told: Callable[[int, int], object] = lambda done, total: None) -> None:
    """For each, some at the same time. The first error is raised, and what has not begun then does not begin."""
    if len(what) < 2:
        for each in what:
            work(each)
        return
    pool, seconds = ThreadPoolExecutor(AT_ONCE), patience_here()

    def patiently(each: Any) -> None:
        with patience(seconds):
            work(each)

    try:
        for done, _ in enumerate(pool.map(patiently, what), start=1):
            told(done, len(what))
    finally:
        pool.shutdown(cancel_futures=True)
