"""Lists of labels beside flat pictures: which column names the file, which the class, and which pictures it means.

A list is a table (csv, tsv, text) or JSON in one of the shapes that collections of pictures come with; each becomes rows of
cells.
"""

from __future__ import annotations

import csv
import io
import json
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from transfer_core.datasets.names import clean, split_of

MAX_BYTES = 64_000_000
MAX_JSON = 16_000_000
"""Read whole: twenty times as much memory."""
MAX_CHOICES = 8
_LOOKED_AT = 2000
"""Rows, evenly spread, that say which column names the files."""
_FILE = frozenset((
    "file", "filename", "file_name", "filepath", "file_path", "path", "image", "image_name", "imagename", "image_path",
    "image_id", "image_file", "img", "img_name", "img_path", "name", "id", "picture", "photo",
    "文件", "文件名", "文件名称", "图片", "图片名", "图片名称", "图像", "路径", "照片"))
_LABEL = frozenset((
    "label", "labels", "label_name", "label_id", "class", "classes", "class_name", "classname", "class_label", "class_id",
    "category", "category_name", "category_id", "cat", "target", "ground_truth", "species", "breed", "variety", "type",
    "diagnosis", "dx", "disease", "condition", "emotion", "grade", "tag", "y",
    "标签", "类别", "分类", "类", "种类", "类型", "名称", "品种", "诊断", "等级"))
_SPLIT = frozenset(("split", "set", "subset", "partition", "fold", "划分", "数据集", "集合"))
Cells = list[list[str]]


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
    choices: tuple[str, ...] = ()
    """Columns that may be the class, `label_column` among them; empty when there is only one."""


@dataclass(frozen=True)
class Matched:
    rows: dict[int, Row]
    """Index of a picture → its row."""
    missing: tuple[str, ...]
    """Files the table names and nobody sent."""
    unlabelled: tuple[int, ...]
    """Pictures the table does not name."""


class Pictures:
    """Paths of pictures, to be looked up by lists: made once, since a collection may have a text file beside every picture."""

    def __init__(self, paths: Sequence[str]) -> None:
        keys = [_key(path) for path in paths]
        self.count = len(keys)
        self.whole = {key: i for i, key in enumerate(keys)}
        self.without_ending = {key.rpartition(".")[0]: i for i, key in enumerate(keys)}
        self.by_name = _unique(key.rpartition("/")[2] for key in keys)
        self.by_stem = _unique(_stem(key) for key in keys)
        self._called = {name for key in keys for name in (key.rpartition("/")[2], _stem(key))} - {""}

    @classmethod
    def of(cls, paths: Sequence[str] | Pictures) -> Pictures:
        return paths if isinstance(paths, Pictures) else cls(paths)

    def names(self, cell: str) -> bool:
        """Whether a cell is the name of one, with or without folder and ending."""
        return _key(cell).rpartition("/")[2] in self._called


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


def read_table(data: bytes, pictures: Sequence[str] | Pictures = (), column: str | None = None) -> Table | None:
    """The file and the label column of a comma, semicolon, tab or bar separated table, or of JSON; None when it is no such list.

    Columns are found by their names and by what stands in them: the file column names `pictures`, with or without their ending.
    Where each class has a column of 0 and 1, the class is the column of the 1. `column`: a person's choice among `choices`.
    """
    cells = _cells(data)
    if not cells:
        return None
    known = Pictures.of(pictures)
    names, rows = [clean(cell) for cell in cells[0]], cells[1:]
    header = [name.lower().replace(" ", "_") for name in names]
    if not ({*header} & _FILE and {*header} & _LABEL) and any(map(known.names, cells[0])):
        names, rows, header = [str(i + 1) for i in range(len(names))], cells, [""] * len(names)  # a row like the others
    file = _file_column(header, rows, known)
    if file is None:
        return None
    split = next((i for i, name in enumerate(header) if name in _SPLIT and i != file), None)
    named = [i for i, name in enumerate(header) if name in _LABEL and i != file]
    flags = _flags(rows, {file, split})
    if flags and {*named} <= {*flags}:
        found = [(row, [names[i] for i in flags if _cell(row, i) in _ONE]) for row in rows]
        chosen = [[*row[:len(header)], *[""] * (len(header) - len(row)), ones[0]] for row, ones in found if len(ones) == 1]
        return Table(_rows(chosen, file, len(header), split), names[file], _some([names[i] for i in flags]))
    # Of a number and a name for the same thing the name is the class.
    likely, like = sorted(named, key=lambda i: _numeric(rows, i)), _like_classes(rows, {file, split, *named}, len(header))
    may = [*likely, *(i for i in like if not likely or not _numeric(rows, i))]
    if not may:
        return None
    choices = tuple(dict.fromkeys(names[i] for i in may[:MAX_CHOICES]))
    label = names.index(column) if column in choices else may[0]
    return Table(_rows(rows, file, label, split), names[file], names[label], choices if len(choices) > 1 else ())


