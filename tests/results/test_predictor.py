"""Asking an exported file: bad pictures are answers, files that are not ours are refused, batches survive a restart."""

import json
import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import numpy as np
import onnx
import pytest
from trained_run import LABELS, odd_pictures

from transfer_core import prediction_batch
from transfer_core.errors import BadInput, NotFound
from transfer_core.images import open_image
from transfer_core.predicting import models, tail
from transfer_core.predicting.folder import answer_folder
from transfer_core.predicting.models import predictor_for
from transfer_core.prediction_batch import PredictionBatch
from transfer_core.predictor import Predictor


@pytest.fixture
def model(finished):
    return finished[0].folder / "model.onnx"


@pytest.fixture
def upload(tmp_path):
    """An upload folder as the upload route leaves it: an index, and one file a number."""
    pictures = {**odd_pictures(), "notes.txt": b"not a picture"}
    with (tmp_path / "index.jsonl").open("w", encoding="utf-8") as index:
        for number, (name, content) in enumerate(pictures.items()):
            (tmp_path / str(number)).write_bytes(content)
            index.write(json.dumps({"n": number, "path": f"照片/{name}", "bytes": len(content)}) + "\n")
    return tmp_path


def test_probabilities_sum_to_one_and_do_not_depend_on_the_batch(model):
    asked = Predictor(model)
    images = [open_image(content) for content in odd_pictures().values()] * 5  # 40: two and a half batches
    together = asked.predict(images)
    assert together.shape == (40, len(LABELS))
    assert together.dtype == np.float32
    assert together.sum(axis=1) == pytest.approx(np.ones(40), abs=1e-5)
    assert asked.predict(images[:1])[0] == pytest.approx(together[0], abs=1e-5)
    assert asked.predict([]).shape == (0, len(LABELS))


def test_bad_pictures_are_reported_by_name_and_the_others_answered(model, tmp_path):
    (tmp_path / "good.jpg").write_bytes(odd_pictures()["plain.jpg"])
    (tmp_path / "bad.jpg").write_bytes(b"<html>404</html>")
    found = Predictor(model).predict_files([tmp_path / "bad.jpg", str(tmp_path / "good.jpg"), tmp_path / "gone.jpg", b""])
    assert [one.label is None for one in found] == [True, False, True, True]
    bad, good, gone, empty = (one.to_dict(sorted(LABELS)) for one in found)
    assert bad["file"].endswith("bad.jpg")
    assert bad["error"]
    assert gone["error"]
    assert empty["error"]
    assert sum(good["probabilities"].values()) == pytest.approx(1, abs=1e-5)


def test_files_that_are_not_ours_are_refused_in_plain_words(model, tmp_path):
    with pytest.raises(NotFound, match=r"nowhere\.onnx"):
        Predictor(tmp_path / "nowhere.onnx")
    (tmp_path / "junk.onnx").write_bytes(b"junk")
    strange = onnx.load(model)
    del strange.metadata_props[:]
    onnx.save(strange, tmp_path / "strange.onnx")
    for name in ("junk.onnx", "strange.onnx"):
        with pytest.raises(BadInput, match=name):
            Predictor(tmp_path / name)


def test_a_model_is_opened_once_and_anew_when_it_was_written_anew(model, tmp_path):
    copy = tmp_path / "model.onnx"
    copy.write_bytes(model.read_bytes())
    first = predictor_for(copy)
    assert predictor_for(copy) is first
    os.utime(copy, ns=(1, 1))
    assert predictor_for(copy) is not first
    for number in range(models.KEPT + 2):
        other = tmp_path / f"{number}.onnx"
        other.write_bytes(model.read_bytes())
        predictor_for(other)
    assert len(models._open) == models.KEPT


def test_a_model_that_cannot_be_opened_may_be_tried_again(tmp_path, model):
    path = tmp_path / "late.onnx"
    path.write_bytes(b"junk")
    written = path.stat().st_mtime_ns
    for _ in range(2):
        with pytest.raises(BadInput, match=r"late\.onnx"):
            predictor_for(path)
    assert str(path.resolve()) not in {key[0] for key in models._open}
    path.write_bytes(model.read_bytes())
    os.utime(path, ns=(written, written))
    assert len(predictor_for(path).classes) == len(LABELS)


