"""All entries of a data home, and the exported prefixes beside them."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from filelock import Timeout

from transfer_core.activations.entry import Entry, Spec, lock_of
from transfer_core.paths import Home


@dataclass(frozen=True)
class Stored:
    """One entry, as it is listed for people."""

    key: str
    spec: Spec
    images: int
    bytes: int
    used: float
    """Seconds since 1970."""

    def to_dict(self) -> dict[str, object]:
        return {"key": self.key, "model": self.spec.model, "boundary": self.spec.boundary, "engine": self.spec.engine,
                "dtype": self.spec.dtype, "view": self.spec.view.get("number"), "images": self.images, "bytes": self.bytes,
                "used": self.used}


class Shelf:
    """Where the entries lie: `cache/activations` in the home. Beside it, in `cache/engines`, `<prefix>.onnx` for those prefixes
    that were exported."""

    def __init__(self, home: Home) -> None:
        self.folder, self.engines = home.cache / "activations", home.cache / "engines"
        self.folder.mkdir(parents=True, exist_ok=True)

    def entry(self, spec: Spec) -> Entry:
        return Entry(self.folder / spec.key, spec)

    def __iter__(self) -> Iterator[Stored]:
        """Every entry, the least recently used first. What cannot be read is passed over, and removed by `clear`."""
        found = []
        for folder in self.folder.iterdir():
            try:
                spec, used = Spec.read(folder / "spec.json"), (folder / "spec.json").stat().st_mtime
                size = sum(file.stat().st_size for file in folder.iterdir())
                rows = (folder / "rows").stat().st_size // 32 if (folder / "rows").exists() else 0
            except (OSError, ValueError, TypeError, KeyError):
                continue
            found.append(Stored(folder.name, spec, rows, size, used))
        yield from sorted(found, key=lambda stored: stored.used)

    @property
    def bytes(self) -> int:
        """Of all entries and of all exported prefixes."""
        return sum(stored.bytes for stored in self) + sum(self.exported().values())

    def exported(self) -> dict[str, int]:
        """Bytes of each exported prefix, the least recently used first."""
        found = {}
        for file in self.engines.glob("*.onnx"):
            with suppress(OSError):  # another process has just removed it
                found[file.stem] = file.stat()
        return {prefix: facts.st_size for prefix, facts in sorted(found.items(), key=lambda item: item[1].st_mtime)}

    def remove_exported(self, prefix: str) -> int:
        """Remove an exported prefix; returns the bytes that are free now. Who has opened it goes on."""
        file = self.engines / f"{Path(prefix).name}.onnx"
        try:
            size = file.stat().st_size
            file.unlink()
        except OSError:
            return 0
        return size

    def remove(self, key: str) -> int:
        """Remove one entry unless somebody is writing it; returns the bytes that are free now.

        A run that reads it goes on reading: its files live until they are closed.
        """
        folder = self.folder / Path(key).name
        if not folder.is_dir():
            return 0
        lock = lock_of(folder)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            return 0
        try:
            size = sum(file.stat().st_size for file in folder.iterdir())
            (folder / "rows").unlink(missing_ok=True)  # first: without it nothing in the folder counts
            shutil.rmtree(folder, ignore_errors=True)
        finally:
            lock.release()
        return size

    def forget(self, wanted: Iterable[tuple[Entry, Sequence[str]]]) -> None:
        """Remove those entries that do not hold all of these images: the disk was full before they did."""
        for entry, images in wanted:
            if entry.missing(images):
                self.remove(entry.spec.key)

    def forget_images(self, images: Iterable[str]) -> int:
        """Remove each entry that holds one of these images (SHA-256 as hex), which somebody deleted; returns the bytes freed.
        What it says of others is computed anew when it is asked for."""
        gone, freed = {bytes.fromhex(image) for image in images}, 0
        for folder in [folder for folder in self.folder.iterdir() if (folder / "rows").is_file()]:
            digests = (folder / "rows").read_bytes()  # not by its `Entry`: that would count as using it
            if any(digests[row:row + 32] in gone for row in range(0, len(digests), 32)):
                freed += self.remove(folder.name)
        return freed

    def clear(self) -> int:
        """Remove all that nobody is writing; returns the bytes freed."""
        freed = sum(self.remove(folder.name) for folder in list(self.folder.iterdir()) if folder.is_dir())
        return freed + sum(self.remove_exported(prefix) for prefix in self.exported())
