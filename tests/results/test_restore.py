"""An exported zip opened again, in a studio that never saw the training; and zips of strangers."""

from __future__ import annotations

import io
import json
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save
from trained_run import LABELS, Trained, trained

from transfer_core.errors import StudioError
from transfer_core.events import Epoch, Evaluated, Losses, Started, to_json
from transfer_core.jobs.history import read_history
from transfer_core.jobs.projects import import_project
from transfer_core.paths import Home
from transfer_core.predictor import Predictor
from transfer_core.store import Store
from transfer_core.training.export import export
from transfer_core.training.finish import finish

CURVE = [Started(epochs=1, steps_per_epoch=2, classes=["a"], images={}, trainable_parameters=1, total_parameters=2, device="cpu",
                 precision="float32", batch_size=4),
         Epoch(epoch=1, step=2, train=Losses(total=1.0, target=1.0), train_accuracy=0.5, validation=Losses(total=1.0, target=1.0),
               validation_accuracy=0.5, confusion=[[1]], best=True, seconds=1.0, seconds_left=0.0)]


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Trained:
    """A finished run of hostile class names, with its zips."""
    run = trained(tmp_path_factory.mktemp("made"), LABELS[:7])  # photos of each: else it would not be the dataset of this model
    (run.folder / "history.jsonl").write_text("".join(to_json(event) + "\n" for event in CURVE), "utf-8")
    list(finish(run.folder, run.manifest, run.home, name="früchte", device="cpu"))
    list(export(run.folder, run.home, "project", name="früchte"))
    return run


@pytest.fixture
def store(tmp_path) -> Store:
    return Store(Home(tmp_path / "another"))


def bring(store: Store, file: Path) -> dict:
    job = store.submit("import_project", {"path": str(file)})
    work = import_project(job, store, file)
    while True:
        try:
            next(work)
        except StopIteration as end:
            return end.value


def test_the_zip_with_photos_holds_the_report_of_a_run_the_store_knows(made, store):
    """Not the plain zip: that one goes to hubs, and shows nobody's photos."""
    found = bring(store, made.folder / "früchte-project.zip")
    folder = store.home.run(found["run"])
    for kind, holds in (("project", True), ("zip", False)):
        *_, exported = export(folder, store.home, kind, name="again")
        with zipfile.ZipFile(folder / exported.file) as packed:
            assert ("report.html" in packed.namelist()) == holds
            if holds:
                told = packed.read("report.html")
                assert told.startswith(b"<!doctype html>") and b"data:image/webp" in told
    versions = json.loads((folder / "info.json").read_text("utf-8")).get("versions")
    assert versions is None, "what it was trained with is not known, and not what happens to be installed here"


def test_versions_of_a_zip_are_kept_where_they_are_versions(made, store, tmp_path):
    rewritten = tmp_path / "told.zip"
    with zipfile.ZipFile(made.folder / "früchte-project.zip") as before, zipfile.ZipFile(rewritten, "w") as after:
        for entry in before.namelist():
            content = before.read(entry)
            if entry == "info.json":
                told = {"torch": "2.15.0+cu132", "timm": ["no"], "<b>": "1", "python": "x" * 99, "a": 3}
                content = json.dumps(json.loads(content) | {"versions": told}).encode()
            after.writestr(entry, content)
    folder = store.home.run(bring(store, rewritten)["run"])
    assert json.loads((folder / "info.json").read_text("utf-8"))["versions"] == {"torch": "2.15.0+cu132"}


