"""Photos that a run's model finds alike: the nearest training photos of some, and a map of all, as a file in the job's folder."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Generator
from pathlib import Path
from typing import Any

from transfer_core.datasets.manifest import Manifest
from transfer_core.errors import NotFound
from transfer_core.events import Event
from transfer_core.jobs.heat import photo_file
from transfer_core.paths import Home, write_json
from transfer_core.recipe import Recipe
from transfer_core.spreadsheet import cell
from transfer_core.store import Job, Store

MOST = 24
"""Photos of one job."""
COLUMNS = ("file", "label", "predicted", "probability", "split", "x", "y", "sha256")


def nearest(job: Job, store: Store) -> Generator[Event, None, dict[str, Any]]:
    """Payload: `{"run", "photos": [{"sha256"} | {"upload", "number"}], "k"}`. Returns what `training.similar.nearest` returns."""
    from transfer_core.training.similar import nearest

    run = store.job(job.payload["run"])
    asked, k = job.payload["photos"][:MOST], job.payload.get("k", 6)
    photos = [_file(store.home, photo) for photo in asked]
    return (yield from nearest(store.home.run(run.id), manifest_of(store, run), store.home, photos,
                               k if isinstance(k, int) else 6, device=job.device))


def photo_map(job: Job, store: Store) -> Generator[Event, None, dict[str, Any]]:
    """Payload: `{"run"}`. The map lies at `map_file(home, job.id)`; returned is what it holds besides its points, with the
    dataset's version. Older maps of the run are removed."""
    from transfer_core.training.similar import photo_map

    run = store.job(job.payload["run"])
    manifest = manifest_of(store, run)
    found = yield from photo_map(store.home.run(run.id), manifest, store.home, device=job.device)
    write_json(map_file(store.home, job.id), found)
    for older in store.jobs("map"):
        if older.payload.get("run") == run.id and older.id != job.id and not older.live:
            map_file(store.home, older.id).unlink(missing_ok=True)
    return {name: value for name, value in found.items() if name not in ("points", "classes")} | {"version": manifest.version}


def manifest_of(store: Store, run: Job) -> Manifest:
    """The photos a run was trained with. Raises `NotFound` where their dataset is gone."""
    recipe = Recipe(**run.payload["recipe"])
    store.version(recipe.dataset, recipe.version)
    return Manifest.read(store.home, recipe.dataset, recipe.version)


def map_file(home: Home, job: str) -> Path:
    return home.job(job) / "map.json"


def read_map(file: Path) -> dict[str, Any]:
    return json.loads(file.read_text("utf-8"))


def table_of(found: dict[str, Any]) -> str:
    """A map's points as CSV, without a cell that a spreadsheet would run."""
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(COLUMNS)
    for point in found["points"]:
        writer.writerow([cell(point[name]) for name in COLUMNS])
    return out.getvalue()


def _file(home: Home, photo: Any) -> Path | NotFound:
    try:
        return photo_file(home, photo if isinstance(photo, dict) else {})
    except NotFound as error:
        return error
