"""What was measured of a run, as its worker left it: its report and its predictions. And two runs beside each other."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from transfer_core import metrics
from transfer_core.datasets.manifest import Image
from transfer_core.paths import replacing, write_json
from transfer_core.recipe import Recipe

SPLITS = ("test", "validation")
"""The order in which a score is looked for."""


def report(folder: Path, split: str) -> dict[str, Any] | None:
    """What `metrics.report` says of one split; None before it was measured.

    A run that was measured before a score existed is given it now, from its predictions. That takes up to ten seconds of many
    images, so it is kept beside them (not in `report.json`, which a worker may be writing).
    """
    found = _json(folder / "report.json").get(split)
    if found is None or _is_new(found):
        return found
    answers, kept = predictions_file(folder, split), folder / f"scores_{split}.json"
    if not (answers.is_file() and answers.stat().st_size):
        return _only_named(folder, found)
    written = answers.stat().st_mtime_ns
    known = _json(kept)
    if known.get("of") != written or not _is_new(known["report"]):
        known = {"of": written, "report": _again(folder, split, found)}
        with suppress(OSError):  # a full disk or a home that may only be read: then it is computed each time
            write_json(kept, known, lasting=False)
    return known["report"]


def _again(folder: Path, split: str, found: Mapping[str, Any]) -> dict[str, Any]:
    rows, classes = predictions(folder, split), _json(folder / "classes.json")
    labels = np.array([classes.index(row["label"]) for row in rows])
    again = metrics.report(labels, np.array([row["probabilities"] for row in rows]), classes, {}, groups=metrics.groups_of(rows))
    return again | {name: found[name] for name in ("baseline", "baseline_class")}


def _only_named(folder: Path, found: Mapping[str, Any]) -> dict[str, Any]:
    """Of a run that came in a zip without its photos."""
    classes = _json(folder / "classes.json")
    return metrics.named_only(np.array(found["confusion"]), classes, {}) | {
        name: found.get(name) for name in ("baseline", "baseline_class", "log_loss")}


def _is_new(found: Mapping[str, Any]) -> bool:
    """Are all scores in it? The intervals of each class came last."""
    rows = found.get("per_class")
    return bool(rows) and all("auc_low" in row for row in rows)


def claimed(folder: Path) -> tuple[str, ...]:
    """The splits of which the zip that a run came in, without its photos, says what was measured. Empty for any other run."""
    found = _json(folder / "report.json")
    return tuple(split for split in SPLITS if split in found) if found.get("claimed") else ()


def temperature(folder: Path) -> dict[str, Any] | None:
    """What was done to make the model as sure as it is right (see `training.calibrate`); None where nothing was tried."""
    return _json(folder / "report.json").get("temperature")


def none_below(folder: Path) -> dict[str, Any] | None:
    """Below which likeness the model's file says “perhaps none of these” (see `metrics.none_below`); None where it does not."""
    return _json(folder / "report.json").get("none_below")


def predictions_file(folder: Path, split: str) -> Path:
    return folder / f"predictions_{split}.jsonl"


def write_predictions(file: Path, images: Sequence[Image], found: np.ndarray, classes: Sequence[str],
                      likeness: np.ndarray | None = None) -> None:
    """`found`: probabilities, images × classes. They are kept to seven digits, as many as float32 has. `likeness`: of each image
    to those the model learned from, where that is known (see `training.likeness`)."""
    with replacing(file) as part, part.open("w", encoding="utf-8") as lines:
        for place, (image, given) in enumerate(zip(images, found, strict=True)):
            row = {"sha256": image.sha256, "file": image.file, "label": image.label, "group": image.group,
                   "predicted": classes[int(given.argmax())], "probabilities": [float(f"{p:.7g}") for p in given]}
            if likeness is not None:
                row["likeness"] = float(f"{likeness[place]:.7g}")
            lines.write(json.dumps(row, ensure_ascii=False) + "\n")


def predictions(folder: Path, split: str) -> list[dict[str, Any]]:
    """One row per image: sha256, file, label, group, predicted, probabilities, maybe likeness. Empty before they were
    measured."""
    file = predictions_file(folder, split)
    if not file.is_file():
        return []
    with file.open(encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def compare(first: Path, second: Path) -> dict[str, Any] | None:
    """Two runs' folders on the test images both were measured on: `{"n", "evidence", "first", "second", "difference", "low",
    "high", "p_value", "only_first", "only_second", "verdict"}`; None where they share none.

    `difference` is the second's accuracy minus the first's, with the 95 % interval of Bonett & Price 2012 for paired shares;
    p is McNemar's, exact. `verdict`: "first" or "second" is better, or "no_difference_shown".
    """
    found = metrics.compare(*(predictions(folder, "test") for folder in (first, second)))
    if found is None:
        return None
    n, gained, lost = found["n"], found["gained"], found["lost"]
    part = found["evidence"] / n
    low, high = metrics.paired_difference(gained * part, lost * part, found["evidence"])
    verdict = "no_difference_shown" if not found["different"] else "second" if gained > lost else "first"
    if not found["different"]:  # the exact test decides; the interval is the rougher of the two
        low, high = min(low, 0.0), max(high, 0.0)
    return {"n": n, "evidence": found["evidence"], "first": (found["both"] + lost) / n, "second": (found["both"] + gained) / n,
            "difference": (gained - lost) / n, "low": low, "high": high, "p_value": found["p"],
            "only_first": lost, "only_second": gained, "verdict": verdict}


def differing(recipes: list[Mapping[str, Any]]) -> list[str]:
    """Settings in which these recipes are not all alike, in the recipe's own order. What a recipe does not say is the default."""
    whole = [Recipe(**recipe).model_dump() for recipe in recipes]
    return [name for name in Recipe.model_fields if any(each[name] != whole[0][name] for each in whole)]


def _json(file: Path) -> Any:
    return json.loads(file.read_text("utf-8")) if file.is_file() else {}