def test_with_its_photos_everything_is_there_again(made, store):
    found = bring(store, made.folder / "früchte-project.zip")
    run = store.job(found["run"])
    assert run.state == "finished" and found["photos"] == len(made.manifest.images)
    dataset = store.dataset(run.payload["recipe"]["dataset"])
    assert dataset.name == "früchte"
    from transfer_core.datasets.manifest import Manifest

    again = Manifest.read(store.home, dataset.id, 1).images
    told = [[(image.sha256, image.file, image.label, image.split, image.group) for image in images]
            for images in (again, made.manifest.images)]
    assert told[0] == told[1] and not run.payload["claimed"]
    original = json.loads((made.folder / "report.json").read_text("utf-8"))
    again = json.loads((store.home.run(run.id) / "report.json").read_text("utf-8"))
    assert again["test"] == original["test"] and again["validation"] == original["validation"], "measured anew, the same"
    assert [event for _, event in store.events(run.id, kinds=("started", "epoch"))] == CURVE
    assert {"onnx", "timm", "zip"} <= set(run.result["files"])
    ours, theirs = (load_file(folder / "model.safetensors") for folder in (made.folder, store.home.run(run.id)))
    assert all(np.array_equal(ours[name], theirs[name]) for name in ours)


def known(report: dict) -> dict:
    """What a confusion matrix knows of a report."""
    unknown = [name for name in report if name.startswith(("auc", "average_precision", "log_loss", "ece"))]
    rows = [{name: None if name.startswith(("auc", "average_precision")) else value for name, value in row.items()}
            for row in report["per_class"]]
    return {**report, **dict.fromkeys(unknown), "per_class": rows}


def test_without_photos_the_model_and_its_numbers_are_there(made, store):
    found = bring(store, made.folder / "früchte.zip")
    run = store.job(found["run"])
    original = json.loads((made.folder / "report.json").read_text("utf-8"))["test"]
    told = {event.split: event.report for _, event in store.events(run.id, kinds=("evaluated",)) if isinstance(event, Evaluated)}
    # A confusion matrix knows nothing of probabilities; of what needs them, only the loss is told on.
    assert told["test"] == known(original) | {"log_loss": original["log_loss"]}
    assert found["photos"] == 0 and store.datasets() == []
    assert run.payload["claimed"], "nobody measured it here, and every page says so"
    name = next(iter(made.manifest.of("test"))).sha256
    one, other = (Predictor(folder / "model.onnx").predict_files([made.home.image(name)])[0]
                  for folder in (made.folder, store.home.run(run.id)))
    assert one.label == other.label and np.allclose(one.probabilities, other.probabilities, atol=1e-6)


def test_the_same_zip_twice_is_two_runs(made, store):
    first, second = (bring(store, made.folder / "früchte-project.zip") for _ in range(2))
    assert first["run"] != second["run"] and first["dataset"] != second["dataset"]


def changed(made: Trained, folder: Path, **files: bytes | None) -> Path:
    """The project zip with some members replaced, or left out (None). `_` in a name stands for a dot or a slash."""
    file = folder / "changed.zip"
    names = {"recipe": "recipe.json", "classes": "classes.json", "model": "model.safetensors", "report": "report.json",
             "manifest": "dataset/manifest.jsonl", "info": "info.json", "history": "history.jsonl"}
    new = {names.get(name, name): content for name, content in files.items()}
    with zipfile.ZipFile(made.folder / "früchte-project.zip") as old, zipfile.ZipFile(file, "w") as packed:
        for member in old.namelist():
            if member not in new:
                packed.writestr(member, old.read(member))
        for member, content in new.items():
            if content is not None:
                packed.writestr(member, content)
    return file


def member(made: Trained, name: str) -> bytes:
    with zipfile.ZipFile(made.folder / "früchte-project.zip") as packed:
        return packed.read(name)


