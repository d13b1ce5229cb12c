"""Publishing a model: what is copied, what becomes public, and that taking it back takes everything back."""

from __future__ import annotations

import io
import json

import pytest
import stories
from PIL import Image

from transfer_core import demos
from transfer_core.errors import BadInput, NotFound
from transfer_core.store.demos import hashed


@pytest.fixture
def run(store):
    stories.dataset(store)
    return stories.finished(store)


def test_a_demo_answers_with_files_of_its_own(store, run):
    demo, key = demos.publish(store, run)
    assert store.home.demo(demo.id).joinpath("model.onnx").read_bytes() == (store.home.run(run.id) / "model.onnx").read_bytes()
    assert (demo.title, demo.run) == ("Colours [a]", run.id)
    assert demo.facts["classes"] == stories.CLASSES
    report = json.loads((store.home.run(run.id) / "report.json").read_text())["test"]
    assert demo.facts["measured"] == {"split": "test", **{name: report[name] for name in (
        "n", "correct", "accuracy", "low", "high", "baseline", "baseline_class")}}
    assert store.demo(demo.id) == demo and store.demos(run.id) == [demo] == store.demos()
    assert demo.opens(key) and not demo.opens(key + "x") and not demo.opens("")


def test_the_key_is_nowhere_in_the_database(store, run):
    _, key = demos.publish(store, run)
    store.close()
    assert all(key.encode() not in file.read_bytes() for file in store.home.root.rglob("*") if file.is_file())


def test_links_cannot_be_guessed_and_differ(store, run):
    names = {demos.publish(store, run)[0].id for _ in range(20)}
    assert len(names) == 20 and all(len(name) >= 12 for name in names)


def test_taken_back_it_is_gone(store, run):
    demo, _ = demos.publish(store, run)
    demos.unpublish(store, demo.id)
    assert store.demos() == [] and not (store.home.root / "demos" / demo.id).exists()
    for again in (store.demo, store.end_demo):
        with pytest.raises(NotFound):
            again(demo.id)


def test_it_outlives_its_run(store, run):
    demo, _ = demos.publish(store, run)
    store.delete_job(run.id)
    (store.home.run(run.id) / "model.onnx").unlink()
    assert store.home.demo(demo.id).joinpath("model.onnx").is_file() and store.demo(demo.id)


def test_a_new_key_makes_the_old_one_useless(store, run):
    demo, old = demos.publish(store, run)
    new = demos.renew_key(store, demo.id)
    assert store.demo(demo.id).key == hashed(new) and not store.demo(demo.id).opens(old)


def test_no_photo_becomes_public_unless_it_was_asked_for(store, run):
    demo, _ = demos.publish(store, run)
    assert demo.facts["examples"] == [] and [file.name for file in store.home.demo(demo.id).iterdir()] == ["model.onnx"]


def test_example_photos_are_small_copies_without_place_and_date(store, run):
    where = Image.Exif()
    where[0x8825] = {1: "N", 2: (48.0, 12.0, 3.0)}  # GPS
    for row in map(json.loads, (store.home.run(run.id) / "predictions_test.jsonl").read_text().splitlines()):
        Image.new("RGB", (1200, 900), "red").save(store.home.image(row["sha256"]), "JPEG", exif=where)
    demo, _ = demos.publish(store, run, examples=50)
    files = demos.examples(store.home, demo)
    assert len(files) == demos.EXAMPLES
    for file in files:
        image = Image.open(io.BytesIO(file.read_bytes()))
        assert max(image.size) == demos.SIDE and not image.getexif()


def test_what_is_too_long_is_refused_and_leaves_nothing(store, run):
    for words in ({"title": "x" * 121}, {"description": "x" * 2001}):
        with pytest.raises(BadInput) as error:
            demos.publish(store, run, **words)
        assert error.value.code == "text_too_long"
    assert store.demos() == []
    assert not (store.home.root / "demos").exists()


def test_a_run_without_a_model_cannot_be_published(store):
    stories.dataset(store)
    with pytest.raises(NotFound):
        demos.publish(store, stories.running(store))


def test_looks_and_answers_are_counted(store, run):
    demo, _ = demos.publish(store, run)
    store.count_demo(demo.id, views=1)
    store.count_demo(demo.id, views=1, answers=5)
    assert (store.demo(demo.id).views, store.demo(demo.id).answers) == (2, 5)