def _cells(data: bytes) -> Cells:
    text = decode_text(data[:MAX_BYTES])
    start = text.lstrip()[:1]
    if start and start in "[{":
        return _from_json(text) if len(data) <= MAX_JSON else []
    first = next((line for line in text.splitlines() if line.strip()), "")
    delimiter = max(",;\t|", key=first.count)
    if not first.count(delimiter):  # lists of pictures are also written with spaces; of a text, lines differ in length
        spaced = [line.split() for line in text.splitlines() if line.strip() and not line.startswith("#")]
        return spaced if len(set(map(len, spaced))) == 1 < len(spaced[0]) else []
    try:
        lines = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
        return [[cell.strip() for cell in row] for row in lines if any(row)]
    except csv.Error:
        return []


def _from_json(text: str) -> Cells:
    """A list of objects or of pairs, an object a line, a file → class mapping, or boxes as COCO writes them."""
    try:
        held = json.loads(text)
    except (ValueError, RecursionError):
        try:
            held = [json.loads(line) for line in text.splitlines() if line.strip()]
        except (ValueError, RecursionError):
            return []
    if isinstance(held, dict) and all(isinstance(held.get(key), list) for key in ("images", "annotations", "categories")):
        return _from_boxes(held)
    if isinstance(held, dict):
        lists = [value for value in held.values() if isinstance(value, list)]
        if len(lists) == len(held) > 1:  # class → its files
            held = {file: label for label, files in held.items() for file in files if isinstance(file, str)}
        held = lists[0] if len(lists) == len(held) == 1 else [["file", "label"], *held.items()]
    if all(isinstance(row, list | tuple) for row in held):
        return [[_said(cell) for cell in row] for row in held if row]
    if not all(isinstance(row, dict) for row in held):
        return []
    columns = list(dict.fromkeys(name for row in held[:100] for name in row))
    return [columns, *([_said(row.get(name)) for name in columns] for row in held)] if columns else []


def _from_boxes(held: dict[str, Any]) -> Cells:
    """Pictures whose boxes are all of one category."""
    def listed(key: str) -> list[dict[str, Any]]:
        return [entry for entry in held[key] if isinstance(entry, dict)]

    called = {_said(entry.get("id")): _said(entry.get("name")) for entry in listed("categories")}
    seen: dict[str, set[str]] = {}
    for entry in listed("annotations"):
        seen.setdefault(_said(entry.get("image_id")), set()).add(called.get(_said(entry.get("category_id")), ""))
    return [["file", "label"], *([_said(entry.get("file_name")), *of] for entry in listed("images")
                                 if len(of := seen.get(_said(entry.get("id")), set())) == 1)]


def _said(value: Any) -> str:
    """A cell of what JSON holds; a list of one class is that class."""
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    return str(value).strip() if isinstance(value, str | int | float) else ""