@pytest.mark.parametrize(("files", "code"), [
    ({"recipe": None}, "not_a_project"),
    ({"model": None}, "not_a_project"),
    ({"recipe": b"{"}, "project_damaged"),
    ({"recipe": b'{"dataset": "x", "model": "hf-hub:evil/model"}'}, "no_such_model"),
    ({"recipe": b'{"dataset": "x", "model": "local-dir:/etc"}'}, "no_such_model"),
    ({"recipe": b'{"dataset": "x", "learning_rate": -1}'}, "project_damaged"),
    ({"classes": b'"abc"'}, "project_damaged"),
    ({"classes": b'["a", "a", "b", "c", "d"]'}, "project_damaged"),
    ({"classes": b'["a", 5]'}, "project_damaged"),
    ({"classes": b'["a", "b"]'}, "project_other_model"),
    ({"model": b"not a weight file"}, "project_other_model"),
    ({"model": save({"weight": np.zeros(3, np.float32)})}, "project_other_model"),
    ({"manifest": b"{}\n"}, "project_damaged"),
    ({"manifest": b'{"sha256": "../../etc/passwd", "file": "x", "label": "x", "split": "test"}\n'}, "project_damaged"),
    ({"manifest": b"[" * 5000}, "project_damaged"),
    ({"manifest": b'{"group": 1e400}\n'}, "project_damaged"),
])
def test_a_zip_that_was_tampered_with_is_refused_and_leaves_nothing(made, store, tmp_path, files, code):
    with pytest.raises(StudioError) as error:
        bring(store, changed(made, tmp_path, **files))
    assert error.value.code == code and error.value.hint()
    assert store.jobs("train") == [] and store.datasets() == []
    assert not (store.home.root / "runs").exists() or not list((store.home.root / "runs").iterdir())


def test_weights_that_are_no_numbers_are_refused(made, store, tmp_path):
    tensors = load_file(made.folder / "model.safetensors")
    name = next(name for name, tensor in tensors.items() if tensor.dtype == np.float32)
    tensors[name] = np.full_like(tensors[name], np.nan)
    with pytest.raises(StudioError, match="do not fit"):
        bring(store, changed(made, tmp_path, model=save(tensors)))


def test_photos_that_are_not_what_their_names_say_are_left_out(made, store, tmp_path):
    image = made.manifest.images[0]
    found = bring(store, changed(made, tmp_path, **{f"dataset/images/{image.sha256}": b"another picture"}))
    assert found["photos"] == sum(each.sha256 != image.sha256 for each in made.manifest.images)


def test_scores_are_computed_and_never_taken_over(made, store, tmp_path):
    with zipfile.ZipFile(made.folder / "früchte.zip") as packed:
        told = json.loads(packed.read("report.json"))
    file = shutil.copy(made.folder / "früchte.zip", tmp_path / "boast.zip")
    told["test"] |= {"accuracy": 1.0, "low": 0.999, "n": 10**9, "log_loss": float("nan"), "evil": "<script>"}
    told["validation"] = {"confusion": [[-1]]}
    with zipfile.ZipFile(made.folder / "früchte.zip") as old, zipfile.ZipFile(file, "w") as packed:
        for name in old.namelist():
            packed.writestr(name, json.dumps(told) if name == "report.json" else old.read(name))
    run = store.job(bring(store, file)["run"])
    report = json.loads((store.home.run(run.id) / "report.json").read_text("utf-8"))
    original = json.loads((made.folder / "report.json").read_text("utf-8"))["test"]
    assert report["test"] == known(original)
    assert "validation" not in report


def test_a_history_holds_only_what_a_run_reports(tmp_path):
    file = tmp_path / "history.jsonl"
    foreign = '{"type": "exported", "format": "x", "file": "../x", "bytes": 1}'
    file.write_text(f"{foreign}\nnonsense\n{to_json(CURVE[0])}\n", "utf-8")
    assert list(read_history(file)) == [CURVE[0]]


@pytest.mark.parametrize("content", [b"", b"no zip", b"PK\x03\x04 cut off"])
def test_what_is_no_zip_is_told_so(store, tmp_path, content):
    file = tmp_path / "x.zip"
    file.write_bytes(content)
    with pytest.raises(StudioError) as error:
        bring(store, file)
    assert error.value.hint()


def test_a_member_that_would_lie_elsewhere_is_never_written(made, store, tmp_path):
    found = bring(store, changed(made, tmp_path, **{"../../outside.txt": b"x", "/etc/outside.txt": b"x"}))
    assert found["run"] and not list(tmp_path.rglob("outside.txt"))


def test_what_a_manifest_says_of_a_picture_is_looked_up_in_the_picture(made, store, tmp_path):
    lines = member(made, "dataset/manifest.jsonl").decode().splitlines()
    rows = [{**json.loads(line), "width": -5, "height": 10**30, "converted": [1, {"a": 1}]} for line in lines]
    found = bring(store, changed(made, tmp_path, manifest="\n".join(map(json.dumps, rows)).encode()))
    from transfer_core.datasets.manifest import Manifest

    images = Manifest.read(store.home, found["dataset"], 1).images
    assert {(image.width, image.height) for image in images} >= {(97, 61), (61, 97), (300, 9)}


