"""The object store as names and bytes, by its address: `s3://bucket/prefix`, `file:///folder`, `memory://name`. Through fsspec.

S3 is spoken by pyarrow, which Streamlit brings along: s3fs needs botocore, which does not go with the pandas of today (see
docs/decisions.md). What is written is whole or not there. A name that is not there is an answer; everything else that goes
wrong is `Unavailable("artifacts_away")`.
"""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from typing import IO, Any, NamedTuple, TypeVar
from urllib.parse import urlsplit

from transfer_core.errors import Unavailable
from transfer_core.paths import to_disk
from transfer_core.settings import raw, without_password

T = TypeVar("T")
PIECE = 1 << 20
CONNECT, ANSWER = 5.0, 30.0
"""Seconds for a connection, and between two pieces of an answer."""
PATIENCE = 5.0
"""Seconds that a page waits for a store that is away; workers wait longer (`wait_longer`)."""
PAUSE = 0.5
CALM = 15.0
"""Seconds after a failure in which those who do not wait are refused at once: a page looks at many things."""
AGAIN = 2
"""Tries of the S3 client itself, for a single lost packet."""
NAME = re.compile(r"[^\0\\]+")
_patience = threading.local()
_longer = 0.0


class Away(Unavailable):
    """The store does not answer. It may be back in a moment."""


class Fact(NamedTuple):
    size: int
    modified: float


def wait_longer(seconds: float) -> None:
    """For a process that has nothing better to do, as `Store.wait_longer`."""
    global _longer
    _longer = seconds


@contextmanager
def patience(seconds: float) -> Iterator[None]:
    """How long this thread waits for a store that is away, inside the block."""
    before = getattr(_patience, "seconds", None)
    _patience.seconds = seconds
    try:
        yield
    finally:
        _patience.seconds = before


def patience_here() -> float:
    seconds = getattr(_patience, "seconds", None)
    return max(PATIENCE, _longer) if seconds is None else seconds


def place() -> Place:
    """Of the setting. Raises `Unavailable("artifacts_address")`."""
    return _opened(raw("artifacts"), os.environ.get("AWS_ENDPOINT_URL", ""), os.environ.get("AWS_ACCESS_KEY_ID", ""))


@lru_cache(maxsize=8)
def _opened(address: str, _endpoint: str, _who: str) -> Place:
    return Place(address)


