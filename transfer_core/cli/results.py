"""`predict`, `export`: what a finished run says of new photos, and its files to take along."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from transfer_core.cli.answer import Answer, table
from transfer_core.cli.command import argument, command, option
from transfer_core.cli.tell import Teller
from transfer_core.depot.jobs import working_in
from transfer_core.depot.looking import has
from transfer_core.errors import NotFound
from transfer_core.events import Exported
from transfer_core.jobs import averages
from transfer_core.jobs.worker import limit_threads
from transfer_core.store import Job, Store

FORMATS = "zip|project|onnx|onnx-int8|timm|html|html-folder|python|pt2|openvino|litert"
FORMERLY = {"safetensors": "timm"}
"""What a format was called before."""


def finish(store: Store, job: Job) -> None:
    """Measure a run whose worker did not come to it."""
    limit_threads()
    from transfer_core.datasets.manifest import Manifest
    from transfer_core.training.finish import finish as finishing

    recipe, tell = job.payload["recipe"], Teller()
    manifest = Manifest.read(store.home, recipe["dataset"], recipe["version"])
    with working_in(store, job):
        for event in finishing(store.home.run(job.id), manifest, store.home, name=averages.named(store, job)):
            tell(event)


@command("predict")
def predict(
    run: Annotated[str, argument("option_predictor")],
    images: Annotated[list[Path], argument("option_images")],
) -> Answer:
    from transfer_core.predictor import Predictor

    predictor = Predictor(Path(run) if run.endswith(".onnx") else _onnx(run))
    found = predictor.predict_files([file for image in images for file in _files(image)])
    rows = [prediction.to_dict(predictor.classes) for prediction in found]
    if rows and all("error" in row for row in rows):
        raise NotFound("no_answers", file=rows[0]["file"], reason=rows[0]["error"])
    shown = [{"file": row["file"], "label": row.get("label"), "p": max(row.get("probabilities", {}).values(), default=None),
              "": row.get("error", "")} for row in rows]
    return Answer({"predictions": rows}, table(shown))


def _files(path: Path) -> list[Path]:
    return sorted(file for file in path.rglob("*") if file.is_file()) if path.is_dir() else [path]


def _onnx(run: str) -> Path:
    store = Store()
    job = trained(store, run)
    file = store.home.at("runs", job.id, "model.onnx")
    if not file.is_file():
        finish(store, job)
    return file


@command("export")
def export(
    run: Annotated[str, argument("option_run")],
    format: Annotated[str, option("--format", words="option_format", metavar=FORMATS)] = "zip",  # noqa: A002
    out: Annotated[Path, option("--out", words="option_out", metavar="DIR")] = Path(),
) -> Answer:
    store = Store()
    job = trained(store, run)
    limit_threads()
    from transfer_core.training.export import export as exporting

    tell, written, wanted = Teller(), None, FORMERLY.get(format, format)
    with working_in(store, job):
        for event in exporting(store.home.run(job.id), store.home, wanted, name=averages.named(store, job), out=out):
            tell(event)
            written = event if isinstance(event, Exported) and event.files else written
    if written is None:
        raise typer.Exit(1)
    files = [str(out.resolve() / name) for name in written.files]
    checked = {"images": written.replayed, "same_answer": written.same, "largest_difference": written.largest_difference}
    if written.right is not None:
        checked |= {"right": written.right, "right_before": written.right_before}
    return Answer({"run": job.id, "format": written.format, "files": files, "checked": checked,
                   "file": files[0], "bytes": written.bytes}, "\n".join(files))


def trained(store: Store, run: str) -> Job:
    """A run that has a model. Raises `NotFound`."""
    job = store.job(run)
    if job.kind != "train" or not has(store.home, job, "model.safetensors"):
        raise NotFound("no_trained_model", folder=run)
    return job
