"""“None of these”: a promise about one's own photos that holds, told by every file alike."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile

import numpy as np
import pytest
from trained_run import odd_pictures, trained

from transfer_core.events import Exported
from transfer_core.metrics import none_below, strangers, unknown
from transfer_core.predictor import Predictor
from transfer_core.training import knowing
from transfer_core.training.export import export
from transfer_core.training.finish import finish


def test_nineteen_photos_are_the_fewest_a_promise_can_be_made_of():
    surest = np.linspace(0.5, 0.95, unknown.FEWEST)
    assert unknown.FEWEST == 19 and none_below(surest[1:]) is None and none_below([]) is None
    assert none_below(surest)["value"] == pytest.approx(0.5) and none_below(surest)["n"] == 19


def test_the_order_of_photos_means_nothing():
    surest = np.random.default_rng(0).random(200)
    assert none_below(surest) == none_below(surest[::-1])
    assert none_below(surest)["value"] == pytest.approx(np.sort(surest)[9], abs=1e-6)  # ⌊0.05 × 201⌋ = 10th smallest


@pytest.mark.parametrize("n", [19, 40, 137])
def test_of_new_photos_at_most_one_in_twenty_is_refused_whatever_the_model(n):
    """The chance over both draws is ⌊(n + 1) / 20⌋ / (n + 1) exactly, whatever the distribution of confidences is."""
    chance = np.random.default_rng(n)
    refused = []
    for _ in range(4000):
        drawn = chance.beta(5, 1, n)
        refused.append((chance.beta(5, 1, 20) < none_below(drawn)["value"]).mean())
    expected, error = ((n + 1) // 20) / (n + 1), np.std(refused) / 4000**0.5
    assert abs(np.mean(refused) - expected) < 4 * error + 1e-5 and expected <= 0.05


def test_strangers_are_counted_and_ties_are_half_a_win():
    found = strangers([0.9, 0.8, 0.5], [0.4, 0.5, 0.95, 0.3], 0.5)
    assert (found["known"]["below"], found["unknown"]["below"], found["unknown"]["n"]) == (0, 2, 4)
    assert found["unknown"]["low"] < 0.5 == found["unknown"]["share"] < found["unknown"]["high"]
    wins = sum((a > b) + 0.5 * (a == b) for a in (0.9, 0.8, 0.5) for b in (0.4, 0.5, 0.95, 0.3))
    assert found["auc"] == pytest.approx(wins / 12)
    with pytest.raises(ValueError, match="no images"):
        strangers([], [0.5], 0.5)


@pytest.fixture(scope="module")
def settled(tmp_path_factory):
    """A finished run that refuses three in ten."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(unknown, "REFUSED", 0.3)
        patch.setattr(knowing, "MOST", 5)  # else every photo is like one the model learned from: itself
        run = trained(tmp_path_factory.mktemp("settled"))
        list(finish(run.folder, run.manifest, run.home, name="x", device="cpu"))
    return run


def test_every_file_says_the_same(settled, tmp_path):
    threshold = json.loads((settled.folder / "report.json").read_text("utf-8"))["none_below"]["value"]
    rows = [json.loads(line) for line in (settled.folder / "predictions_validation.jsonl").read_text("utf-8").splitlines()]
    report = json.loads((settled.folder / "report.json").read_text("utf-8"))
    unseen = sorted([*(row["likeness"] for row in rows), *report["likeness"]])
    assert len(report["likeness"]) == 5  # only the head was trained: training photos count, too
    assert threshold == pytest.approx(unseen[int(0.3 * (8 + 5 + 1)) - 1], abs=2e-6)
    predictor = Predictor(settled.folder / "model.onnx")
    assert predictor.none_below == threshold
    answers = predictor.predict_files(list(odd_pictures().values()))
    below = sum(row["likeness"] < threshold for row in rows)
    assert [answer.none_of_these for answer in answers].count(True) == below
    assert [answer.likeness for answer in answers] == pytest.approx([row["likeness"] for row in rows], abs=1e-4)
    for event in export(settled.folder, settled.home, "python", name="x", out=tmp_path):
        assert event
    for name, content in odd_pictures().items():
        (tmp_path / name).write_bytes(content)
    asked = [sys.executable, "predict.py", *odd_pictures()]
    done = subprocess.run([*asked, "--json"], cwd=tmp_path, capture_output=True, check=True)
    said = json.loads(done.stdout)["predictions"]
    assert [row["none_of_these"] for row in said] == [answer.none_of_these for answer in answers]
    spoken = subprocess.run(asked, cwd=tmp_path, capture_output=True, check=True)
    assert spoken.stdout.decode().count("perhaps none of these") == below