class Place:
    def __init__(self, address: str) -> None:
        kind, _, rest = address.partition("://")
        self.address, self._root = without_password(address), rest.strip("/") if kind == "s3" else rest.rstrip("/")
        if kind not in ("s3", "file", "memory") or not self._root or (kind == "file" and not self._root.startswith("/")):
            raise Unavailable("artifacts_address", address=self.address)
        self._kind, self._files, self._opening = kind, None, threading.Lock()
        self._failed, self._reason = float("-inf"), ""

    # What it can do

    def read(self, name: str, most: int) -> bytes | None:
        """None when it is not there. What is longer than `most` is damaged."""
        def work() -> bytes | None:
            with self._fs.open(self._path(name), "rb") as file:
                return file.read(most + 1)

        found = self._do(lambda: _or_none(work))
        if found is not None and len(found) > most:
            raise Unavailable("artifacts_damaged", name=name)
        return found

    def fetch(self, name: str, size: int, sha256: str, to: Path) -> bool:
        """Into a file, checked. False when it is not there; raises `Unavailable("artifacts_damaged")` when it is another one.

        `size` −1: any size.
        """
        return self._do(lambda: _or_none(lambda: self._fetch(name, size, sha256, to))) is not None

    def _fetch(self, name: str, size: int, sha256: str, to: Path) -> bool:
        count, found = 0, hashlib.sha256()
        with to.open("wb") as file, self._fs.open(self._path(name), "rb") as source:
            while piece := source.read(PIECE):
                count += len(piece)
                if 0 <= size < count:
                    break
                found.update(piece)
                _write_here(file, piece)
        if (size >= 0 and count != size) or found.hexdigest() != sha256:
            raise Unavailable("artifacts_damaged", name=name)
        return True

    def write(self, name: str, data: bytes) -> None:
        def work() -> None:
            with self._whole(name) as file:
                file.write(data)

        self._do(work)

    def push(self, name: str, source: Path) -> None:
        with source.open("rb") as content:
            def work() -> None:
                content.seek(0)
                with self._whole(name) as file:
                    while piece := content.read(PIECE):
                        file.write(piece)

            self._do(work)

    def remove(self, *names: str) -> None:
        for name in names:
            self._do(lambda name=name: _or_none(lambda: self._fs.rm_file(self._path(name))))

    def remove_all(self, below: str) -> None:
        """Everything whose name begins with `below/`."""
        path = self._path(below)
        self._do(lambda: _or_none(lambda: self._fs.rm(path, recursive=True) if self._fs.exists(path) else None))

    def names(self, below: str = "") -> dict[str, Fact]:
        """All names that begin with `below/`."""
        path = self._path(below) if below else self._root

        def work() -> dict[str, Fact]:
            found = _or_none(lambda: _s3_names(self._fs, path) if self._kind == "s3" else self._fs.find(path, detail=True)) or {}
            return {self._name(each): Fact(int(fact["size"] or 0), _seconds(fact)) for each, fact in found.items()}

        return self._do(work)

    def ping(self) -> None:
        """Raises `Unavailable`. That nothing lies there is an answer."""
        self.read("ping", 1)

    # How

    @property
    def _fs(self) -> Any:
        with self._opening:
            if self._files is None:
                self._files = _s3() if self._kind == "s3" else _fsspec(self._kind)
            return self._files

    def _path(self, name: str) -> str:
        parts = name.split("/")
        if not NAME.fullmatch(name) or any(part in ("", ".", "..") for part in parts):
            raise ValueError(f"no name in a store: {name!r}")
        return f"{self._root}/{name}"

    def _name(self, path: str) -> str:
        return path.removeprefix("memory://").lstrip("/").removeprefix(self._root.lstrip("/")).lstrip("/")

    @contextmanager
    def _whole(self, name: str) -> Iterator[IO[bytes]]:
        """S3 shows an object when all of it has arrived. A folder needs a name of its own for what has not."""
        path = self._path(name)
        if self._kind != "file":
            with self._fs.open(path, "wb") as file:
                yield file
            return
        part = f"{path}.{secrets.token_hex(4)}.part"
        self._fs.makedirs(path.rpartition("/")[0], exist_ok=True)
        try:
            with self._fs.open(part, "wb") as file:
                yield file
            to_disk(Path(part))
            Path(part).replace(path)
            to_disk(Path(path).parent)
        finally:
            Path(part).unlink(missing_ok=True)

    def _do(self, work: Callable[[], T]) -> T:
        """Again, as long as the store is away and this thread has patience. All of it may be done twice without harm."""
        seconds = patience_here()
        if not seconds and time.monotonic() - self._failed < CALM:
            raise Away("artifacts_away", address=self.address, reason=self._reason)
        until = time.monotonic() + seconds
        while True:
            try:
                return work()
            except Unavailable:
                raise
            except Here as error:
                raise error.error from None
            except Exception as error:
                self._failed, self._reason = time.monotonic(), _said(error)
                if time.monotonic() > until:
                    raise Away("artifacts_away", address=self.address, reason=self._reason) from error
            time.sleep(PAUSE)


class Here(Exception):
    """What went wrong on this machine: a full disk, say."""

    def __init__(self, error: OSError) -> None:
        self.error = error


def _write_here(file: IO[bytes], piece: bytes) -> None:
    try:
        file.write(piece)
    except OSError as error:
        raise Here(error) from error


def _or_none(work: Callable[[], T]) -> T | None:
    with suppress(FileNotFoundError, NotADirectoryError):
        return work()
    return None


def _said(error: Exception) -> str:
    """In one line, without what a request was signed with."""
    line = next(iter(str(error).strip().splitlines()), type(error).__name__)
    for name in ("AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        if secret := os.environ.get(name):
            line = line.replace(secret, "…")
    return without_password(line)[:300]


def _seconds(fact: dict[str, Any]) -> float:
    found = fact.get("mtime") or fact.get("created") or fact.get("LastModified")
    return found.timestamp() if hasattr(found, "timestamp") else float(found or 0)


def _s3() -> Any:
    from fsspec.implementations.arrow import ArrowFSWrapper
    from pyarrow.fs import AwsStandardS3RetryStrategy, S3FileSystem

    known: dict[str, Any] = {}
    if endpoint := os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL"):
        known["scheme"] = urlsplit(endpoint).scheme or "https"
        known["endpoint_override"] = endpoint.partition("://")[2].rstrip("/") or endpoint
    if region := os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or ("us-east-1" if known else ""):
        known["region"] = region
    # Delayed: a small file is one request instead of three.
    return ArrowFSWrapper(S3FileSystem(
        **known, connect_timeout=CONNECT, request_timeout=ANSWER, allow_delayed_open=True, background_writes=False,
        retry_strategy=AwsStandardS3RetryStrategy(max_attempts=AGAIN)))


def _s3_names(files: Any, path: str) -> dict[str, dict[str, Any]]:
    """A thousand names a request. (`find` asks folder by folder.)"""
    from pyarrow.fs import FileSelector, FileType

    found = files.fs.get_file_info(FileSelector(path, allow_not_found=True, recursive=True))
    return {each.path: {"size": each.size, "mtime": each.mtime} for each in found if each.type == FileType.File}


def _fsspec(kind: str) -> Any:
    import fsspec

    return fsspec.filesystem(kind)
