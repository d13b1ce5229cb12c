"""After a training: measured on each split, every format written, replayed and offered; safe to do twice."""

import json

import numpy as np
import pytest
from trained_run import LABELS, trained

from transfer_core import events, metrics
from transfer_core.datasets.manifest import Manifest
from transfer_core.errors import NotFound, TrainingFailed
from transfer_core.events import Evaluated, Exported, Note, Progressed
from transfer_core.training import export as exporting
from transfer_core.training.export import formats
from transfer_core.training.finish import finish


def test_the_story_of_a_finish(finished):
    run, story = finished
    assert [event.split for event in story if isinstance(event, Evaluated)] == ["validation", "test"]
    exported = {event.format: event for event in story if isinstance(event, Exported)}
    assert set(exported) == {"timm", "onnx", "zip"}
    assert not [event for event in story if isinstance(event, Note)]
    for event in exported.values():
        assert event.replayed == event.same == 8
        assert event.largest_difference < 1e-4
        assert (run.folder / event.file).stat().st_size == event.bytes
    assert exported["zip"].file == "früchte - 🍎.zip"
    assert {event.stage for event in story if isinstance(event, Progressed)} == {"evaluating", "exporting", "replaying"}
    assert [events.from_json(events.to_json(event)) for event in story] == story


def test_predictions_and_report_agree(finished):
    run, story = finished
    rows = [json.loads(line) for line in (run.folder / "predictions_test.jsonl").read_text("utf-8").splitlines()]
    report = json.loads((run.folder / "report.json").read_text("utf-8"))
    assert report["test"] == next(event.report for event in story if isinstance(event, Evaluated) and event.split == "test")
    classes = sorted(LABELS)
    assert [(row["file"], row["label"]) for row in rows] == [(image.file, image.label) for image in run.manifest.of("test")]
    assert all(row["predicted"] == classes[int(np.argmax(row["probabilities"]))] for row in rows)
    assert [sum(row["probabilities"]) for row in rows] == pytest.approx([1] * 8, abs=1e-5)
    assert len({row["predicted"] for row in rows}) > 1, "a model that says one class only would pass any comparison"
    again = metrics.report([classes.index(row["label"]) for row in rows], np.array([row["probabilities"] for row in rows]),
                           classes, {})
    assert report["test"]["confusion"] == again["confusion"]
    assert report["images"] == {"train": 8, "validation": 8, "test": 8}


def test_a_second_finish_repeats_the_facts_and_makes_nothing(finished, monkeypatch):
    run, story = finished
    before = {file.name: file.stat().st_mtime_ns for file in run.folder.iterdir() if file.name != "report.json"}
    monkeypatch.setattr(formats, "write_onnx", None)  # would fail when called
    again = list(finish(str(run.folder), run.manifest, run.home, name="früchte / 🍎", device="cpu"))
    facts = (Evaluated, Exported)
    assert [event for event in again if isinstance(event, facts)] == [event for event in story if isinstance(event, facts)]
    assert before == {file.name: file.stat().st_mtime_ns for file in run.folder.iterdir() if file.name != "report.json"}


def test_without_test_photos_validation_is_replayed_and_a_note_says_so(tmp_path):
    run = trained(tmp_path, splits=("validation",))
    story = list(finish(run.folder, run.manifest, run.home, name="x", device="cpu"))
    assert [event.message.key for event in story if isinstance(event, Note)] == ["results.no_test"]
    assert [event.replayed for event in story if isinstance(event, Exported)] == [8, 8, 8]
    assert "kind" in formats.model_card(exporting.open_run(run.folder, run.home, "x"), {}, "en")


def test_without_any_photos_set_aside_the_files_are_still_made(tmp_path):
    run = trained(tmp_path, splits=())
    story = list(finish(run.folder, run.manifest, run.home, name="x", device="cpu"))
    assert [event.message.key for event in story if isinstance(event, Note)] == ["results.no_validation", "results.no_test"]
    assert [event.replayed for event in story if isinstance(event, Exported)] == [0, 0, 0]


def test_new_weights_are_measured_and_exported_anew(tmp_path):
    run = trained(tmp_path, labels=["a", "b"])
    first = list(finish(run.folder, run.manifest, run.home, name="x", device="cpu"))
    run = trained(tmp_path, labels=["a", "b"])  # the same numbers: nothing changes
    weights = run.folder / "model.safetensors"
    from safetensors.torch import load_file, save_file

    save_file({name: tensor * 1.5 if "fc.weight" in name else tensor for name, tensor in load_file(weights).items()}, weights)
    second = list(finish(run.folder, run.manifest, run.home, name="x", device="cpu"))
    before, after = ([e.report["log_loss"] for e in story if isinstance(e, Evaluated)] for story in (first, second))
    assert before != after
    assert [e.largest_difference < 1e-4 for e in second if isinstance(e, Exported)] == [True] * 3


def test_a_model_that_answers_nan_fails(tmp_path):
    run = trained(tmp_path, labels=["a", "b"])
    from safetensors.torch import load_file, save_file

    weights = run.folder / "model.safetensors"
    save_file({name: tensor * np.nan if "fc.weight" in name else tensor for name, tensor in load_file(weights).items()}, weights)
    with pytest.raises(TrainingFailed, match="not numbers"):
        list(finish(run.folder, run.manifest, run.home, name="x", device="cpu"))


def test_a_run_without_a_model_is_not_found(tmp_path):
    run = trained(tmp_path, labels=["a", "b"])
    (run.folder / "model.safetensors").unlink()
    with pytest.raises(NotFound):
        list(finish(run.folder, Manifest("odd", 1, ()), run.home, name="x"))
