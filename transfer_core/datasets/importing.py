"""From an upload to a dataset version: read, decode, hash, group, split, write. A few images in memory, whatever the size."""

from __future__ import annotations

import os
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transfer_core.datasets.check import Checked, check
from transfer_core.datasets.duplicates import find_groups
from transfer_core.datasets.entries import read_entries
from transfer_core.datasets.garbage import holding_images
from transfer_core.datasets.layout import Placed
from transfer_core.datasets.manifest import Image, Manifest
from transfer_core.datasets.names import extension
from transfer_core.datasets.plan import Plan, plan
from transfer_core.datasets.split import Item, Result, split
from transfer_core.datasets.summary import describe
from transfer_core.datasets.understanding import Answers
from transfer_core.errors import BadImage, BadInput, StudioError
from transfer_core.events import Event, Imported, Note, Progressed
from transfer_core.people.quotas import check_images
from transfer_core.store import Store
from transfer_core.store.versions import new_id
from transfer_core.words import Message, message

WORKERS = max(1, min(4, os.cpu_count() or 1))
_LEAST_STEP = 25
"""Progress is reported at most every so many images (and at most 200 times)."""


@dataclass(frozen=True, slots=True)
class _Good:
    placed: Placed
    checked: Checked


def import_dataset(path: Path, name: str, store: Store, *, answers: Answers | dict[str, Any] | None = None,
                   seed: int = 0, dataset_id: str | None = None) -> Iterator[Event]:
    """Import a zip, folder or upload folder as version 1 of a new dataset. The last event is `Imported`.

    Raises `BadInput` (with the reason and the next step) when nothing can be made of it; single bad pictures are
    quarantined by name. Same input, answers and seed give the same split.
    `dataset_id`: the id it is to get (from `store.versions.new_id`); one that is taken fails at the end, with nothing changed.
    """
    with holding_images(store.home):
        yield from _import(path, name, dataset_id or new_id(name), store, answers, seed)


def _import(path: Path, name: str, dataset: str, store: Store, answers: Answers | dict[str, Any] | None,
            seed: int) -> Iterator[Event]:
    yield Progressed(stage="reading", done=0)
    work = plan(read_entries(Path(path)), answers)
    if work.problem:
        for question in work.understanding.questions:  # pages ask it beforehand
            if "names" in question.options:
                yield Note(message=message("import.notes.names_may_say", **question.text.values))
        raise work.problem
    check_images(store, len(work.placed))
    for note in work.understanding.notes:
        yield Note(message=note)
    good, bad = [], [_refused(item.file, item.code) for item in work.entries.refused]
    yield from _check_all(work, store, good, bad)
    if not good:
        raise BadInput("no_good_pictures", count=len(bad))
    if len({item.placed.label for item in good}) < 2:
        raise BadInput("two_classes_needed", name=good[0].placed.label)

    groups = yield from _group(good)
    yield Progressed(stage="splitting", done=0, total=len(good))
    images, divided = _divide(good, groups, seed)
    found = _facts(work, bad, divided)
    summary = {"dataset": dataset, "version": 1, **describe(images, found)}
    for warning in summary["warnings"]:
        yield Note(level="warning", message=Message(**warning))
    Manifest.of_images(dataset, 1, images).write(store.home)
    store.add_dataset(name, dataset, message("import.changes.imported", count=len(images)), summary)
    yield Progressed(stage="splitting", done=len(good), total=len(good))
    yield Imported(dataset=dataset, version=1, summary=summary)


def _check_all(work: Plan, store: Store, good: list[_Good], bad: list[dict[str, Any]]) -> Iterator[Progressed]:
    total = len(work.placed)
    step = max(_LEAST_STEP, total // 200)
    for done, (placed, result) in enumerate(_in_order(work, lambda data: check(data, store.home)), start=1):
        if isinstance(result, Checked):
            good.append(_Good(placed, result))
        elif extension(placed.entry.name) or result.code not in ("text_file", "not_a_picture"):
            bad.append(_quarantined(placed.entry.path, result))
        if done % step == 0 or done == total:
            yield Progressed(stage="checking", done=done, total=total)


def _in_order(work: Plan, task: Callable[[bytes], Checked]) -> Iterator[tuple[Placed, Checked | StudioError]]:
    """Check entries in a few threads, results in order; never more than two pictures a thread are in memory."""

    def one(placed: Placed) -> Checked | StudioError:
        try:
            return task(work.entries.read(placed.entry))
        except BadImage as error:
            return error

    pool = ThreadPoolExecutor(WORKERS)
    waiting: deque[tuple[Placed, Future]] = deque()
    try:
        for placed in work.placed:
            if len(waiting) >= 2 * WORKERS:
                first, result = waiting.popleft()
                yield first, result.result()
            waiting.append((placed, pool.submit(one, placed)))
        for first, result in waiting:
            yield first, result.result()
    finally:
        pool.shutdown(cancel_futures=True)


def _group(good: list[_Good]) -> Iterator[Progressed]:
    groups: Any = None
    for groups in find_groups([item.checked for item in good]):
        if isinstance(groups, int):
            yield Progressed(stage="duplicates", done=groups, total=len(good))
    yield Progressed(stage="duplicates", done=len(good), total=len(good))
    return groups


def _divide(good: list[_Good], groups: Any, seed: int) -> tuple[list[Image], Result]:
    """The manifest's rows. The same picture in two classes is left out: one of the labels is wrong, and nobody knows which."""
    labels: dict[str, set[str]] = defaultdict(set)
    for item in good:
        labels[item.checked.sha256].add(item.placed.label)
    clear = [i for i, item in enumerate(good) if len(labels[item.checked.sha256]) == 1]
    divided = split([Item(good[i].placed.label, int(groups[i]), good[i].placed.split) for i in clear], seed)
    where = dict(zip(clear, divided.splits, strict=True))
    seen: Counter[str] = Counter()
    images = []
    for i, item in enumerate(good):
        one, file = item.checked, item.placed.entry.path
        seen[file] += 1
        images.append(Image(
            sha256=one.sha256, file=file if seen[file] == 1 else f"{file} ({seen[file]})", label=item.placed.label,
            split=where.get(i, "left_out"), group=int(groups[i]), width=one.width, height=one.height,
            perceptual_hash=one.perceptual_hash, converted=one.converted, domain=item.placed.domain))
    return images, divided


def _facts(work: Plan, bad: list[dict[str, Any]], divided: Result) -> dict[str, Any]:
    """What only the import knows: it stays with every later version of the dataset."""
    understanding = work.understanding
    notes = [message("import.warnings.carved", splits=", ".join(divided.carved))] if divided.carved else []
    if divided.straddling:
        notes.append(message("import.warnings.straddling", count=divided.straddling))
    return {
        "quarantined": bad,
        "ignored": work.entries.litter + sum(item.count for item in understanding.ignored),
        "layout": {"kind": understanding.layout, "levels": understanding.levels, "wrapper": understanding.wrapper,
                   "given_splits": understanding.splits},
        "notes": [note.model_dump() for note in (*understanding.notes, *notes)],
        "carried_warnings": [note.model_dump() for note in notes],
    }


def _refused(file: str, code: str) -> dict[str, Any]:
    return _quarantined(file, BadImage(code))


def _quarantined(file: str, error: StudioError) -> dict[str, Any]:
    return {"file": file, "reason": error.message(), "hint": error.hint(), "code": error.code, "values": error.values}