def test_another_threshold_makes_other_files(settled):
    """The same weights, measured on other validation photos."""
    file = settled.folder / "report.json"
    report = json.loads(file.read_text("utf-8"))
    file.write_text(json.dumps({**report, "none_below": {**report["none_below"], "value": 0.123}}), "utf-8")
    try:
        list(export(settled.folder, settled.home, "zip", name="x"))
        with zipfile.ZipFile(settled.folder / "x.zip") as packed:
            (settled.folder / "inside.onnx").write_bytes(packed.read("model.onnx"))
        for name in ("model.onnx", "inside.onnx"):
            assert Predictor(settled.folder / name).none_below == 0.123
    finally:
        file.write_text(json.dumps(report), "utf-8")
        list(export(settled.folder, settled.home, "zip", name="x"))


def test_a_file_without_one_says_nothing(finished):
    """Eight validation photos promise nothing: the answer is neither yes nor no."""
    run, _ = finished
    predictor = Predictor(run.folder / "model.onnx")
    assert predictor.none_below is None
    (answer,) = predictor.predict_files([odd_pictures()["plain.jpg"]])
    assert answer.none_of_these is None and answer.to_dict(predictor.classes)["none_of_these"] is None


def test_a_photo_is_not_like_itself_nor_like_its_burst():
    bank = np.array([[1, 0], [1, 0], [0.8, 0.6], [0, 1]], np.float32)
    assert knowing.among(bank, np.array([0, 0, 1, 2])).tolist() == pytest.approx([0.8, 0.8, 0.8, 0.6])


def test_where_more_than_the_head_was_trained_training_photos_do_not_count(tmp_path, monkeypatch):
    """The backbone has seen them: they are more like each other than new ones will be."""
    monkeypatch.setattr(unknown, "REFUSED", 0.3)
    run = trained(tmp_path)
    file = run.folder / "recipe.json"
    file.write_text(json.dumps({**json.loads(file.read_text("utf-8")), "freeze": 0}), "utf-8")
    list(finish(run.folder, run.manifest, run.home, name="x", device="cpu"))
    report = json.loads((run.folder / "report.json").read_text("utf-8"))
    assert report["likeness"] == [] and report["none_below"]["n"] == 8


def test_what_was_measured_before_likeness_was_has_no_threshold(tmp_path, monkeypatch):
    monkeypatch.setattr(unknown, "REFUSED", 0.3)
    run = trained(tmp_path)
    list(finish(run.folder, run.manifest, run.home, name="x", device="cpu"))
    file = run.folder / "predictions_test.jsonl"
    rows = [json.loads(line) for line in file.read_text("utf-8").splitlines()]
    for row in rows:
        del row["likeness"]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    list(finish(run.folder, run.manifest, run.home, name="x", device="cpu"))
    assert json.loads((run.folder / "report.json").read_text("utf-8"))["none_below"] is None
    assert Predictor(run.folder / "model.onnx").none_below is None


def test_a_model_that_changes_what_its_last_layer_gives_is_left_as_it_is(tmp_path, monkeypatch):
    """Its file answers one question only, and is made all the same."""
    from timm.models import ResNet

    real = ResNet.forward
    monkeypatch.setattr(ResNet, "forward", lambda self, images: 2 * real(self, images))
    monkeypatch.setattr(unknown, "REFUSED", 0.3)
    run = trained(tmp_path)
    story = list(finish(run.folder, run.manifest, run.home, name="x", device="cpu"))
    assert not (run.folder / knowing.FILE).exists() and Predictor(run.folder / "model.onnx").none_below is None
    assert [event.format for event in story if isinstance(event, Exported)] == ["timm", "onnx", "zip"]
