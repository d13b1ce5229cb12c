"""All that is known of a run, gathered once for every language. What is missing is None or empty; the page says so."""

from __future__ import annotations

import base64
import io
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image as Picture

from transfer_core import catalog, measured
from transfer_core.catalog import ModelInfo
from transfer_core.datasets.manifest import Manifest
from transfer_core.depot.looking import has
from transfer_core.errors import Busy, NotFound
from transfer_core.jobs import averages, crossvalidating
from transfer_core.jobs.tasks import last_check
from transfer_core.paths import Home
from transfer_core.progress import Progress, fold
from transfer_core.recipe import Recipe
from transfer_core.store import Job, Store

MISTAKES = 24
SIDE = 200
"""Longest side of a mistake's picture in pixels. It stands in the file once a language: at this size 24 take about 0.4 MB."""
_KINDS = ("started", "epoch", "evaluated", "transferred", "averaged", "finished", "stopped")
"""Of a run's events: its steps are thousands, and the curves are those of its epochs."""


@dataclass(frozen=True)
class Facts:
    job: Job
    name: str
    dataset: str
    """Its name, else its id."""
    dataset_deleted: bool
    datasets: dict[str, str]
    """Names by id, of those there are."""
    recipe: Recipe
    model: ModelInfo | None
    """As the recipe shortens it; None where the catalog does not know it."""
    split: str
    """Whose scores these are: "test", else "validation"."""
    report: dict[str, Any]
    """See `metrics.report`."""
    validation: dict[str, Any] | None
    """The same of the validation images, where `report` is of the test."""
    kept: dict[str, Any]
    """All of `report.json`."""
    rows: list[dict[str, Any]]
    """See `measured.predictions`."""
    progress: Progress
    summary: dict[str, Any] | None
    """Of the dataset's version."""
    manifest: Manifest | None
    folds: Job | None
    check: Job | None
    described: dict[str, Any]
    """What the run's folder says of the model: `versions`, `parameters`, …"""
    pictures: dict[str, str]
    """SHA-256 → data: URI, of the mistakes shown."""
    made: float

    @property
    def classes(self) -> list[str]:
        return [row["label"] for row in self.report["per_class"]]

    @property
    def claimed(self) -> bool:
        """Whether a zip only says what was measured."""
        return bool(self.job.payload.get("claimed"))

    @property
    def wrong(self) -> list[dict[str, Any]]:
        """The wrong answers, the surest first."""
        return sorted((row for row in self.rows if row["label"] != row["predicted"]), key=lambda row: -max(row["probabilities"]))


def gather(store: Store, run: str) -> Facts:
    """Raises `NotFound` (`no_run`, `no_trained_model`, `report_unmeasured`) and `Busy("report_live")`."""
    job = store.job(run)
    folder = store.home.at("runs", job.id)
    if job.kind != "train":
        raise NotFound("no_run", name=run)
    if job.live:
        raise Busy("report_live", run=run)
    if not any(has(store.home, job, name) for name in ("model.safetensors", "model.onnx")):
        raise NotFound("no_trained_model", folder=run)
    reports = {split: found for split in measured.SPLITS if (found := measured.report(folder, split))}
    if not reports:
        raise NotFound("report_unmeasured", run=run)
    split, recipe = next(iter(reports)), Recipe(**job.payload["recipe"])
    datasets = {dataset.id: dataset.name for dataset in store.datasets()}
    folds = (each for each in crossvalidating.of_recipe(store, job.payload["recipe"]) if each.state == "finished" and each.result)
    check = last_check(store, recipe.dataset, recipe.version)
    facts = Facts(
        job=job, name=averages.named(store, job), dataset=datasets.get(recipe.dataset, recipe.dataset),
        dataset_deleted=recipe.dataset not in datasets and store.first_version(recipe.dataset) is not None, datasets=datasets,
        recipe=recipe, model=_model(recipe), split=split, report=reports[split],
        validation=reports.get("validation") if split == "test" else None, kept=_json(folder / "report.json"),
        rows=measured.predictions(folder, split), folds=next(folds, None), check=check if check and check.result else None,
        progress=fold(Progress(), (event for _, event in store.events(job.id, kinds=_KINDS))),
        summary=_summary(store, recipe), manifest=_manifest(store.home, recipe), described=_json(folder / "info.json"),
        pictures={}, made=time.time())
    facts.pictures.update(_pictures(store.home, facts.wrong[:MISTAKES]))
    return facts


def _model(recipe: Recipe) -> ModelInfo | None:
    try:
        return catalog.model(recipe.model).shortened(recipe.kept_groups)
    except NotFound:
        return None


def _summary(store: Store, recipe: Recipe) -> dict[str, Any] | None:
    try:
        return store.version(recipe.dataset, recipe.version).summary
    except NotFound:
        return None


def _manifest(home: Home, recipe: Recipe) -> Manifest | None:
    # Not `home.manifest`: that would make the folder of a dataset that is not here.
    if not home.at("datasets", recipe.dataset, f"v{recipe.version}.jsonl").is_file():
        return None
    return Manifest.read(home, recipe.dataset, recipe.version)


def _pictures(home: Home, rows: Sequence[dict[str, Any]]) -> dict[str, str]:
    """Small copies of the thumbnails; an image without one is left out."""
    found = {}
    for sha256 in {row["sha256"] for row in rows}:
        file, small = home.at("thumbnails", sha256[:2], f"{sha256}.webp"), io.BytesIO()
        try:
            with Picture.open(file, formats=["WEBP"]) as picture:
                picture.thumbnail((SIDE, SIDE))
                picture.convert("RGB").save(small, "WEBP", quality=75, method=2)
        except OSError:
            continue
        found[sha256] = "data:image/webp;base64," + base64.b64encode(small.getvalue()).decode()
    return found


def _json(file: Path) -> dict[str, Any]:
    found = json.loads(file.read_text("utf-8")) if file.is_file() else {}
    return found if isinstance(found, dict) else {}
