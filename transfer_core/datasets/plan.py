"""From names to a plan: which file is a picture of which class. No picture is decoded, so it takes a second for 30,000 files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from transfer_core.datasets import names
from transfer_core.datasets.entries import Entries, Entry, read_entries
from transfer_core.datasets.layout import Folders, Placed, labels_from_names, read_folders
from transfer_core.datasets.tables import MAX_BYTES, Matched, Pictures, Row, Table, match, read_table
from transfer_core.datasets.understanding import SHOWN, Answers, Ignored, Node, Question, Understanding
from transfer_core.errors import BadArchive, BadInput
from transfer_core.words import Message, message


@dataclass(frozen=True)
class Plan:
    """What `import_dataset` carries out."""

    entries: Entries
    placed: tuple[Placed, ...]
    understanding: Understanding
    problem: BadInput | None


def understand(path: Path, answers: Answers | dict[str, Any] | None = None) -> Understanding:
    """Look at names only. Raises `BadArchive` when the archive as a whole is refused; every other trouble is `problem`."""
    return plan(read_entries(path), answers).understanding


def plan(entries: Entries, answers: Answers | dict[str, Any] | None = None) -> Plan:
    answers = answers if isinstance(answers, Answers) else Answers(**(answers or {}))
    pictures = [entry for entry in entries.files if names.extension(entry.name) in names.PICTURES | {""}]
    others = [entry for entry in entries.files if names.extension(entry.name) not in names.PICTURES | {""}]
    folders = read_folders(pictures, answers.first_level)
    found = _find_table(entries, pictures, others, answers.column)
    by_name = labels_from_names(pictures) if len({placed.label for placed in folders.placed}) < 2 else None

    classes = {placed.label for placed in folders.placed}
    ways = [way for way, is_there in (("folders", len(classes) >= 2), ("table", found), ("names", by_name)) if is_there]
    default = ways[0] if ways and ways[0] != "names" else "folders"
    if default == "table" and by_name and found.is_numbered and len(set(by_name.values())) == found.classes:
        default = "names"  # the list has numbers for what the file names say in words
    labels = answers.labels or default
    notes: list[Message] = []
    ignored = [_ignored("not_a_picture", [entry.path for entry in others if not (found and entry in found.files)])]
    questions = []
    if labels == "table" and found:
        layout, levels = "table", ["class"]
        placed = found.placed
        ignored.append(_ignored("unlabelled", found.unlabelled))
        if found.missing:
            notes.append(message("import.notes.table_missing", count=len(found.missing), files=_some(found.missing)))
        if found.choices:
            questions.append(Question(key="column", text=message("import.questions.column", file=found.name),
                                      options=list(found.choices), default=found.choices[0]))
    elif labels == "names" and by_name:
        layout, levels = "names", ["class"]
        placed = tuple(Placed(entry, by_name[entry.path]) for entry in pictures if entry.path in by_name)
        ignored.append(_ignored("unlabelled", [entry.path for entry in pictures if entry.path not in by_name]))
    else:
        layout, levels = ("folders" if folders.placed else "flat" if pictures else "none"), list(folders.levels)
        placed = folders.placed
        ignored.append(_ignored("outside_classes", [entry.path for entry in folders.strays] if placed else []))
        if folders.ambiguous:
            questions.append(_level_question(folders, answers))
        if nested := sum(item.nested for item in placed):
            notes.append(message("import.notes.nested", count=nested))
    if found and len(classes) >= 2:
        questions.insert(0, Question(key="labels", text=message("import.questions.table_or_folders", file=found.name),
                                     options=["folders", "table"], default=default))
    elif by_name:
        example = next(iter(by_name.items()))
        known = {"file": example[0], "label": example[1]}
        text = message("import.questions.table_or_names", table=found.name, **known) if found else \
            message("import.questions.from_names", **known)
        options = ["table" if found else "folders", "names"]
        questions.insert(0, Question(key="labels", text=text, options=options, default=default))

    notes += _about_classes(entries, placed, pictures, folders.wrapper if layout == "folders" else ())
    problem = _problem(placed, pictures, entries, others)
    splits = Counter(item.split for item in placed if item.split)
    understanding = Understanding(
        kind=entries.kind, layout=layout, images=len(placed), bytes=sum(item.entry.bytes for item in placed),
        classes=_counted(item.label for item in placed), splits=dict(splits),
        domains=sorted({item.domain for item in placed} - {""}),
        wrapper="/".join(folders.wrapper), levels=levels, tree=_tree(placed, levels),
        table=found.about() if layout == "table" else None,
        ignored=[some for some in ignored if some.count], refused=[asdict(item) for item in entries.refused],
        questions=questions, notes=notes, problem=problem.as_message() if problem else None,
        hint=message(f"errors.{problem.code}.hint", **problem.values) if problem else None)
    return Plan(entries, placed, understanding, problem)


@dataclass(frozen=True)
class _Found:
    """The list of labels that counts. It may be several files of one kind: one in each part of the division."""

    files: tuple[Entry, ...]
    file_column: str
    label_column: str
    choices: tuple[str, ...]
    placed: tuple[Placed, ...]
    missing: tuple[str, ...]
    unlabelled: tuple[str, ...]

    @property
    def classes(self) -> int:
        return len({placed.label for placed in self.placed})

    @property
    def is_numbered(self) -> bool:
        return all(placed.label.isdecimal() for placed in self.placed)

    @property
    def name(self) -> str:
        return _some(entry.path if len(self.files) > 1 else entry.name for entry in self.files)

    def about(self) -> dict[str, Any]:
        return {"file": _some(entry.path for entry in self.files), "file_column": self.file_column,
                "label_column": self.label_column, "missing": list(self.missing[:SHOWN]), "missing_count": len(self.missing),
                "unlabelled": len(self.unlabelled)}


def _find_table(entries: Entries, pictures: Sequence[Entry], others: Sequence[Entry], column: str | None) -> _Found | None:
    """The list that names most pictures, if it names at least half of them (or half of its own rows are there)."""
    known = Pictures([entry.path for entry in pictures])
    alike: dict[tuple[str, str], list[tuple[Entry, Table, Matched]]] = {}
    for entry in others:
        if names.extension(entry.name) not in names.TABLES or entry.bytes > MAX_BYTES or not pictures:
            continue
        try:
            table = read_table(entries.read(entry), known, column)
        except BadInput:
            continue
        if table is None:
            continue
        matched = match(table, known, "/".join(entry.parts[:-1]))
        if 2 * len(matched.rows) >= min(len(pictures), len(table.rows)) > 0:
            alike.setdefault((table.file_column, table.label_column), []).append((entry, table, matched))
    return max((_together(pictures, some) for some in alike.values()), key=lambda found: len(found.placed), default=None)


def _together(pictures: Sequence[Entry], tables: Sequence[tuple[Entry, Table, Matched]]) -> _Found:
    rows: dict[int, Row] = {}
    for entry, _, matched in tables:
        part = names.split_of(entry.name.rpartition(".")[0])
        for i, row in matched.rows.items():
            split = row.split or part or next(filter(None, map(names.split_of, pictures[i].parts[:-1])), None)
            rows.setdefault(i, replace(row, split=split))
    if not all(row.split for row in rows.values()) and not any(row.split for _, table, _ in tables for row in table.rows):
        rows = {i: replace(row, split=None) for i, row in rows.items()}  # a folder that happens to be called test
    first = tables[0][1]
    return _Found(tuple(entry for entry, _, _ in tables), first.file_column, first.label_column, first.choices,
                  tuple(Placed(pictures[i], row.label, row.split) for i, row in sorted(rows.items())),
                  tuple(name for _, _, matched in tables for name in matched.missing),
                  tuple(picture.path for i, picture in enumerate(pictures) if i not in rows))


def _level_question(folders: Folders, answers: Answers) -> Question:
    upper, lower = ([getattr(item, kind) for item in folders.placed] for kind in
                    (("label", "domain") if answers.first_level == "class" else ("domain", "label")))
    text = message("import.questions.first_level", upper=_some(_counted(upper)), lower=_some(_counted(lower)))
    return Question(key="first_level", text=text, options=["domain", "class"], default="domain")


def _about_classes(entries: Entries, placed: Sequence[Placed], pictures: Sequence[Entry],
                   wrapper: tuple[str, ...]) -> list[Message]:
    """Class names that nearly coincide, and folders that hold no picture."""
    notes = []
    found = _counted(item.label for item in placed)
    alike: dict[str, list[str]] = {}
    for name in found:
        alike.setdefault(name.casefold(), []).append(name)
    for same in alike.values():
        if len(same) > 1:
            notes.append(message("import.notes.differ_by_case", classes=", ".join(same)))
    if entries.merged:
        notes.append(message("import.notes.names_merged", classes=_some(entries.merged)))
    if placed:
        used = {entry.parts[: depth + 1] for entry in pictures for depth in range(len(entry.parts) - 1)}
        named = entries.folders | {entry.parts[:-1] for entry in entries.files}
        empty = sorted(folder[-1] for folder in named
                       if folder not in used and folder[:len(wrapper)] == wrapper and len(folder) > len(wrapper))
        if empty:
            notes.append(message("import.notes.empty_folders", count=len(empty), folders=_some(empty)))
    return notes


def _problem(placed: Sequence[Placed], pictures: Sequence[Entry], entries: Entries,
             others: Sequence[Entry]) -> BadInput | None:
    archives = [entry.name for entry in others if names.extension(entry.name) in names.ARCHIVES]
    if not pictures and archives:
        return BadArchive("archive_inside", file=archives[0])
    if not pictures:
        return BadInput("no_pictures", count=len(others) + len(entries.refused))
    if not placed:
        return BadInput("one_folder_per_class", count=len(pictures))
    classes = {item.label for item in placed}
    if len(classes) < 2:
        return BadInput("two_classes_needed", name=classes.pop())
    return None


def _tree(placed: Sequence[Placed], levels: Sequence[str]) -> list[Node]:
    field = {"split": "split", "domain": "domain", "class": "label"}
    counted = Counter(tuple(getattr(item, field[level]) or "–" for level in levels) for item in placed)

    def grow(paths: dict[tuple[str, ...], int], depth: int) -> list[Node]:
        below: dict[str, dict[tuple[str, ...], int]] = {}
        for path, count in paths.items():
            below.setdefault(path[depth], {})[path] = count
        deeper = depth + 1 < len(levels)
        return [Node(name=name, kind=levels[depth], images=sum(some.values()), children=grow(some, depth + 1) if deeper else [])
                for name, some in sorted(below.items())]

    return grow(dict(counted), 0)


def _ignored(reason: str, files: Sequence[str]) -> Ignored:
    return Ignored(reason=reason, count=len(files), files=list(files[:SHOWN]))


def _counted(labels: Any) -> dict[str, int]:
    return dict(sorted(Counter(labels).items()))


def _some(names_: Any, most: int = 5) -> str:
    listed = list(names_)
    return ", ".join(listed[:most]) + (" …" if len(listed) > most else "")
