"""Photos of something else shown to a run's file: how many it calls “perhaps none of these”, and what it takes the others for."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

from transfer_core.errors import BadInput, NotFound
from transfer_core.events import Event, Progressed
from transfer_core.measured import SPLITS, predictions
from transfer_core.store import Job, Store

MOST = 500
"""Photos asked about; a share is then known to ± 4 points."""
SHOWN = 24
"""Photos named that are taken for a class all the same."""


def ask_strangers(job: Job, store: Store) -> Generator[Event, None, dict[str, Any]]:
    """Payload: `{"run", "dataset", "version"}` or `{"run", "path"}`, a folder. Photos that the run's own dataset holds too, and
    those of a class that it knows, are left out.

    Returns what `metrics.strangers` says of its test photos (validation, where there are none) and these, with `"threshold"`,
    `"split"`, `"skipped"` (no usable photos), `"left_out"`, and `"taken": [{"file", "sha256", "label", "likeness",
    "probability"}]`, those above the threshold, the likest first. Raises `BadInput` `no_threshold` for a file without one, and
    `no_strangers`.
    """
    from transfer_core import metrics
    from transfer_core.predictor import BATCH, Predictor

    run = store.job(job.payload["run"])
    folder = store.home.run(run.id)
    predictor = Predictor(folder / "model.onnx")
    if predictor.none_below is None:
        raise BadInput("no_threshold")
    split = next((split for split in SPLITS if predictions(folder, split)), None)
    if split is None:
        raise NotFound("no_split", split="test")
    known = [row["likeness"] for row in predictions(folder, split)]
    photos, left_out = _photos(job, store, predictor.classes, {
        row["sha256"] for each in SPLITS for row in predictions(folder, each)} | _learned(run, store))
    asked, skipped = [], 0
    for start in range(0, len(photos), BATCH):
        yield Progressed(stage="asking_strangers", done=start, total=len(photos))
        part = photos[start:start + BATCH]
        for photo, answer in zip(part, predictor.predict_files([file for file, _, _ in part]), strict=True):
            if answer.error:
                skipped += 1
            else:
                asked.append({"file": photo[1], "sha256": photo[2], "label": answer.label, "likeness": answer.likeness,
                              "probability": max(answer.probabilities)})
    if not asked:
        raise BadInput("no_strangers", count=left_out)
    found = metrics.strangers(known, [each["likeness"] for each in asked], predictor.none_below)
    taken = sorted((each for each in asked if each["likeness"] >= predictor.none_below), key=lambda each: -each["likeness"])
    return {**found, "threshold": predictor.none_below, "split": split, "skipped": skipped, "left_out": left_out,
            "taken": taken[:SHOWN]}


def _learned(run: Job, store: Store) -> set[str]:
    from transfer_core.datasets.manifest import Manifest

    recipe = run.payload["recipe"]
    try:
        return {image.sha256 for image in Manifest.read(store.home, recipe["dataset"], recipe["version"]).images}
    except FileNotFoundError:  # the dataset was deleted, or the run came without it
        return set()


def _photos(job: Job, store: Store, classes: list[str], own: set[str]) -> tuple[list[tuple[Path, str, str | None]], int]:
    """File, name and, of a dataset, content hash; how many were left out."""
    from transfer_core.datasets.manifest import Manifest, spread

    if path := job.payload.get("path"):
        return [(file, file.name, None) for file, _ in zip(_files(Path(path)), range(MOST), strict=False)], 0
    manifest = Manifest.read(store.home, job.payload["dataset"], job.payload["version"])
    others = [image for image in manifest.images if image.label not in classes and image.sha256 not in own]
    chosen = spread(others, MOST)
    return [(store.home.image(image.sha256), image.file, image.sha256) for image in chosen], len(manifest.images) - len(others)


def _files(folder: Path) -> Iterator[Path]:
    if not folder.is_dir():
        raise NotFound("no_path", path=str(folder))
    yield from sorted(file for file in folder.rglob("*") if file.is_file())
