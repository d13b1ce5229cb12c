"""Try it without a browser: answers worked out by hand from a model that sees only colour."""

from __future__ import annotations

import csv
import io
import shutil

import pytest
import stories

from pages.shared.predict import answers
from pages.shared.text import plain
from transfer_core.prediction_batch import PredictionBatch
from transfer_core.words import languages, say

ID = "0123456789abcdef" * 2


@pytest.fixture
def run(store):
    stories.dataset(store)
    return stories.finished(store)


def ask(store, run, **files: bytes) -> str:
    """An upload that is already answered, so that the page shows it at once."""
    stories.upload(store, ID, files)
    PredictionBatch(store.home.uploads / ID, store.home.run(run.id) / "model.onnx").work()
    return ID


def picture(tmp_path, *color: int) -> bytes:
    return stories.photo(tmp_path / "one.png", color).read_bytes()


@pytest.mark.parametrize("language", languages())
def test_nothing_handed_in_yet(visit, run, language):
    app = visit("predict", run=run.id, lang=language)
    assert not app.exception and not app.info
    assert next(button for button in app.button if button.key == "next-share").label == say("predict.next", language)


@pytest.mark.parametrize("upload", ["0" * 32, "../../etc", "x"])
def test_an_upload_that_is_gone_or_never_was_is_asked_for_again(visit, run, upload):
    app = visit("predict", run=run.id, upload=upload)
    assert not app.exception and app.info[0].value == say("predict.gone")


@pytest.mark.parametrize("language", languages())
def test_one_photo_gets_its_bars(visit, store, run, tmp_path, language):
    app = visit("predict", run=run.id, upload=ask(store, run, sky=picture(tmp_path, 0, 0, 255)), lang=language)
    assert not app.exception
    assert app.subheader[0].value == "\\<b\\>blue\\</b\\>"
    bars = next(element.proto.body for element in app.get("html") if "bars" in element.proto.body)
    assert stories.share(0, 0, 1)[2] > 0.9995  # never "100.0 %": a model is not certain
    assert "<b>&gt; 99.9 %</b>" in bars and "<b>&lt; 0.1 %</b>" in bars and "&lt;b&gt;blue" in bars and "<b>blue" not in bars


def test_a_grey_photo_is_not_sure(visit, store, run, tmp_path):
    app = visit("predict", run=run.id, upload=ask(store, run, fog=picture(tmp_path, 90, 90, 90)))
    assert stories.share(0.3, 0.3, 0.3)[0] == pytest.approx(1 / 3)
    assert app.subheader[0].value.startswith(say("predict.unsure", label=""))


@pytest.mark.parametrize("language", languages())
def test_many_photos_with_broken_ones_among_them(visit, store, run, tmp_path, language):
    files = {"a": picture(tmp_path, 255, 0, 0), "b": picture(tmp_path, 250, 0, 0), "c": picture(tmp_path, 0, 255, 0),
             **{f"bad[{n}].jpg": b"no picture" for n in range(7)}}
    app = visit("predict", run=run.id, upload=ask(store, run, **files), lang=language)
    assert not app.exception
    assert len(app.warning) == 5 and "bad\\[0\\]" in app.warning[0].value
    assert say("predict.more_bad", language, count=2) in {caption.value for caption in app.caption}
    line = next(text.value for text in app.markdown if say("predict.many", language, count=3) in text.value)
    assert "red 2" in line and "green \\*x\\* 1" in line


def test_while_photos_are_missing_there_is_no_spreadsheet_and_then_it_is_made_once(visit, store, run, tmp_path, monkeypatch):
    made = []
    monkeypatch.setattr(answers, "_csv", lambda rows, classes: made.append(len(rows)) or b"")
    upload = ask(store, run, a=picture(tmp_path, 255, 0, 0), b=picture(tmp_path, 0, 255, 0))
    batch = PredictionBatch(store.home.uploads / upload, store.home.run(run.id) / "model.onnx")
    whole = batch.file.read_bytes()
    monkeypatch.setattr(PredictionBatch, "start", lambda self: None)
    batch.file.write_bytes(whole.splitlines(keepends=True)[0])
    app = visit("predict", run=run.id, upload=upload)
    assert not app.exception and made == [] and not app.dataframe
    batch.file.write_bytes(whole)
    app.run()
    app.run()
    assert not app.exception and made == [2]
    assert list(app.dataframe[0].value["file"]) == ["a", "b"]


def test_only_a_zip_instead_of_a_photo(visit, store, run):
    app = visit("predict", run=run.id, upload=ask(store, run, **{"photos.zip": b"PK\x03\x04" + bytes(50)}))
    assert not app.exception and len(app.warning) == 1
    assert "photos\\.zip" in app.warning[0].value


def test_a_model_that_is_gone_is_said_in_words(visit, store, run, tmp_path):
    upload = ask(store, run, a=picture(tmp_path, 1, 2, 3))
    (store.home.run(run.id) / "model.onnx").unlink()
    app = visit("predict", run=run.id, upload=upload)
    assert not app.exception and len(app.error) == 1


@pytest.mark.parametrize("language", languages())
def test_a_model_that_cannot_be_used_is_said_in_words(visit, store, run, tmp_path, language):
    (store.home.run(run.id) / "model.onnx").write_bytes(b"junk")
    upload = stories.upload(store, ID, {"a": picture(tmp_path, 1, 2, 3)})
    app = visit("predict", run=run.id, upload=upload, lang=language)
    while not app.error:  # it takes as long as the process that answers needs to start
        assert not app.exception
        app.run()
    assert app.error[0].value.startswith(plain(say("errors.not_our_model.text", language, file="model.onnx")))


def test_the_table_opens_in_a_spreadsheet_and_runs_nothing_there():
    rows = [{"n": 0, "file": "0/=cmd().jpg", "label": "+red", "probabilities": [0.75, 0.25]}]
    body = answers._csv(rows, ["+red", "＝苹果"])
    assert body.startswith(b"\xef\xbb\xbf")
    header, row = csv.reader(io.StringIO(body.decode("utf-8-sig")))
    assert header == ["file", "label", "probability", "none_of_these", "'+red", "'＝苹果"]
    assert row == ["'=cmd().jpg", "'+red", "0.750000", "", "0.750000", "0.250000"]


@pytest.mark.parametrize("language", languages())
def test_the_first_look_at_a_dataset_answers_too(visit, store, run, tmp_path, language):
    look = store.submit("guess", {"dataset": "colours-1", "version": 1, "name": "<i>Colours"}, "cpu")
    shutil.copytree(store.home.run(run.id), store.home.run(look.id), dirs_exist_ok=True)
    app = visit("predict", look=look.id, upload=ask(store, look, sky=picture(tmp_path, 0, 0, 255)), lang=language)
    assert not app.exception
    assert say("predict.first_look", language, name=plain("<i>Colours")) in [caption.value for caption in app.caption]
    assert app.subheader[0].value == "\\<b\\>blue\\</b\\>"
    assert "next-share" not in {button.key for button in app.button}


@pytest.mark.parametrize("kind", ["guess", "train", "none"])
def test_a_first_look_that_is_not_there_is_said(visit, store, kind):
    look = store.submit(kind, {"name": "x"}, "cpu").id if kind != "none" else "../../etc"
    app = visit("predict", look=look)
    assert not app.exception and app.warning[0].value == say("predict.first_look_gone")
