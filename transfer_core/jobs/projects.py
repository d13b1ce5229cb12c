"""An exported zip becomes a run of this studio, with a dataset where its photos came along."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Generator
from pathlib import Path
from typing import Any

from transfer_core import depot
from transfer_core.datasets.garbage import holding_images
from transfer_core.depot.tidying import remove
from transfer_core.errors import BadInput, NotFound
from transfer_core.events import Evaluated, Event, Exported, Finished, Progressed
from transfer_core.jobs.devices import devices
from transfer_core.jobs.history import HISTORY, read_history
from transfer_core.jobs.result import Result
from transfer_core.people.quotas import check_images
from transfer_core.store import Job, Store
from transfer_core.store.versions import new_id
from transfer_core.words import message


def import_project(job: Job, store: Store, source: Path) -> Generator[Event, None, dict[str, Any]]:
    """Progress; returns `{"run", "dataset", "photos", "test"}`. No run and no dataset are left of a zip that is refused.

    Raises `BadArchive`, `BadInput`: `not_a_project project_damaged project_other_model`.
    """
    with holding_images(store.home):  # it leans on photos that lie here already
        return (yield from _import(job, store, source))


def _import(job: Job, store: Store, source: Path) -> Generator[Event, None, dict[str, Any]]:
    from transfer_core.datasets.summary import describe
    from transfer_core.training.export import export
    from transfer_core.training.finish import finish
    from transfer_core.training.restore import claimed_scores, read_project, restore_model, restore_photos

    yield Progressed(stage="reading", done=0)
    for ghost in store.jobs("train"):  # of a worker that died over this zip
        if ghost.payload.get("project") == job.id:
            store.delete_job(ghost.id)
    file, name = _file_of(source)
    project = read_project(file, name)
    dataset = new_id(project.name, key=job.id)
    recipe = project.recipe.but(dataset=dataset, version=1) if project.has_photos else project.recipe
    with tempfile.TemporaryDirectory(dir=store.home.cache) as place:
        restore_model(project, recipe, store.home, Path(place))
        manifest = (yield from restore_photos(project, store.home, dataset)) if project.has_photos else _known(store, project)
        payload = {"recipe": recipe.model_dump(), "name": project.name, "project": job.id, "claimed": manifest is None}
        run = store.enter("train", payload, devices()[0])
        out = store.home.run(run)
        for made in Path(place).iterdir():
            shutil.move(made, out / made.name)
    try:
        if project.has_photos and store.first_version(dataset) is None:
            check_images(store, len(manifest.images))
            manifest.write(store.home)
            change = message("import.changes.imported", count=len(manifest.images))
            summary = {"dataset": dataset, "version": 1, **describe(manifest.images, {})}
            store.add_dataset(project.name, dataset, change, summary)
        if HISTORY in project.entries:
            (out / HISTORY).write_bytes(project.read(HISTORY, 50_000_000))
            store.append(run, *read_history(out / HISTORY))
        result = Result()
        result.recall(event for _, event in store.events(run))
        work = finish(out, manifest, store.home, name=project.name) if manifest else _unseen(
            claimed_scores(project, out), export(out, store.home, "zip", name=project.name))
        for event in result.of(work):
            if isinstance(event, Evaluated | Exported):
                store.append(run, event)
            yield event
        if not any(isinstance(event, Finished) for _, event in store.events(run, kinds=("finished",))):
            store.append(run, Finished(seconds=0.0))
        store.end(run, "finished", result.summary())
    except BaseException:
        store.delete_job(run)
        if project.has_photos:
            store.delete_dataset(dataset)  # its photos go with the next tidying
        remove(store.home, "runs", run)
        raise
    return {"run": run, "dataset": recipe.dataset, "photos": len(manifest.images) if manifest else 0,
            "test": (store.job(run).result or {}).get("test", {})}


def _unseen(*parts: Any) -> Generator[Event, None, None]:
    for part in parts:
        yield from part


def _known(store: Store, project: Any) -> Any:
    """The photos it was trained on, where this studio has them: then it is measured on them again."""
    from transfer_core.datasets.manifest import Manifest

    try:
        store.dataset(project.recipe.dataset)
        manifest = Manifest.read(store.home, project.recipe.dataset, project.recipe.version)
    except (NotFound, FileNotFoundError):
        return None
    if manifest.classes != project.classes:
        return None
    if depot.is_on():
        from transfer_core.depot.things import bring_images

        bring_images(store.home, [image.sha256 for image in manifest.images])
    return manifest


def _file_of(source: Path) -> tuple[Path, str]:
    """A zip on disk, or the one file of an upload, and what it was called."""
    if source.is_file():
        return source, source.name
    index = source / "index.jsonl"
    lines = [json.loads(line) for line in index.read_text("utf-8").splitlines()] if index.is_file() else []
    if len(lines) != 1:
        raise BadInput("not_a_project", file=source.name)
    return source / str(lines[0]["n"]), Path(lines[0]["path"]).name
