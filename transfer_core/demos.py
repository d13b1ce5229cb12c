"""Publish a model: a page that everybody with the link may ask, and an API for programs with a key.

A demo has files of its own (`home.demo(id)`): the ONNX file that was replayed, and copies of example photos. So it goes on
answering when the run is trained on or deleted, until it is taken back.
"""

from __future__ import annotations

import json
import secrets
import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from transfer_core import depot
from transfer_core.depot.looking import bring_image
from transfer_core.depot.tidying import remove
from transfer_core.errors import BadInput, NotFound
from transfer_core.jobs import averages
from transfer_core.paths import Home, replacing
from transfer_core.people.quotas import check_room
from transfer_core.settings import settings
from transfer_core.store import Demo, Job, Store
from transfer_core.store.demos import hashed

MODEL = "model.onnx"
EXAMPLES = 6
"""Example photos, at most."""
SIDE = 800
"""Longest side of an example photo, in pixels."""
LONGEST_TITLE, LONGEST_TEXT = 120, 2000


def only_demos() -> bool:
    """Whether this studio is for strangers: no page but that of a demo, no route but a demo's (`TRANSFER_STUDIO_MODE=demos`)."""
    return settings().mode == "demos"


def publish(store: Store, run: Job, *, title: str = "", description: str = "", examples: int = 0) -> tuple[Demo, str]:
    """A new demo of a trained run, and its key, which is told this once.

    `examples`: so many photos of the test split, of different classes, become public with it. Raises `NotFound` for a run without
    an ONNX file, `BadInput` for a title or a text that is too long, and for a person whose files are as many as they may be.
    """
    model = store.home.at("runs", run.id, MODEL)
    if not model.is_file():
        raise NotFound("no_trained_model", folder=run.id)
    store.touch()
    check_room(store, model.stat().st_size)
    title = checked_text(title, LONGEST_TITLE) or averages.named(store, run)[:LONGEST_TITLE]
    description = checked_text(description, LONGEST_TEXT)
    name, key = secrets.token_urlsafe(9), new_key()
    folder = store.home.demo(name)
    try:
        with replacing(folder / MODEL) as part:
            shutil.copyfile(model, part)
        facts = _facts(store.home, run)
        facts["examples"] = _copy_examples(store.home, store.home.run(run.id), folder, min(examples, EXAMPLES))
        demo = Demo(name, run.id, title, description, hashed(key), facts, time.time(), None, 0, 0, run.owner)
        if depot.is_on():
            from transfer_core.depot.folders import Folder

            Folder(store.home, f"demos/{name}").push()
        store.add_demo(demo)
    except BaseException:
        remove(store.home, "demos", name)
        raise
    return demo, key


def unpublish(store: Store, demo: str) -> None:
    """The page and the API answer no more, and what was copied is gone. Raises `NotFound`."""
    store.end_demo(demo)
    remove(store.home, "demos", demo)


def renew_key(store: Store, demo: str) -> str:
    """A new key; the old one opens nothing any more. Raises `NotFound`."""
    key = new_key()
    store.change_demo(demo, key=hashed(key))
    return key


def new_key() -> str:
    return f"ts_{secrets.token_urlsafe(24)}"


def checked_text(text: str, longest: int) -> str:
    """Raises `BadInput("text_too_long")`."""
    text = text.strip()
    if len(text) > longest:
        raise BadInput("text_too_long", longest=longest, length=len(text))
    return text


def _facts(home: Home, run: Job) -> dict[str, Any]:
    """What the page says of the model: read from what was measured, never typed."""
    folder = home.run(run.id)
    report = _read(folder / "report.json")
    split = next((split for split in ("test", "validation") if split in report), None)
    scores = report.get(split) or {}
    names = ("n", "correct", "accuracy", "low", "high", "baseline", "baseline_class")
    told = "claimed" if report.get("claimed") else split
    measured = {"split": told, **{name: scores[name] for name in names}} if split else None
    rows = [{name: row.get(name) for name in ("label", "support", "recall", "recall_low", "recall_high")}
            for row in scores.get("per_class", ())]
    return {"classes": _read(folder / "classes.json"), "measured": measured, "per_class": rows,
            "model": run.payload["recipe"]["model"], "images": report.get("images", {}),
            "knows_strangers": bool(report.get("none_below"))}


def _read(file: Path) -> Any:
    return json.loads(file.read_text("utf-8")) if file.is_file() else {}


def _copy_examples(home: Home, run: Path, folder: Path, count: int) -> list[str]:
    """Small copies of test photos that the model names rightly, one class after the other; the names of the files."""
    from transfer_core.images import open_image

    chosen: list[dict[str, Any]] = []
    if count and (file := run / "predictions_test.jsonl").is_file():
        by_class: dict[str, list[dict[str, Any]]] = {}
        for row in map(json.loads, file.read_text("utf-8").splitlines()):
            if row["label"] == row["predicted"]:
                by_class.setdefault(row["label"], []).append(row)
        most = max(map(len, by_class.values()), default=0)
        rounds = (rows[turn] for turn in range(most) for rows in by_class.values() if turn < len(rows))
        there = (row for row in rounds if bring_image(home, row["sha256"]))
        chosen = [row for _, row in zip(range(count), there, strict=False)]
    names = [f"example-{number}.webp" for number in range(len(chosen))]
    for name, row in zip(names, chosen, strict=True):
        image = open_image(home.image(row["sha256"]))
        image.thumbnail((SIDE, SIDE))
        image.save(folder / name, "WEBP", quality=85, method=2)  # without the original's EXIF: no place, no date
    return names


def examples(home: Home, demo: Demo) -> Sequence[Path]:
    return [home.demo(demo.id) / name for name in demo.facts.get("examples", ())]
