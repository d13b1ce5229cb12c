"""Names that come from strangers: cleaned for people, judged for danger, recognised as litter or as a split."""

from __future__ import annotations

import re
import unicodedata

PICTURES = frozenset((
    "jpg", "jpeg", "jpe", "jfif", "png", "gif", "webp", "avif", "heic", "heif", "hif", "jp2", "j2k", "jpx", "tif", "tiff",
    "bmp", "dib", "ppm", "pgm", "pbm", "ico"))
TABLES = frozenset(("csv", "tsv", "txt", "json", "jsonl", "ndjson"))
ARCHIVES = frozenset(("zip", "rar", "7z", "tar", "gz", "tgz", "bz2", "xz"))

_LITTER = frozenset(("thumbs.db", "desktop.ini", "ehthumbs.db", "icon\r", "$recycle.bin", "@eadir", "__macosx",
                     "system volume information"))
_SPLITS = {
    "train": "train", "training": "train", "训练": "train", "训练集": "train", "trainset": "train",
    "val": "validation", "valid": "validation", "validation": "validation", "dev": "validation", "eval": "validation",
    "验证": "validation", "验证集": "validation",
    "test": "test", "testing": "test", "测试": "test", "测试集": "test", "testset": "test", "holdout": "test",
}
# Characters that draw nothing or turn the reading direction: they could make one name look like another.
_INVISIBLE = re.compile("[\x00-\x1f\x7f-\x9f\u200b\u200e\u200f\u2028-\u202e\u2060\u2066-\u2069\ufeff]")
_PREFIX = re.compile(r"^[A-Za-z][A-Za-z0-9+.-]*:")


def clean(part: str) -> str:
    """One folder or file name as people should see it: NFC, no control characters, single spaces, none at the ends.

    Two names that differ in nothing else become one, so that `hat ` and `hat`, or both spellings of `café`, are one class.
    """
    part = _INVISIBLE.sub(" ", unicodedata.normalize("NFC", part))
    return " ".join(part.split()) or "_"


def danger(name: str) -> str | None:
    """Why an entry's name must not be followed, as an error code; None when it is harmless.

    Back-slashes count as separators (old .NET zips), so `..\\x` is found too. U+2400 is how some tools write a NUL.
    """
    if "\x00" in name or "\u2400" in name:
        return "control_character_path"
    parts = name.replace("\\", "/").split("/")
    if ".." in parts:
        return "path_traversal"
    if parts[0] == "" or (parts[0].startswith("~") and not parts[0].startswith("~$")) or _PREFIX.match(parts[0]):
        return "absolute_path"
    return None


def parts_of(name: str) -> tuple[str, ...]:
    """Folders and file name, cleaned: `./set\\hat /x.jpg` → ("set", "hat", "x.jpg")."""
    return tuple(clean(part) for part in name.replace("\\", "/").split("/") if part not in ("", "."))


def litter(parts: tuple[str, ...]) -> bool:
    """Files that systems leave behind: nobody wants to hear of them."""
    return any(part.startswith((".", "~$")) or part.lower() in _LITTER for part in parts)


def extension(name: str) -> str:
    """In lower case without the dot; empty when there is none, or nothing that looks like one (`IMG.2024 summer`)."""
    stem, dot, end = name.rpartition(".")
    return end.lower() if dot and stem and end.isalnum() and len(end) <= 5 else ""


def split_of(name: str) -> str | None:
    """`Train`, `val`, `测试集` … → the split it means."""
    return _SPLITS.get(name.lower().strip(" _-0123456789"))


def decode_legacy(raw: list[bytes]) -> list[str]:
    """Names from a zip without the UTF-8 flag. One encoding for all: an archive is made by one program.

    UTF-8 (tools that forget the flag), then GB2312 and GBK (Chinese Windows), else CP437, which never fails and is the
    format's own rule. Shift-JIS is tried where it yields kana, which GBK-made names do not.
    """
    for encoding in ("utf-8", "gb2312", "cp932", "gbk"):
        try:
            texts = [name.decode(encoding) for name in raw]
        except UnicodeDecodeError:
            continue
        joined = "".join(texts)
        if encoding == "cp932" and not re.search("[\u3041-\u30fa]", joined):
            continue
        if encoding == "gbk" and not _mostly_chinese(joined):
            continue
        return texts
    return [name.decode("cp437") for name in raw]


def _mostly_chinese(text: str) -> bool:
    """Western names (`café`) also decode as GBK, but to a lone rare character among letters."""
    return bool(re.search("[\u4e00-\u9fff]{2}", text))