def _file_column(header: list[str], rows: Cells, known: Pictures) -> int | None:
    """The column that names most pictures; of as many, one whose name says so. By name alone where none of them is here."""
    some = rows[::max(1, len(rows) // _LOOKED_AT)]
    hits = [sum(known.names(_cell(row, i)) for row in some) for i in range(len(header))]
    may = [i for i in range(len(header)) if header[i] not in _LABEL]
    best = max(may, default=0, key=lambda i: (hits[i], header[i] in _FILE, -i))
    if header[best] in _FILE or (hits[best] and 2 * hits[best] >= len(some)):
        return best
    return next((i for i, name in enumerate(header) if name in _FILE), None)


_ONE, _ZERO = frozenset(("1", "1.0", "true", "True", "TRUE")), frozenset(("0", "0.0", "false", "False", "FALSE"))


def _flags(rows: Cells, but: set[int | None]) -> list[int]:
    """Columns of 0 and 1, at least two, of which nine in ten rows have exactly one 1."""
    if not rows:
        return []
    flags = [i for i in range(len(rows[0])) if i not in but and {_cell(row, i) for row in rows} <= _ONE | _ZERO]
    single = sum(sum(_cell(row, i) in _ONE for i in flags) == 1 for row in rows)
    return flags if len(flags) > 1 and 10 * single >= 9 * len(rows) else []


def _like_classes(rows: Cells, but: set[int | None], width: int) -> list[int]:
    """Columns in which few values repeat: words first, then those of fewest values."""
    found = []
    for i in range(width):
        count = len({_cell(row, i) for row in rows} - {""})
        fractions = any("." in _cell(row, i) for row in rows) and _numeric(rows, i)  # boxes, and what else is measured
        if i not in but and 2 <= count <= max(2, len(rows) // 2) and not fractions:
            found.append((_numeric(rows, i), count, i))
    return [i for _, _, i in sorted(found)]


def _numeric(rows: Cells, column: int) -> bool:
    cells = {_cell(row, column) for row in rows} - {""}
    return bool(cells) and all(cell.lstrip("+-").replace(".", "", 1).isdecimal() for cell in cells)


def _cell(row: Sequence[str], column: int) -> str:
    return row[column] if column < len(row) else ""


def _rows(rows: Iterable[Sequence[str]], file: int, label: int, split: int | None) -> tuple[Row, ...]:
    found = []
    for row in rows:
        if len(row) > max(file, label) and row[file] and row[label]:
            part = split_of(row[split]) if split is not None and len(row) > split else None
            found.append(Row(row[file], clean(row[label]), part))
    return tuple(found)


def match(table: Table, pictures: Sequence[str] | Pictures, folder: str = "") -> Matched:
    """Which row belongs to which picture: by whole path, by path beside the table, by a unique file name, by a unique stem.

    Beside the table comes before anywhere else, since each of several parts may have pictures of the same names.
    """
    known = Pictures.of(pictures)
    here = f"{_key(folder)}/" if folder else ""
    rows: dict[int, Row] = {}
    missing = []
    for row in table.rows:
        key = _key(row.file)
        name = key.rpartition("/")[2]
        tries = ((known.whole, here + key), (known.whole, key), (known.without_ending, here + key), (known.by_name, name),
                 (known.by_stem, name))
        found = next((lookup[wanted] for lookup, wanted in tries if wanted in lookup), None)
        if found is None:
            missing.append(row.file)
        else:
            rows.setdefault(found, row)
    return Matched(rows, tuple(missing), tuple(i for i in range(known.count) if i not in rows))


def _some(listed: list[str], most: int = 5) -> str:
    return ", ".join(listed[:most]) + (" …" if len(listed) > most else "")


def _key(path: str) -> str:
    return unicodedata.normalize("NFC", path).replace("\\", "/").removeprefix("./").strip("/ ").casefold()


def _stem(key: str) -> str:
    return key.rpartition("/")[2].rpartition(".")[0]


def _unique(keys) -> dict[str, int]:
    keys = list(keys)
    count = Counter(keys)
    return {key: i for i, key in enumerate(keys) if count[key] == 1}
