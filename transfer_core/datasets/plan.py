"""From names to a plan: which file is a picture of which class. No picture is decoded, so it takes a second for 30,000 files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from transfer_core.datasets import names
from transfer_core.datasets.entries import Entries, Entry, read_entries
from transfer_core.datasets.layout import Folders, Placed, labels_from_names, read_folders
from transfer_core.datasets.tables import MAX_BYTES, Matched, Table, match, read_table
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
    table_file, table, matched = _find_table(entries, pictures, others)
    by_name = labels_from_names(pictures) if len({placed.label for placed in folders.placed}) < 2 else None

    classes = {placed.label for placed in folders.placed}
    default = "folders" if len(classes) >= 2 else "table" if matched else "folders"
    labels = answers.labels or default
    notes: list[Message] = []
    ignored = [_ignored("not_a_picture", [entry.path for entry in others if entry is not table_file])]
    questions = []
    if labels == "table" and matched:
        layout, levels = "table", ["class"]
        placed = tuple(Placed(pictures[i], row.label, row.split) for i, row in sorted(matched.rows.items()))
        ignored.append(_ignored("unlabelled", [pictures[i].path for i in matched.unlabelled]))
        if matched.missing:
            notes.append(message("import.notes.table_missing", count=len(matched.missing), files=_some(matched.missing)))
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
    if matched and len(classes) >= 2:
        questions.append(Question(key="labels", text=message("import.questions.table_or_folders", file=table_file.name),
                                  options=["folders", "table"], default=default))
    elif by_name and not matched:
        example = next(iter(by_name.items()))
        text = message("import.questions.from_names", file=example[0], label=example[1])
        questions.append(Question(key="labels", text=text, options=["folders", "names"], default="folders"))

    notes += _about_classes(entries, placed, folders.wrapper if layout == "folders" else ())
    problem = _problem(placed, pictures, entries, others)
    splits = Counter(item.split for item in placed if item.split)
    understanding = Understanding(
        kind=entries.kind, layout=layout, images=len(placed), bytes=sum(item.entry.bytes for item in placed),
        classes=_counted(item.label for item in placed), splits=dict(splits),
        domains=sorted({item.domain for item in placed} - {""}),
        wrapper="/".join(folders.wrapper), levels=levels, tree=_tree(placed, levels),
        table=_about_table(table_file, table, matched) if layout == "table" else None,
        ignored=[some for some in ignored if some.count], refused=[asdict(item) for item in entries.refused],
        questions=questions, notes=notes, problem=problem.as_message() if problem else None,
        hint=message(f"errors.{problem.code}.hint", **problem.values) if problem else None)
    return Plan(entries, placed, understanding, problem)


def _find_table(entries: Entries, pictures: Sequence[Entry],
                others: Sequence[Entry]) -> tuple[Entry | None, Table | None, Matched | None]:
    """The table that names most pictures, if it names at least half of them (or half of its own rows are there)."""
    paths = [entry.path for entry in pictures]
    best: tuple[Entry | None, Table | None, Matched | None] = (None, None, None)
    for entry in others:
        if names.extension(entry.name) not in names.TABLES or entry.bytes > MAX_BYTES or not paths:
            continue
        try:
            table = read_table(entries.read(entry), paths)
        except BadInput:
            continue
        if table is None:
            continue
        found = match(table, paths, "/".join(entry.parts[:-1]))
        enough = 2 * len(found.rows) >= min(len(paths), len(table.rows))
        if found.rows and enough and (best[2] is None or len(found.rows) > len(best[2].rows)):
            best = (entry, table, found)
    return best


def _level_question(folders: Folders, answers: Answers) -> Question:
    upper, lower = ([getattr(item, kind) for item in folders.placed] for kind in
                    (("label", "domain") if answers.first_level == "class" else ("domain", "label")))
    text = message("import.questions.first_level", upper=_some(_counted(upper)), lower=_some(_counted(lower)))
    return Question(key="first_level", text=text, options=["domain", "class"], default="domain")


def _about_classes(entries: Entries, placed: Sequence[Placed], wrapper: tuple[str, ...]) -> list[Message]:
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
        used = {item.entry.parts[: depth + 1] for item in placed for depth in range(len(item.entry.parts) - 1)}
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


def _about_table(file: Entry, table: Table, matched: Matched) -> dict[str, Any]:
    return {"file": file.path, "file_column": table.file_column, "label_column": table.label_column,
            "missing": list(matched.missing[:SHOWN]), "missing_count": len(matched.missing),
            "unlabelled": len(matched.unlabelled)}


def _ignored(reason: str, files: Sequence[str]) -> Ignored:
    return Ignored(reason=reason, count=len(files), files=list(files[:SHOWN]))


def _counted(labels: Any) -> dict[str, int]:
    return dict(sorted(Counter(labels).items()))


def _some(names_: Any, most: int = 5) -> str:
    listed = list(names_)
    return ", ".join(listed[:most]) + (" …" if len(listed) > most else "")