def test_many_who_want_one_model_open_it_once(tmp_path, model, monkeypatch):
    wanted, opened = tmp_path / "wanted.onnx", []
    wanted.write_bytes(model.read_bytes())
    both_here = threading.Barrier(2)

    def slowly(path):
        both_here.wait(30)  # the second asks only while this one is being opened
        opened.append(path)
        return Predictor(path)

    monkeypatch.setattr(models, "Predictor", slowly)
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(predictor_for, wanted)
        both_here.wait(30)
        second = pool.submit(predictor_for, wanted)
        assert first.result() is second.result()
    assert opened == [wanted]


def test_a_batch_is_answered_in_a_thread_and_read_from_disk(model, upload):
    batch = PredictionBatch(upload, model)
    assert (batch.state().total, batch.state().done, batch.state().finished) == (9, 0, False)
    batch.start()
    batch.start()  # a second click
    prediction_batch._running[batch.file].join(60)
    state = PredictionBatch(upload, model).state()  # another tab
    assert (state.total, state.done, state.bad, state.running, state.finished) == (9, 9, 1, False, True)
    rows = batch.rows()
    assert [row["file"] for row in rows] == [f"照片/{name}" for name in (*odd_pictures(), "notes.txt")]
    assert rows[-1]["error"]["key"].startswith("errors.")
    assert sum(rows[0]["probabilities"]) == pytest.approx(1, abs=1e-4)


def test_a_batch_goes_on_after_the_server_died_in_the_middle_of_a_line(model, upload):
    batch = PredictionBatch(upload, model)
    batch.work()
    whole = batch.rows()
    lines = batch.file.read_text("utf-8").splitlines(keepends=True)
    batch.file.write_text("".join(lines[:4]) + lines[4][:20], "utf-8")
    assert batch.state().done == 4
    batch.work()
    assert sorted(batch.rows(), key=lambda row: row["n"]) == whole


def test_every_line_is_read_once_however_many_photos_there_are(model, tmp_path, monkeypatch):
    for number in range(50):
        (tmp_path / str(number)).write_bytes(b"no picture")
    (tmp_path / "3").write_bytes(odd_pictures()["plain.jpg"])
    index = tmp_path / "index.jsonl"
    index.write_text("".join(json.dumps({"n": number, "path": f"{number}.jpg"}) + "\n" for number in range(50)), "utf-8")
    read: list[bytes] = []

    def loads(line):
        read.append(line)
        return json.loads(line)

    batch = PredictionBatch(tmp_path, model)
    asked, begun = Predictor(model), []
    for module in (prediction_batch, tail):
        monkeypatch.setattr(module, "json", SimpleNamespace(loads=loads, dumps=json.dumps))
    answer_folder(tmp_path, batch.file, lambda path, name: asked.predict_files([path], [name])[0], begun.append)
    assert len(read) == 50  # the index
    assert begun == list(range(50))
    state = batch.state()
    assert (state.done, state.bad, state.good, sum(state.labels.values()), len(read)) == (50, 49, 1, 1, 150)
    batch.state()
    assert [row["n"] for row in batch.good(0, 48)] == [3]
    assert [row["n"] for row in batch.bad(2, 5)] == [2, 4, 5]
    assert len(read) == 154  # the four rows asked for
    with index.open("a") as more:
        more.write(json.dumps({"n": 50, "path": "late.jpg"}) + "\n" + '{"n": 51, "pa')  # the second is half written
    assert (batch.state().total, len(read)) == (51, 155)


def test_another_model_has_its_own_answers(model, upload, tmp_path):
    copy = tmp_path / "other.onnx"
    copy.write_bytes(model.read_bytes())
    PredictionBatch(upload, model).work()
    assert PredictionBatch(upload, copy).state().done == 0


def test_the_light_half_stays_light():
    code = ("import sys, transfer_core.predictor, transfer_core.prediction_batch, transfer_core.metrics, transfer_core.charts;"
            "print(sorted(set(sys.argv[1:]) & set(sys.modules)))")
    heavy = ["torch", "timm", "onnxruntime", "pandas", "plotly", "scipy", "sklearn", "streamlit"]
    done = subprocess.run([sys.executable, "-c", code, *heavy], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
