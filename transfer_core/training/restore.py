"""An exported zip as a run again, on whichever machine: its recipe, its model, its numbers, and its photos where they are in it.

A zip may be anybody's. Only files of known names are read, the model's shape is built from the recipe and never from what the zip
says of it, weights must fit tensor for tensor, and scores are computed anew: from the photos where they are there, else from the
matrix of confusions.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from transfer_core import metrics
from transfer_core.datasets.archive import MAX_ENTRY, ZipReader
from transfer_core.datasets.check import check
from transfer_core.datasets.manifest import SPLITS, Image, Manifest
from transfer_core.errors import BadArchive, BadImage, BadInput, StudioError
from transfer_core.events import Evaluated, Event, Note, Progressed
from transfer_core.images import Preprocessing
from transfer_core.paths import Home, replacing, write_json
from transfer_core.recipe import Recipe
from transfer_core.training import checkpoint, knowing
from transfer_core.training.fit import describe
from transfer_core.training.freezing import climb, freeze
from transfer_core.training.models import build
from transfer_core.words import message

MANIFEST, PICTURES, NAME = "dataset/manifest.jsonl", "dataset/images/", "dataset/name.json"
LARGEST_TEXT, LARGEST_MODEL = 50_000_000, 4_000_000_000
MOST_CLASSES, LONGEST_CLASS = 20_000, 500
MOST_CLAIMED = 20_000_000
"""Photos times classes of a claimed score: it is computed from a row for each photo."""
_FILTERS = {"bilinear", "bicubic", "lanczos", "nearest"}


@dataclass(frozen=True)
class Project:
    """What a zip holds, read and checked as far as that goes without a model."""

    reader: ZipReader
    entries: dict[str, tuple[int, Any]]
    recipe: Recipe
    classes: list[str]
    name: str

    def text(self, name: str) -> Any:
        """A JSON file of the zip; None when there is none. Raises `BadInput("project_damaged")`."""
        if name not in self.entries:
            return None
        try:
            return json.loads(self.read(name, LARGEST_TEXT))
        except (ValueError, RecursionError) as error:
            raise BadInput("project_damaged", file=name) from error

    def read(self, name: str, most: int) -> bytes:
        size, info = self.entries[name]
        if size > most:
            raise BadInput("project_damaged", file=name)
        try:
            return self.reader.read(info, size)
        except BadImage as error:
            raise BadInput("project_damaged", file=name) from error

    @property
    def has_photos(self) -> bool:
        return MANIFEST in self.entries


def read_project(path: Path, name: str) -> Project:
    """Raises `BadArchive`, `BadInput`: `not_a_project project_damaged`."""
    try:
        reader = ZipReader(path, name)
    except BadArchive as error:
        if error.code in ("not_a_zip", "archive_of_other_kind", "archive_empty"):  # their hints speak of photos
            raise BadInput("not_a_project", file=name) from error
        raise
    entries = {entry: (size, info) for entry, size, info in reader.entries()}
    if not {"recipe.json", "classes.json", "model.safetensors"} <= set(entries):
        raise BadInput("not_a_project", file=name)
    project = Project(reader, entries, Recipe(dataset="-"), [], Path(name).stem)
    classes, settings = project.text("classes.json"), project.text("recipe.json")
    if not (isinstance(classes, list) and 2 <= len(classes) <= MOST_CLASSES and len(set(map(str, classes))) == len(classes)
            and all(isinstance(each, str) and len(each) <= LONGEST_CLASS for each in classes)):
        raise BadInput("project_damaged", file="classes.json")
    try:
        recipe = Recipe(**settings)
        if not re.fullmatch(r"[\w-]{1,100}", recipe.dataset):
            recipe = recipe.but(dataset="imported")  # it becomes part of a path
    except (ValidationError, StudioError, TypeError) as error:
        raise BadInput("project_damaged", file="recipe.json") from error
    given = project.text(NAME)
    return Project(reader, entries, recipe, classes, given[:200] if isinstance(given, str) and given.strip() else project.name)


def restore_photos(project: Project, home: Home, dataset: str) -> Generator[Event, None, Manifest]:
    """Progress, then the manifest of the photos, which lie in the home now. One that is not what its name says is left out."""
    images, bad = list(_listed(project)), 0
    good = []
    for done, image in enumerate(images, start=1):
        if taken := _take(project, home, image):
            good.append(taken)
        else:
            bad += 1
        if done % 50 == 0 or done == len(images):
            yield Progressed(stage="checking", done=done, total=len(images))
    if bad:
        yield Note(level="warning", message=message("runs.restore.left_out", count=bad))
    manifest = Manifest.of_images(dataset, 1, good)
    if manifest.classes != project.classes:
        raise BadInput("project_damaged", file=MANIFEST)
    return manifest


def _listed(project: Project) -> Iterator[Image]:
    for line in project.read(MANIFEST, LARGEST_TEXT * 4).splitlines():
        try:
            row = json.loads(line)
            said = {name: str(row.get(name, ""))[:LONGEST_CLASS] for name in ("sha256", "file", "label", "split", "domain")}
            image = Image(**said, group=int(row["group"]), width=0, height=0)  # the rest is looked up in the picture
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError, OverflowError) as error:
            raise BadInput("project_damaged", file=MANIFEST) from error
        if not (image.split in (*SPLITS, "left_out") and image.label in project.classes and 0 <= image.group < 10**9
                and len(image.sha256) == 64 and set(image.sha256) <= set("0123456789abcdef")):
            raise BadInput("project_damaged", file=MANIFEST)
        yield image


def _take(project: Project, home: Home, image: Image) -> Image | None:
    """The image as it was found, stored in the home; None for one that is not what its name says."""
    name = PICTURES + image.sha256
    if name not in project.entries:
        return None
    try:
        data = project.read(name, MAX_ENTRY)
        if hashlib.sha256(data).hexdigest() != image.sha256:
            return None
        seen = check(data, home)
    except (BadImage, BadInput):
        return None
    return image.but(width=seen.width, height=seen.height, perceptual_hash=seen.perceptual_hash, converted=seen.converted)


def restore_model(project: Project, recipe: Recipe, home: Home, out: Path) -> None:
    """The run's folder as a training leaves it: recipe, classes, description, weights. `recipe` names the dataset here.

    Raises `BadInput`: `project_damaged project_other_model`.
    """
    with replacing(out / checkpoint.BEST) as part:
        part.write_bytes(project.read(checkpoint.BEST, LARGEST_MODEL))
    # The shape hangs on these settings; where the weights came from does not matter any more.
    plain = recipe.but(weights="scratch", start_from=None, weights_file=None, source_loss=None, source_dataset=None)
    built = build(plain, len(project.classes), home)
    ladder = climb(plain, built.model, built.groups, 0)
    freeze(built.model, ladder)
    try:
        _load(built.model, out / checkpoint.BEST)
    except (SafetensorError, RuntimeError, OSError) as error:
        raise BadInput("project_other_model", model=recipe.model) from error
    info = describe(built, ladder)
    if how := _preprocessing(project):
        info["preprocessing"] = how.to_dict()
    if versions := _versions(project):
        info["versions"] = versions
    checkpoint.write_description(out, recipe, project.classes, info)
    if knowing.FILE in project.entries:
        knowing.bring(built.model, Preprocessing.from_dict(info["preprocessing"]), project.read(knowing.FILE, LARGEST_TEXT), out)


def _load(model: nn.Module, file: Path) -> None:
    tensors = load_file(file)
    if not all(bool(tensor.isfinite().all()) for tensor in tensors.values() if tensor.is_floating_point()):
        raise RuntimeError("weights that are no numbers")
    model.load_state_dict(tensors)


def _preprocessing(project: Project) -> Preprocessing | None:
    """How the model was measured, from the zip; None where it does not say, or nothing that can be."""
    found = project.text("info.json")
    told = found.get("preprocessing") if isinstance(found, dict) else None
    try:
        how = Preprocessing.from_dict(told)
        numbers = [*how.mean, *how.std, how.crop_share]
        fits = (len(how.size) == 2 and all(isinstance(side, int) and 8 <= side <= 2048 for side in how.size)
                and len(how.mean) == len(how.std) == 3 and all(math.isfinite(number) for number in numbers)
                and all(how.std) and 0.05 <= how.crop_share <= 1
                and how.crop_mode in ("center", "squash", "border") and how.interpolation in _FILTERS)
    except (TypeError, ValueError, AttributeError):
        return None
    return how if fits else None


def _versions(project: Project) -> dict[str, str]:
    """What the zip says it was trained with; what is no version is left out."""
    found = project.text("info.json")
    told = found.get("versions") if isinstance(found, dict) else None
    return {name: version for name, version in (told.items() if isinstance(told, dict) else ())
            if re.fullmatch(r"[a-z-]{1,20}", name) and isinstance(version, str) and re.fullmatch(r"[\w.+-]{1,40}", version)}


def claimed_scores(project: Project, out: Path) -> Iterator[Event]:
    """What the zip says was measured, where its photos are not there to measure it again: computed from its confusion matrix, so
    that the numbers at least agree with each other, and marked as claimed. Written to `report.json`."""
    told = project.text("report.json")
    told = told if isinstance(told, dict) else {}
    counts = {name: count for name, count in (told.get("counts") or {}).items() if isinstance(count, int)} \
        if isinstance(told.get("counts"), dict) else {}
    report: dict[str, Any] = {"counts": counts, "images": {}, "claimed": True}
    for split in ("validation", "test"):
        scores = told.get(split)
        confusion = _matrix(scores.get("confusion") if isinstance(scores, dict) else None, len(project.classes))
        if confusion is None:
            continue
        given = _scores(confusion, project.classes, counts)
        loss = scores.get("log_loss")
        report[split] = {**given, "log_loss": float(loss) if isinstance(loss, int | float) and math.isfinite(loss) else None}
        yield Evaluated(split=split, report=report[split])
    if (out / knowing.FILE).is_file():
        report["none_below"] = _threshold(told.get("none_below"))
    write_json(out / "report.json", report)


def _threshold(given: Any) -> dict[str, Any] | None:
    """As `metrics.none_below` gives it; None for anything else."""
    try:
        value, share, n = float(given["value"]), float(given["share"]), int(given["n"])
    except (TypeError, ValueError, KeyError, OverflowError):
        return None
    return {"value": value, "share": share, "n": n} if -1 <= value <= 1 and 0 < share < 1 and n > 0 else None


def _matrix(given: Any, count: int) -> np.ndarray | None:
    try:
        matrix = np.array(given, dtype=np.int64)
    except (TypeError, ValueError, OverflowError):
        return None
    fits = matrix.shape == (count, count) and (matrix >= 0).all() and 0 < matrix.sum() <= MOST_CLAIMED / count
    return matrix if fits else None


def _scores(confusion: np.ndarray, classes: Sequence[str], counts: dict[str, int]) -> dict[str, Any]:
    return metrics.named_only(confusion, classes, counts)