def test_a_dataset_s_name_that_is_a_path_is_none(made, store, tmp_path):
    recipe = json.loads((made.folder / "recipe.json").read_text("utf-8")) | {"dataset": "../../outside"}
    with zipfile.ZipFile(made.folder / "früchte.zip") as old, zipfile.ZipFile(tmp_path / "x.zip", "w") as packed:
        for name in old.namelist():
            packed.writestr(name, json.dumps(recipe) if name == "recipe.json" else old.read(name))
    run = store.job(bring(store, tmp_path / "x.zip")["run"])
    assert run.payload["recipe"]["dataset"] == "imported"


def test_a_worker_that_died_over_a_zip_leaves_no_second_run(made, store):
    job = store.submit("import_project", {})
    for _ in import_project(job, store, made.folder / "früchte.zip"):
        if store.jobs("train"):
            break  # killed
    work = import_project(job, store, made.folder / "früchte.zip")
    assert list(work) and len(store.jobs("train")) == 1


def test_a_claim_that_would_take_all_memory_is_no_claim():
    from transfer_core.training.restore import _matrix

    assert _matrix(np.full((1000, 1000), 1000).tolist(), 1000) is None
    assert _matrix([[3, 1], [0, 2]], 2).sum() == 6


@pytest.fixture(scope="module")
def knowing_zip(made) -> Path:
    """The zip of a model that can tell strangers, whatever so few photos say."""
    threshold = {"value": 0.25, "share": 0.05, "n": 40}
    report = json.loads((made.folder / "report.json").read_text("utf-8")) | {"none_below": threshold}
    bank = (made.folder / "likeness.npy").read_bytes()
    return rewritten(made.folder / "früchte.zip", made.folder / "knowing.zip",
                     {"report.json": json.dumps(report).encode(), "likeness.npy": bank})


def rewritten(zip_file: Path, to: Path, parts: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(zip_file) as before, zipfile.ZipFile(to, "w") as after:
        for name in dict.fromkeys([*before.namelist(), *parts]):
            after.writestr(name, parts.get(name) or before.read(name))
    return to


def test_without_photos_it_still_knows_what_is_like_none_of_its_classes(made, store, knowing_zip):
    folder = store.home.run(bring(store, knowing_zip)["run"])
    with zipfile.ZipFile(next(folder.glob("*.zip"))) as again:
        assert "likeness.npy" in again.namelist()
    assert np.array_equal(np.load(folder / "likeness.npy"), np.load(made.folder / "likeness.npy"))
    assert Predictor(folder / "model.onnx").none_below == 0.25


def _array(rows: np.ndarray) -> bytes:
    held = io.BytesIO()
    np.save(held, rows)
    return held.getvalue()


HOSTILE = {
    "no array": b"x" * 99,
    "a pickle": b"\x93NUMPY\x01\x00F\x00" + b"{'descr': '|O', 'fortran_order': False, 'shape': (1,), }".ljust(70),
    "of another width": _array(np.eye(3, dtype=np.float32)), "not of length 1": _array(np.full((4, 512), 3, np.float32)),
    "no numbers": _array(np.full((4, 512), np.nan, np.float32)), "huge": b"\x93NUMPY\x01\x00v\x00" + (
        b"{'descr': '<f4', 'fortran_order': False, 'shape': (999999999, 999999), }".ljust(118))}


@pytest.mark.parametrize("what", HOSTILE)
def test_a_bank_of_strangers_is_left_out(store, tmp_path, knowing_zip, what):
    folder = store.home.run(bring(store, rewritten(knowing_zip, tmp_path / "x.zip", {"likeness.npy": HOSTILE[what]}))["run"])
    assert not (folder / "likeness.npy").exists()
    assert Predictor(folder / "model.onnx").none_below is None
