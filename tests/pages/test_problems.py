"""Looking for problems, without a browser: asking, waiting, what was found, and what keeping, moving and deleting do to it."""

from __future__ import annotations

import json

import pytest
import stories
from photos import dataset

from pages.shared.data.problems import lists, score
from transfer_core.datasets import delete_images, keep_together, move_images
from transfer_core.datasets.kept import keep, kept
from transfer_core.datasets.manifest import Manifest
from transfer_core.store import Dataset, Store
from transfer_core.words import languages, message, say

SCORE = {"accuracy": 0.75, "low": 0.55, "high": 0.88, "correct": 18, "n": 24, "baseline": 0.58}


def found(store: Store, made: Dataset) -> dict:
    """As `check` gives it: two doubtful labels, a scene on both sides, an odd photo."""
    images = Manifest.read(store.home, made.id, 1).images
    rows = [{"sha256": image.sha256, "file": image.file, "label": image.label, "split": image.split} for image in images]
    other = {"oak": "maple", "maple": "oak"}
    sides = [next(row for row in rows[2:-1] if row["split"] == split) for split in ("train", "test")]
    scene = {"how": "scene", "size": 2, "labels": ["oak"], "images": sides}
    return {"images": 24, "looked_at": 24, "duplicates": {"groups": [scene], "count": 1},
            "leaks": [{"kind": "straddles", **scene, "files": [row["file"] for row in sides]},
                      {"kind": "left_out", **scene, "images": rows[5:7]}],
            "label_errors": [{**row, "suggested": other[row["label"]], "confidence": 0.04} for row in (rows[0], rows[-1])],
            "odd": [{**rows[1], "score": 4.2}], "quality": [], "notes": [message("problems.too_few").model_dump()],
            "scores": {"naive": SCORE | {"accuracy": 1.0, "low": 0.86, "high": 1.0}, "honest": SCORE | {"groups": 9}, "p": 0.01,
                       "gained": 6, "lost": 0, "differ": True},
            "counts": {"duplicates": 1, "leaks": 2, "label_errors": 2, "odd": 1, "quality": 0}, "seconds": 1.0}


def checked(store: Store, made: Dataset) -> dict:
    job = stories.begun(store, "check", {"dataset": made.id, "version": 1})
    store.end(job.id, "finished", found(store, made))
    return store.job(job.id).result


@pytest.fixture
def made(store, tmp_path) -> Dataset:
    return dataset(store, tmp_path / "photos", {"oak": 14, "maple": 10})


def shown(app) -> dict:
    """What the gallery of the problems is given."""
    galleries = [json.loads(element.proto.json) for element in app.get("bidi_component")
                 if element.proto.component_name == "studio_gallery"]
    return next((each for each in galleries if each["can_keep"]), {})


def texts(app) -> str:
    return "\n".join(str(element.value) for element in (*app.markdown, *app.caption, *app.warning, *app.success))


@pytest.mark.parametrize("language", languages())
def test_it_is_asked_for_once_and_waited_for(visit, store, made, language):
    app = visit("data", dataset=made.id, lang=language)
    assert not app.exception and say("problems.text", language) in texts(app)
    app.button(key="look-for-problems").click().run()
    assert [job.payload for job in store.jobs("check")] == [{"dataset": made.id, "version": 1}]
    assert app.button(key="problems-stop") and not app.exception


@pytest.mark.parametrize("language", languages())
def test_what_was_found_is_listed_by_kind(visit, store, made, language):
    checked(store, made)
    app = visit("data", dataset=made.id, lang=language)
    assert not app.exception
    assert say("problems.differ", language, n=24, groups=9, honest_accuracy="75", honest_low="55", honest_high="88",
               naive_accuracy="100") in texts(app)
    assert any(caption.value.startswith(say("problems.too_few", language)[:20]) for caption in app.caption)
    kinds = next(each for each in app.get("button_group") if each.key == "problem-kind")
    assert list(kinds.options) == [say(f"problems.{kind}", language, count=count) for kind, count in
                                   (("label_errors", 2), ("leaks", 2), ("duplicates", 2), ("odd", 1))], \
        "what the import left out is no leak any more"
    item = shown(app)["items"][0]
    assert item["note"] == say("problems.seems", language, label="maple", suggested="oak") and "4 %" in item["detail"]
    assert shown(app)["classes"] == ["oak", "maple"] or shown(app)["classes"] == ["maple", "oak"]


