"""A table of labels beside flat pictures: which column names the file, which the class, and which pictures it means."""

from __future__ import annotations

import csv
import io
import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from transfer_core.datasets.names import clean, split_of

MAX_BYTES = 64_000_000
_FILE = frozenset((
    "file", "filename", "file_name", "filepath", "file_path", "path", "image", "image_name", "imagename", "image_path",
    "image_id", "img", "img_name", "img_path", "name", "id", "picture", "photo",
    "文件", "文件名", "文件名称", "图片", "图片名", "图片名称", "图像", "路径", "照片"))
_LABEL = frozenset((
    "label", "labels", "class", "classes", "class_name", "classname", "category", "cat", "target", "species", "tag", "y",
    "标签", "类别", "分类", "类", "种类", "类型", "名称"))
_SPLIT = frozenset(("split", "set", "subset", "partition", "fold", "划分", "数据集", "集合"))


@dataclass(frozen=True)
class Row:
    file: str
    label: str
    split: str | None = None


@dataclass(frozen=True)
class Table:
    rows: tuple[Row, ...]
    file_column: str
    label_column: str


@dataclass(frozen=True)
class Matched:
    rows: dict[int, Row]
    """Index of a picture → its row."""
    missing: tuple[str, ...]
    """Files the table names and nobody sent."""
    unlabelled: tuple[int, ...]
    """Pictures the table does not name."""


def decode_text(data: bytes) -> str:
    """UTF-8 (with or without BOM), UTF-16 with BOM, GBK, else Latin-1."""
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return data.decode("utf-16", "replace")
    for encoding in ("utf-8-sig", "gb18030"):
        try:
            return data.decode(encoding)
        except UnicodeDecodeError:
            continue
    return data.decode("latin-1")


def read_table(data: bytes, pictures: Sequence[str] = ()) -> Table | None:
    """A comma, semicolon, tab or bar separated table with a file and a label column, or None when it is no such table.

    Columns are found by their names; without a known header the file column is the one that names `pictures`.
    """
    text = decode_text(data[:MAX_BYTES])
    first = next((line for line in text.splitlines() if line.strip()), "")
    delimiter = max(",;\t|", key=first.count)
    if not first.count(delimiter):
        return None
    try:
        lines = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
        rows = [[cell.strip() for cell in row] for row in lines if any(row)]
    except csv.Error:
        return None
    if not rows:
        return None
    return _by_header(rows) or _by_content(rows, pictures)


def _by_header(rows: list[list[str]]) -> Table | None:
    header = [clean(cell).lower().replace(" ", "_") for cell in rows[0]]

    def find(known: frozenset[str], but: int | None = None) -> int | None:
        return next((i for i, name in enumerate(header) if name in known and i != but), None)

    file = find(_FILE)
    label = find(_LABEL, but=file)
    if file is None or label is None:
        return None
    return Table(_rows(rows[1:], file, label, find(_SPLIT)), rows[0][file], rows[0][label])


def _by_content(rows: list[list[str]], pictures: Sequence[str]) -> Table | None:
    known = {_key(path).rpartition("/")[2] for path in pictures}
    width = min(map(len, rows))
    hits = [sum(_key(row[i]).rpartition("/")[2] in known for row in rows) for i in range(width)]
    if width < 2 or max(hits) < len(rows) / 2:
        return None
    file = hits.index(max(hits))
    label = min((i for i in range(width) if i != file), key=lambda i: len({row[i] for row in rows}))
    start = 0 if _key(rows[0][file]).rpartition("/")[2] in known else 1
    return Table(_rows(rows[start:], file, label, None), f"{file + 1}", f"{label + 1}")


def _rows(rows: list[list[str]], file: int, label: int, split: int | None) -> tuple[Row, ...]:
    found = []
    for row in rows:
        if len(row) > max(file, label) and row[file] and row[label]:
            part = split_of(row[split]) if split is not None and len(row) > split else None
            found.append(Row(row[file], clean(row[label]), part))
    return tuple(found)


def match(table: Table, pictures: Sequence[str], folder: str = "") -> Matched:
    """Which row belongs to which picture: by whole path, by path beside the table, by a unique file name, by a unique stem."""
    keys = [_key(path) for path in pictures]
    whole = {key: i for i, key in enumerate(keys)}
    by_name, by_stem = _unique(key.rpartition("/")[2] for key in keys), _unique(_stem(key) for key in keys)
    rows: dict[int, Row] = {}
    missing = []
    for row in table.rows:
        key = _key(row.file)
        name = key.rpartition("/")[2]
        beside = f"{_key(folder)}/{key}" if folder else key
        tries = ((whole, beside), (whole, key), (by_name, name), (by_stem, name))
        found = next((known[try_] for known, try_ in tries if try_ in known), None)
        if found is None:
            missing.append(row.file)
        else:
            rows.setdefault(found, row)
    return Matched(rows, tuple(missing), tuple(i for i in range(len(pictures)) if i not in rows))


def _key(path: str) -> str:
    return unicodedata.normalize("NFC", path).replace("\\", "/").removeprefix("./").strip("/ ").casefold()


def _stem(key: str) -> str:
    return key.rpartition("/")[2].rpartition(".")[0]


def _unique(keys) -> dict[str, int]:
    keys = list(keys)
    count = Counter(keys)
    return {key: i for i, key in enumerate(keys) if count[key] == 1}
