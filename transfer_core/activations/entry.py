"""One entry: the activations of one prefix for one view of any number of images.

    <entry>/spec.json      what they are of
    <entry>/rows           the SHA-256 of each image, 32 bytes a row, in the order of the data
    <entry>/0.bin, 1.bin   one file for each tensor alive across the cut, one row after the other

A row counts once its digest is in `rows`, which is written after its data has reached the disk. So a process may be killed
anywhere: what lies behind the last whole digest is cut off by the next writer. Writers take turns by a file lock that ends
with its process; readers need none, for rows never change.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from filelock import FileLock, Timeout

from transfer_core.paths import replacing

_DIGEST = 32


@dataclass(frozen=True)
class Spec:
    """What an entry holds. Equal specs are the same entry; everything that changes a number is in here."""

    prefix: str
    """Fingerprint of the frozen weights, of the operations on them, and of the libraries that run them."""
    engine: str
    """Engines differ in the last digits, and a run must not meet two."""
    preprocessing: dict[str, Any]
    view: dict[str, Any]
    """Empty for the image as it is evaluated; else how it was varied, and the number of the view."""
    shapes: tuple[tuple[int, ...], ...]
    """Of one image, one for each live tensor."""
    dtype: str
    """ "float32" or "float16"."""
    model: str = ""
    boundary: str = ""
    """For people: the model, and the first unit behind the cut."""

    @property
    def key(self) -> str:
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()[:20]

    @property
    def row_bytes(self) -> tuple[int, ...]:
        return tuple(math.prod(shape) * np.dtype(self.dtype).itemsize for shape in self.shapes)

    @property
    def bytes_per_image(self) -> int:
        return sum(self.row_bytes) + _DIGEST

    @classmethod
    def read(cls, file: Path) -> Spec:
        """Raises `OSError`, `ValueError` or `TypeError` when it is none."""
        fields = json.loads(file.read_text("utf-8"))
        return cls(**{**fields, "shapes": tuple(tuple(shape) for shape in fields["shapes"])})


class Entry:
    """The entry of one spec in a folder; made on first use."""

    def __init__(self, folder: Path, spec: Spec) -> None:
        self.folder, self.spec = folder, spec
        self._lock = lock_of(folder)
        self.touch()

    def touch(self) -> None:
        """Used now: the least recently used entry goes first when room is needed."""
        self.folder.mkdir(parents=True, exist_ok=True)
        file = self.folder / "spec.json"
        if file.is_file():
            os.utime(file)
        else:
            with replacing(file, lasting=False) as part:
                part.write_text(json.dumps(asdict(self.spec)), "utf-8")

    @property
    def images(self) -> dict[bytes, int]:
        """Digest → row, of the whole rows on disk."""
        try:
            digests = (self.folder / "rows").read_bytes()
        except FileNotFoundError:
            return {}
        whole = min([len(digests) // _DIGEST, *(size // row for size, row in self._sizes())])
        return {digests[row * _DIGEST:(row + 1) * _DIGEST]: row for row in range(whole)}

    def missing(self, images: Sequence[str]) -> list[int]:
        """Places in `images` (SHA-256 as hex) of those that have no row yet, each image once."""
        seen = set(self.images)
        found = []
        for place, image in enumerate(images):
            digest = bytes.fromhex(image)
            if digest not in seen:
                seen.add(digest)
                found.append(place)
        return found

    def rows(self, images: Sequence[str]) -> Rows:
        """The rows of these images, in this order. Raises `KeyError` when one is missing."""
        known = self.images
        order = np.array([known[bytes.fromhex(image)] for image in images], np.int64)
        count = len(known)
        files = [np.memmap(self._file(index), np.dtype(self.spec.dtype), "r", shape=(count, *shape)) if count else
                 np.zeros((0, *shape), self.spec.dtype) for index, shape in enumerate(self.spec.shapes)]
        return Rows(tuple(files), order)

    def take_turn(self, seconds: float) -> bool:
        """Become the one who writes, waiting so long at most; `done` gives the turn back, and so does the process' end."""
        try:
            self._lock.acquire(timeout=seconds)
        except Timeout:
            return False
        self.touch()  # somebody may have removed the entry meanwhile
        self._cut_off()
        return True

    def append(self, images: Sequence[str], tensors: Sequence[np.ndarray]) -> None:
        """New rows, in their turn only: `tensors` hold one row for each of `images`, each of the spec's shape.

        Raises `OSError` (a full disk); nothing half-written counts then.
        """
        if not images:
            return
        for stream, tensor, shape in zip(self._streams, tensors, self.spec.shapes, strict=True):
            data = np.ascontiguousarray(tensor, self.spec.dtype).reshape(len(images), *shape)
            stream.write(data.tobytes())
            stream.flush()
            os.fsync(stream.fileno())
        with (self.folder / "rows").open("ab") as rows:
            rows.write(b"".join(bytes.fromhex(image) for image in images))

    def done(self) -> None:
        for stream in self.__dict__.pop("_streams", ()):
            with suppress(OSError):  # the disk is full; what counts was written before
                stream.close()
        self._lock.release()

    @cached_property
    def _streams(self) -> list[BinaryIO]:
        return [self._file(index).open("ab") for index in range(len(self.spec.shapes))]

    def _file(self, index: int) -> Path:
        return self.folder / f"{index}.bin"

    def _sizes(self) -> list[tuple[int, int]]:
        return [(self._file(index).stat().st_size if self._file(index).exists() else 0, row)
                for index, row in enumerate(self.spec.row_bytes)]

    def _cut_off(self) -> None:
        """Drop what a writer left behind that was ended in the middle."""
        whole = len(self.images)
        for file, size in [(self.folder / "rows", _DIGEST), *((self._file(i), row) for i, row in enumerate(self.spec.row_bytes))]:
            if file.exists() and file.stat().st_size != whole * size:
                os.truncate(file, whole * size)


def lock_of(folder: Path) -> FileLock:
    """Who holds it may write the entry, or remove it. It lies beside the folder and stays when that is removed: two processes
    must never hold two files of one name."""
    return FileLock(folder.with_suffix(".lock"), thread_local=False)


@dataclass(frozen=True)
class Rows:
    """Rows of an entry in the order of somebody's images, read from the disk as they are asked for."""

    files: tuple[np.ndarray, ...]
    order: np.ndarray

    def __len__(self) -> int:
        return len(self.order)

    def take(self, places: Sequence[int]) -> tuple[np.ndarray, ...]:
        """Copies of the rows at these places, one array for each tensor."""
        rows = self.order[np.asarray(places, np.int64)]
        return tuple(np.asarray(file[rows]) for file in self.files)