def test_what_was_kept_moved_or_deleted_is_not_listed_again(visit, store, made):
    result = checked(store, made)
    first, last = (entry["file"] for entry in result["label_errors"])
    keep(store.home, made.id, "label_errors", [f"{result['label_errors'][0]['sha256']} {result['label_errors'][0]['label']}"])
    assert [item["id"] for item in shown(visit("data", dataset=made.id))["items"]] == [last]
    move_images(store, made.id, [last], "oak" if result["label_errors"][1]["label"] == "maple" else "maple")
    delete_images(store, made.id, [entry["file"] for entry in result["odd"]])
    app = visit("data", dataset=made.id)
    assert not app.exception and say("problems.older", version=1) in texts(app)
    kinds = next(each for each in app.get("button_group") if each.key == "problem-kind")
    assert say("problems.duplicates", count=2) in kinds.options and first not in [item["id"] for item in shown(app)["items"]]


def test_a_chosen_confusion_stays_chosen_and_says_how_many_are_left(visit, store, made):
    """Three of one class and one of the other; one of the three is kept meanwhile, in another tab."""
    result = found(store, made)
    rows = result["label_errors"]
    more = [{**rows[0], "sha256": image.sha256, "file": image.file} for image in Manifest.read(store.home, made.id, 1).images
            if image.label == rows[0]["label"] and image.file != rows[0]["file"]][:2]
    job = stories.begun(store, "check", {"dataset": made.id, "version": 1})
    store.end(job.id, "finished", result | {"label_errors": [*rows, *more]})
    app = visit("data", dataset=made.id)
    chosen = f"{rows[0]['label']}\n{rows[0]['suggested']}"
    pairs = next(each for each in app.selectbox if each.label == say("problems.pairs"))
    assert say("problems.all_pairs", count=4) in pairs.options
    pairs.select(chosen).run()
    assert len(shown(app)["items"]) == 3
    keep(store.home, made.id, "label_errors", [f"{more[0]['sha256']} {more[0]['label']}"])
    app.run()
    pairs = next(each for each in app.selectbox if each.label == say("problems.pairs"))
    assert not app.exception and pairs.value == chosen and len(shown(app)["items"]) == 2
    assert say("problems.pair", label=rows[0]["label"], suggested=rows[0]["suggested"], count=2) in pairs.options


def test_an_image_that_gets_another_label_is_doubted_anew(store, made):
    keep(store.home, made.id, "odd", ["a oak"])
    keep(store.home, made.id, "odd", ["b oak"])
    assert kept(store.home, made.id, "odd") == {"a oak", "b oak"} and kept(store.home, made.id, "leaks") == set()
    with pytest.raises(ValueError, match="nonsense"):
        keep(store.home, made.id, "nonsense", ["a"])


def test_with_nothing_left_it_says_so(visit, store, made):
    result = checked(store, made)
    for kind, rows in (("label_errors", result["label_errors"]), ("odd", result["odd"]),
                       *((kind, result["leaks"][0]["images"]) for kind in ("leaks", "duplicates"))):
        keep(store.home, made.id, kind, [lists._mark(row) for row in rows])
    app = visit("data", dataset=made.id)
    assert say("problems.none") in texts(app) and not shown(app) and not app.exception


def test_fixes_since_a_training_are_counted(visit, store, made):
    """One photo got another label, one is gone: two. A training of the newest version has nothing to do again."""
    run = stories.ended(store, stories.running(store, dataset=made.id))
    images = Manifest.read(store.home, made.id, 1).images
    move_images(store, made.id, [images[0].file], "maple" if images[0].label == "oak" else "oak")
    delete_images(store, made.id, [images[1].file])
    assert score.fixes(store.dataset(made.id), run) == 2
    checked(store, made)
    app = visit("data", dataset=made.id)
    assert not app.exception
    assert say("problems.retrain", count=2) in [link.proto.label for link in app.get("page_link")]


@pytest.mark.parametrize("language", languages())
def test_a_divided_scene_is_put_on_one_side_and_can_be_divided_again(visit, store, made, language):
    result = checked(store, made)
    files = result["leaks"][0]["files"]
    keep(store.home, made.id, "label_errors", map(lists._mark, result["label_errors"]))  # what is shown first is then the leaks
    app = visit("data", dataset=made.id, lang=language)
    button = next(each for each in app.button if each.key == "keep-together")
    assert button.label == say("problems.together", language, count=1)
    button.click().run()
    assert not app.exception
    after = {image.file: image for image in Manifest.read(store.home, made.id, 2).images}
    assert len({after[file].split for file in files}) == len({after[file].group for file in files}) == 1
    assert store.version(made.id).change.values["count"] >= 1
    kinds = next(each for each in app.get("button_group") if each.key == "problem-kind")
    assert not [option for option in kinds.options if option == say("problems.leaks", language, count=2)]


def test_a_photo_that_changed_sides_is_a_fix(store, made):
    run = stories.ended(store, stories.running(store, dataset=made.id))
    images = Manifest.read(store.home, made.id, 1).images
    scene = [next(image.file for image in images if image.split == split) for split in ("train", "test")]
    keep_together(store, made.id, [scene])
    assert score.fixes(store.dataset(made.id), run) == store.version(made.id).change.values["count"] == 1
