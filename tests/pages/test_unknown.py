"""Photos of something else: asked of the very file, counted, and told on the Check and Try it pages."""

from __future__ import annotations

import io
import json

import pytest
import stories
from PIL import Image

from pages.shared.text import plain
from transfer_core.datasets import import_dataset
from transfer_core.errors import BadInput, NotFound
from transfer_core.http.demos import told
from transfer_core.jobs import TASKS
from transfer_core.predictor import Predictor
from transfer_core.words import languages, say

ID = "d" * 32
NONE = {"value": 0.9, "share": 0.05, "n": 40}


def texts(app) -> str:
    return "\n".join(str(element.value) for element in (*app.markdown, *app.caption))


def png(*color: int) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (32, 24), color).save(file, "PNG")
    return file.getvalue()


@pytest.fixture
def run(store):
    stories.dataset(store)
    made = stories.finished(store)
    folder = store.home.run(made.id)
    stories.color_model(folder / "model.onnx", none_below=0.9)
    report = json.loads((folder / "report.json").read_text("utf-8"))
    (folder / "report.json").write_text(json.dumps({**report, "none_below": NONE}), "utf-8")
    return made


@pytest.fixture
def others(store, tmp_path):
    """Greys, which are like nothing it learned from, six blues, and a class it knows."""
    colors = {"grey": [(90 + 9 * n, 90 + 9 * n, 90 + 9 * n) for n in range(14)], "sky": [(0, 0, 249 + n) for n in range(6)],
              "red": [(250 + n, 0, 0) for n in range(5)]}
    for label, own in colors.items():
        (tmp_path / "others" / label).mkdir(parents=True)
        for number, color in enumerate(own):
            (tmp_path / "others" / label / f"{number}.png").write_bytes(png(*color))
    imported = list(import_dataset(tmp_path / "others", "others", store))[-1]
    return store.dataset(imported.dataset)


def result(store, job):
    work = TASKS["strangers"](store.job(job.id), store)
    while True:
        try:
            next(work)
        except StopIteration as end:
            return end.value


def test_strangers_are_counted_and_what_the_model_knows_is_left_out(store, run, others):
    images = len({image.sha256 for image in _images(store, others) if image.label != "red"})
    found = result(store, store.submit("strangers", {"run": run.id, "dataset": others.id, "version": 1}, "cpu"))
    greys = found["unknown"]["below"]
    assert found["unknown"]["n"] == images and greys == images - len(found["taken"]) and len(found["taken"]) > 0
    assert {each["label"] for each in found["taken"]} == {"<b>blue</b>"} and found["left_out"] == len(
        [image for image in _images(store, others) if image.label == "red"])
    assert found["split"] == "test" and found["known"]["n"] == 18 and found["known"]["below"] == 17  # all but the one of 97 %
    assert found["threshold"] == 0.9


def _images(store, dataset):
    from transfer_core.datasets.manifest import Manifest

    return Manifest.read(store.home, dataset.id, 1).images


def test_a_folder_can_be_asked_about_and_bad_files_are_skipped(store, run, tmp_path):
    folder = tmp_path / "folder"
    (folder / "deep").mkdir(parents=True)
    (folder / "deep" / "grey.png").write_bytes(png(128, 128, 128))
    (folder / "notes.txt").write_bytes(b"no picture")
    found = result(store, store.submit("strangers", {"run": run.id, "path": str(folder)}, "cpu"))
    assert (found["unknown"]["n"], found["unknown"]["below"], found["skipped"], found["taken"]) == (1, 1, 1, [])
    (folder / "deep" / "grey.png").unlink()
    with pytest.raises(BadInput) as error:
        result(store, store.submit("strangers", {"run": run.id, "path": str(folder)}, "cpu"))
    assert error.value.code == "no_strangers"
    with pytest.raises(NotFound):
        result(store, store.submit("strangers", {"run": run.id, "path": str(tmp_path / "nowhere")}, "cpu"))


