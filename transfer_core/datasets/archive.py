"""A stranger's zip: judged as a whole from its directory before a byte is unpacked, then read entry by entry.

Limits are on what an archive declares; while reading, `zipfile` never yields more than the declared bytes and checks the
checksum, so an entry that lies about its size fails alone.
"""

from __future__ import annotations

import stat
import struct
import threading
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path

from transfer_core.datasets import names
from transfer_core.errors import BadArchive, BadImage

MAX_ENTRIES = 300_000
MAX_ENTRY = 512_000_000
"""Bytes of one picture file."""
MAX_TOTAL = 200_000_000_000
MAX_RATIO = 100
"""Unpacked to packed bytes. Deflate reaches 1,030; photos stay below 2, drawn pictures below 100 …"""
RATIO_MATTERS = 64_000_000
"""… and only from this size on, because a small flat bitmap may pack as well as a bomb."""

_SIGNATURES = {b"Rar!": "RAR", b"7z\xbc\xaf\x27\x1c": "7-Zip", b"\x1f\x8b": "gzip", b"BZh": "bzip2", b"\xfd7zXZ": "xz"}
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # the others unpack in blocks of up to 100 MB at a time
_ENCRYPTED, _UTF8 = 0x1, 0x800
_UNICODE_PATH = 0x7075


@dataclass(frozen=True)
class Refused:
    """An entry that was not even looked at, and the error code that says why."""

    file: str
    code: str


class ZipReader:
    """Raises `BadArchive`: `empty_file archive_of_other_kind archive_cut_off archive_damaged archive_encrypted
    archive_empty archive_too_many archive_too_large archive_bomb`."""

    def __init__(self, path: Path, name: str) -> None:
        self._path, self._name = path, name
        try:
            self._zip = zipfile.ZipFile(path)
        except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError, struct.error) as error:
            raise _not_a_zip(path, name) from error
        self._lock = threading.Lock()
        self.refused: list[Refused] = []
        self._names = _decoded(self._zip.infolist())
        self._judge()

    def _judge(self) -> None:
        infos = self._zip.infolist()
        if not infos:
            raise BadArchive("archive_empty", file=self._name)
        if len(infos) > MAX_ENTRIES:
            raise BadArchive("archive_too_many", file=self._name, count=len(infos), most=MAX_ENTRIES)
        if any(info.flag_bits & _ENCRYPTED for info in infos):
            raise BadArchive("archive_encrypted", file=self._name)
        packed = sum(info.compress_size for info in infos)
        total = sum(info.file_size for info in infos)
        if packed > self._path.stat().st_size:  # entries that share bytes: a bomb's trick
            raise BadArchive("archive_damaged", file=self._name)
        worst = max((info for info in infos if info.file_size > RATIO_MATTERS), default=None,
                    key=lambda info: info.file_size / max(1, info.compress_size))
        if worst and worst.file_size > MAX_RATIO * max(1, worst.compress_size):
            raise BadArchive("archive_bomb", file=self._name, entry=names.clean(worst.filename),
                             megabytes=worst.file_size // 10**6)
        if total > RATIO_MATTERS * 16 and total > MAX_RATIO * max(1, packed):
            raise BadArchive("archive_bomb", file=self._name, entry="*", megabytes=total // 10**6)
        if total > MAX_TOTAL:
            raise BadArchive("archive_too_large", file=self._name, gigabytes=total // 10**9, most=MAX_TOTAL // 10**9)

    def entries(self) -> list[tuple[str, int, zipfile.ZipInfo]]:
        """Name, declared bytes and directory record of every ordinary file; links, devices and what lies below a link
        go to `refused`."""
        links = {name.rstrip("/") for name, info in self._names if not _ordinary(info)}
        found = []
        for name, info in self._names:
            folders = name.split("/")[:-1]
            if not _ordinary(info) or any("/".join(folders[: i + 1]) in links for i in range(len(folders))):
                self.refused.append(Refused(names.clean(name), "special_entry"))
            elif info.is_dir():
                continue
            elif info.compress_type not in _METHODS:
                self.refused.append(Refused(names.clean(name), "unknown_compression"))
            else:
                found.append((name, info.file_size, info))
        return found

    def folders(self) -> list[str]:
        return [name for name, info in self._names if info.is_dir() and _ordinary(info)]

    def read(self, info: object, size: int) -> bytes:
        """Raises `BadImage("damaged_entry")` when the packed bytes are damaged or their number is not the declared one."""
        try:
            with self._lock, self._zip.open(info) as file:  # type: ignore[arg-type]
                data = file.read(size + 1)
        except (zipfile.BadZipFile, zlib.error, EOFError, OSError, NotImplementedError, RuntimeError) as error:
            raise BadImage("damaged_entry") from error
        if len(data) != size:
            raise BadImage("damaged_entry")
        return data


def _ordinary(info: zipfile.ZipInfo) -> bool:
    kind = stat.S_IFMT(info.external_attr >> 16)
    return kind in (0, stat.S_IFREG, stat.S_IFDIR)


def _decoded(infos: list[zipfile.ZipInfo]) -> list[tuple[str, zipfile.ZipInfo]]:
    """Names as their makers meant them. (`orig_filename`: `filename` is already cut at a NUL.)"""
    legacy = [info.orig_filename.encode("cp437") for info in infos if not info.flag_bits & _UTF8]
    texts = iter(names.decode_legacy(legacy))
    return [(info.orig_filename if info.flag_bits & _UTF8 else _unicode_path(info) or text, info)
            for info in infos for text in ([next(texts)] if not info.flag_bits & _UTF8 else [""])]


def _unicode_path(info: zipfile.ZipInfo) -> str | None:
    """The name in Info-ZIP's extra field 0x7075 (version 1, CRC-32 of the plain name, UTF-8), if it belongs to this name."""
    extra = info.extra
    while len(extra) >= 4:
        kind, size = struct.unpack_from("<HH", extra)
        body, extra = extra[4:4 + size], extra[4 + size:]
        if kind == _UNICODE_PATH and len(body) > 5 and body[0] == 1:
            (crc,) = struct.unpack_from("<L", body, 1)
            if crc == zlib.crc32(info.orig_filename.encode("cp437")):
                return body[5:].decode("utf-8", "replace")
    return None


def _not_a_zip(path: Path, name: str) -> BadArchive:
    with path.open("rb") as file:
        head = file.read(300)
    if not head:
        return BadArchive("archive_empty", file=name)
    for signature, kind in _SIGNATURES.items():
        if head.startswith(signature):
            return BadArchive("archive_of_other_kind", file=name, kind=kind)
    if head[257:262] == b"ustar":
        return BadArchive("archive_of_other_kind", file=name, kind="tar")
    if head.startswith(b"PK\x03\x04"):
        return BadArchive("archive_cut_off", file=name)
    return BadArchive("not_a_zip", file=name)
