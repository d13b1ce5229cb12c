"""What a person handed over, as one list of entries: a zip, a folder on disk, or an upload. Nothing is ever unpacked to a path.

An entry's path is only text: it names a class and a file to people. Bytes are read into memory one entry at a time.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from transfer_core.datasets import names
from transfer_core.datasets.archive import MAX_ENTRY, Refused, ZipReader
from transfer_core.errors import BadImage, NotFound


@dataclass(frozen=True, slots=True)
class Entry:
    """One file: its cleaned path in parts, the bytes it claims, and what its source needs to read it."""

    parts: tuple[str, ...]
    bytes: int
    key: object = field(compare=False)

    @property
    def path(self) -> str:
        return "/".join(self.parts)

    @property
    def name(self) -> str:
        return self.parts[-1]


@dataclass(frozen=True)
class Entries:
    kind: str
    """zip, folder or upload."""
    files: tuple[Entry, ...]
    refused: tuple[Refused, ...]
    folders: frozenset[tuple[str, ...]]
    """Every folder named, also the empty ones."""
    litter: int
    merged: tuple[str, ...]
    """Folder names that were written in more than one way: spaces at the ends, another Unicode form, invisible characters."""
    _read: Callable[[object, int], bytes] = field(repr=False)

    def read(self, entry: Entry) -> bytes:
        """All bytes of one entry; never more than it claims. Raises `BadImage` when they are damaged or too many."""
        if entry.bytes > MAX_ENTRY:
            raise BadImage("file_too_large", megabytes=entry.bytes // 10**6, most=MAX_ENTRY // 10**6)
        return self._read(entry.key, entry.bytes)

    @property
    def bytes(self) -> int:
        return sum(entry.bytes for entry in self.files)


def read_entries(path: Path) -> Entries:
    """Look at a zip, a folder or an upload folder. Reads names and sizes only.

    Raises `BadArchive` when an archive as a whole is refused, `NotFound` when nothing is there.
    """
    path = Path(path)
    if path.is_file():
        return _from_zip(path)
    if not path.is_dir():
        raise NotFound("no_such_path", path=str(path))
    if (path / "index.jsonl").is_file():
        return _from_upload(path)
    return _from_folder(path)


def _from_zip(path: Path, name: str | None = None) -> Entries:
    reader = ZipReader(path, name or path.name)
    return _sorted_out("zip", reader.entries(), reader.folders(), reader.read, reader.refused)


def _from_upload(folder: Path) -> Entries:
    lines = [line for line in (folder / "index.jsonl").read_text("utf-8").splitlines() if line.strip()]
    if lines and not lines[-1].endswith("}"):
        del lines[-1]  # torn: the server died while it wrote the line, so that file never arrived whole
    latest = {str(line["path"]): line for line in map(json.loads, lines)}  # the same file sent twice: the last one counts
    files = [(path, int(line["bytes"]), folder / str(int(line["n"]))) for path, line in latest.items()]
    if len(files) == 1 and names.extension(files[0][0]) in names.ARCHIVES:
        return _from_zip(files[0][2], Path(files[0][0].replace("\\", "/")).name)
    return _sorted_out("upload", files, [], _read_file, [])


def _from_folder(root: Path) -> Entries:
    files: list[tuple[str, int, object]] = []
    folders: list[str] = []
    refused: list[Refused] = []
    for folder, below, inside in os.walk(root):
        below.sort()
        here = Path(folder).relative_to(root)
        folders.extend((here / name).as_posix() for name in below)
        for name in sorted(inside):
            path, shown = Path(folder) / name, (here / name).as_posix()
            if path.is_symlink() or not path.is_file():  # a link could lead out of the folder
                refused.append(Refused(shown, "special_entry"))
            else:
                files.append((shown, path.stat().st_size, str(path)))  # a Path weighs half a kilobyte
    return _sorted_out("folder", files, folders, _read_file, refused, trusted=True)


def _read_file(path: object, size: int) -> bytes:
    with Path(path).open("rb") as file:  # type: ignore[arg-type]
        return file.read(size)


def _sorted_out(kind: str, files: Iterable[tuple[str, int, object]], folders: Iterable[str],
                read: Callable[[object, int], bytes], refused: Iterable[Refused], trusted: bool = False) -> Entries:
    kept: list[Entry] = []
    out = list(refused)
    seen: set[tuple[str, ...]] = set()
    litter = 0
    spellings: dict[tuple[str, ...], set[str]] = {}
    for name, size, key in files:
        code = None if trusted else names.danger(name)
        raw = tuple(part for part in name.replace("\\", "/").split("/") if part not in ("", "."))
        parts = names.parts_of(name)
        if code:
            out.append(Refused(names.clean(name), code))
        elif names.litter(parts) or not parts:
            litter += 1
        elif raw in seen:
            out.append(Refused("/".join(parts), "same_name_twice"))
        else:
            seen.add(raw)
            kept.append(Entry(parts, size, key))
            for depth in range(1, len(parts)):
                spellings.setdefault(parts[:depth], set()).add(raw[depth - 1])
    shown = {names.parts_of(folder) for folder in folders if not names.danger(folder)}
    folders = frozenset(folder for folder in shown if folder and not names.litter(folder))
    merged = tuple(sorted(path[-1] for path, ways in spellings.items() if len(ways) > 1))
    return Entries(kind, tuple(kept), tuple(out), folders, litter, merged, read)