def test_a_file_without_a_threshold_is_not_asked(store, run, others):
    stories.color_model(store.home.run(run.id) / "model.onnx")
    with pytest.raises(BadInput) as error:
        result(store, store.submit("strangers", {"run": run.id, "dataset": others.id, "version": 1}, "cpu"))
    assert error.value.code == "no_threshold"


def test_a_file_with_nonsense_for_a_threshold_is_not_ours(tmp_path):
    stories.color_model(tmp_path / "model.onnx", none_below="very")
    with pytest.raises(BadInput) as error:
        Predictor(tmp_path / "model.onnx")
    assert error.value.code == "not_our_model"


@pytest.mark.parametrize("language", languages())
def test_it_is_offered_asked_once_and_told(visit, store, run, others, language):
    app = visit("evaluate", run=run.id, lang=language)
    assert not app.exception and say("unknown.text", language, n=40) in texts(app)
    assert say("unknown.own", language, n=18, below=17, share="94", low="74", high="99") in texts(app)
    app.button(key="unknown-button").click().run()
    (job,) = store.jobs("strangers")
    assert job.payload == {"run": run.id, "dataset": others.id, "version": 1} and not app.exception
    store.end(job.id, "finished", result(store, job))
    app = visit("evaluate", run=run.id, lang=language)
    found = store.job(job.id).result
    shares = {name: f"{100 * found['unknown'][name]:.0f}" for name in ("share", "low", "high")}
    said = say("unknown.found", language, n=found["unknown"]["n"], below=found["unknown"]["below"], **shares)
    assert not app.exception and said in texts(app) and say("unknown.class_helps", language) in texts(app)


def test_without_a_threshold_it_says_what_is_missing(visit, store):
    stories.dataset(store)
    app = visit("evaluate", run=stories.finished(store).id)
    assert not app.exception and say("unknown.missing", few=19) in texts(app)
    assert "unknown-button" not in {button.key for button in app.button}


@pytest.mark.parametrize("language", languages())
def test_trying_a_stranger_says_so_and_keeps_the_nearest_class(visit, store, run, language):
    stories.upload(store, ID, {"grey.png": png(120, 130, 120)})
    app = visit("predict", run=run.id, upload=ID, lang=language)
    while not app.subheader and not app.error:  # it takes as long as the process that answers needs to start
        assert not app.exception
        app.run()
    assert app.subheader[0].value == say("predict.none", language, label=plain(stories.CLASSES[1]))
    assert say("predict.none_help", language) in texts(app)


def test_a_known_one_gets_its_class_and_no_claim_that_it_always_does():
    from pages.shared.predict import answers

    row = {"n": 0, "file": "red.png", "probabilities": [0.9, 0.1], "none_of_these": False}
    assert answers.about(row, 0.9) == (None, "predict.may_say_none")
    assert answers.about(row | {"none_of_these": None}, 0.9) == (None, "predict.always_a_class")
    assert answers.about(row, 0.4) == ("unsure", "predict.may_say_none")
    assert answers.about(row | {"none_of_these": True}, 0.9) == ("none", "predict.none_help")


def test_many_are_counted_and_the_table_says_which(visit, store, run):
    from pages.shared.predict import answers

    stories.upload(store, ID, {"grey.png": png(120, 130, 120), "red.png": png(255, 0, 0), "dull.png": png(90, 90, 99)})
    app = visit("predict", run=run.id, upload=ID)
    while not app.get("download_button") and not app.error:
        assert not app.exception
        app.run()
    assert say("predict.none_many", count=2) in texts(app)
    assert answers._NONE == {True: "yes", False: "no", None: ""}


def test_the_api_says_so():
    row = {"file": "x", "label": "red", "none_of_these": True, "probabilities": [0.5, 0.5]}
    assert told(row, ["red", "blue"], "en")["none_of_these"] is True
