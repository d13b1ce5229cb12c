"""The map of photos and the nearest training photos, without a browser: asked once, waited for, shown, put right."""

from __future__ import annotations

import json

import pytest
import stories
from photos import dataset
from test_heatmaps import html

from pages.shared.components import atlas as component
from pages.shared.evaluate import atlas
from transfer_core.datasets import move_images
from transfer_core.datasets.manifest import Manifest
from transfer_core.events import Failed
from transfer_core.jobs.similar import map_file
from transfer_core.paths import write_json
from transfer_core.prediction_batch import PredictionBatch
from transfer_core.store import Job, Store
from transfer_core.words import languages, message, say

TOLD = {"method": "t-sne", "trust": 0.97, "shown": 24, "of": 24, "wrong": 3, "seconds": 1.0, "version": 1}
NEAR = {"label": "<b>blue</b>", "probability": 0.9, "usual": {"split": "validation", "n": 40, "closer": 12, "median": 0.8,
                                                               "unlike": False},
        "near": [{"sha256": f"{number}" * 64, "file": f"a/{number}.png", "label": label, "similarity": 0.9 - number / 100}
                 for number, label in enumerate(["<b>blue</b>", "<b>blue</b>", "red"])]}


@pytest.fixture
def run(store, tmp_path) -> Job:
    """A finished training of a dataset of real files."""
    made = dataset(store, tmp_path / "photos", {"oak |x|": 14, "<i>maple": 10})
    return stories.ended(store, stories.running(store, dataset=made.id, version=1))


def mapped(store: Store, run: Job, told: dict | None = None) -> Job:
    """A map as its worker leaves it: the first three photos are answered wrongly."""
    images = Manifest.read(store.home, run.payload["recipe"]["dataset"], 1).images
    other = {"oak |x|": "<i>maple", "<i>maple": "oak |x|"}
    points = [{"x": number / 24, "y": 0.5, "label": image.label, "predicted": other[image.label] if number < 3 else image.label,
               "probability": 0.8, "split": image.split, "sha256": image.sha256, "file": image.file}
              for number, image in enumerate(images)]
    job = stories.begun(store, "map", {"run": run.id})
    write_json(map_file(store.home, job.id), {"classes": sorted(other), "points": points, **(told or TOLD)})
    store.end(job.id, "finished", told or TOLD)
    return store.job(job.id)


def texts(app) -> str:
    return "\n".join(str(element.value) for element in (*app.markdown, *app.caption, *app.warning))


def keys(app) -> set[str]:
    return {button.key for button in app.button}


def parts(app, name: str) -> list[dict]:
    """What the components of a name are given."""
    return [json.loads(element.proto.json) for element in app.get("bidi_component") if element.proto.component_name == name]


@pytest.fixture
def select(monkeypatch):
    """As if these places had been drawn around."""
    real = atlas.atlas

    def of(*places):
        monkeypatch.setattr(atlas, "atlas", lambda *given, **more: (real(*given, **more), list(places))[1])

    return of


@pytest.mark.parametrize("language", languages())
def test_a_map_is_asked_for_once_and_waited_for(visit, store, run, language):
    app = visit("evaluate", run=run.id, lang=language)
    assert not app.exception and say("map.text", language) in texts(app)
    app.button(key="draw-map").click().run()
    assert [job.payload for job in store.jobs("map")] == [{"run": run.id}]
    assert app.button(key="map-stop") and not app.exception and "draw-map" not in keys(app)
    app.run()
    assert len(store.jobs("map")) == 1
    app.button(key="map-stop").click().run()
    assert store.jobs("map")[0].state == "stopped"
    assert "draw-map" in keys(visit("evaluate", run=run.id))


@pytest.mark.parametrize("language", languages())
def test_a_map_is_shown_with_what_it_means(visit, store, run, language):
    job = mapped(store, run)
    app = visit("evaluate", run=run.id, lang=language)
    assert not app.exception and say("map.good", language, percent="97") in texts(app)
    (given,) = parts(app, "studio_atlas")
    assert given["address"] == f"/maps/{job.id}.json" and "oak |x| 14" in given["alt"] and "3" in given["alt"]
    assert set(given["words"]) >= {f"split_{split}" for split in ("train", "validation", "test")}
    counts = next(frame.value for frame in app.dataframe if say("map.wrong_count", language) in frame.value)
    assert counts[say("map.wrong_count", language)].sum() == 3
    assert counts.drop(columns=[say("map.truth", language), say("map.wrong_count", language)]).to_numpy().sum() == 24
    assert not parts(app, "studio_gallery") and "draw-map" not in keys(app)


@pytest.mark.parametrize(("changes", "key", "values"), [
    ({"trust": 0.95}, "good", {"percent": "95"}), ({"trust": 0.949}, "fair", {"percent": "95"}),
    ({"trust": 0.85}, "fair", {"percent": "85"}), ({"trust": 0.6}, "poor", {"percent": "60"}), ({"trust": None}, "few", {}),
    ({"method": "pca"}, "few", {})])
def test_how_far_it_can_be_trusted_is_said(visit, store, run, changes, key, values):
    mapped(store, run, TOLD | changes | {"of": 5000})
    app = visit("evaluate", run=run.id)
    assert say(f"map.{key}", **values) in texts(app) and say("map.some", shown="24", of="5,000") in texts(app)


def test_a_map_of_other_weights_or_without_its_file_is_asked_for_anew(visit, store, run):
    job = mapped(store, run)
    map_file(store.home, job.id).unlink()
    assert "draw-map" in keys(visit("evaluate", run=run.id))
    job = mapped(store, run)
    assert "draw-map" not in keys(visit("evaluate", run=run.id))
    store.requeue(run.id)
    stories.ended(store, run)
    assert "draw-map" in keys(visit("evaluate", run=run.id)), "the run was resumed since"


def test_a_map_that_failed_says_why(visit, store, run):
    job = stories.begun(store, "map", {"run": run.id})
    store.append(job.id, Failed(message=message("errors.no_training_photos.text")))
    store.end(job.id, "failed")
    app = visit("evaluate", run=run.id)
    assert any(say("errors.no_training_photos.text")[:20] in each.value for each in app.error) and "draw-map" in keys(app)


@pytest.mark.parametrize("language", languages())
def test_selected_photos_are_shown_as_they_are_now(visit, store, run, select, language):
    mapped(store, run)
    images = Manifest.read(store.home, run.payload["recipe"]["dataset"], 1).images
    move_images(store, run.payload["recipe"]["dataset"], [images[5].file], "oak |x|")
    select(0, 5, 23, 99, -1)
    app = visit("evaluate", run=run.id, lang=language)
    (given,) = parts(app, "studio_gallery")
    assert not app.exception and [item["id"] for item in given["items"]] == [images[place].file for place in (0, 5, 23)]
    assert given["classes"] == ["<i>maple", "oak |x|"] and not given["can_keep"]
    assert given["items"][0]["note"] == say("map.wrong_note", language, label="<i>maple", predicted="oak |x|")
    table = next(frame.value for frame in app.dataframe if say("map.file", language) in frame.value)
    assert len(table) == 3 and "<i>maple" in table[say("map.truth", language)].tolist()


@pytest.mark.parametrize("do", ["move", "delete"])
def test_what_is_put_right_makes_a_version_and_can_be_undone(visit, store, run, select, do, monkeypatch):
    mapped(store, run)
    dataset_id = run.payload["recipe"]["dataset"]
    images = Manifest.read(store.home, dataset_id, 1).images
    select(0, 1)
    asked = [{"do": do, "to": "oak |x|" if do == "move" else None, "ids": [images[0].file, images[1].file]}]
    monkeypatch.setattr(atlas, "gallery", lambda *_, **__: asked.pop() if asked else None)
    app = visit("evaluate", run=run.id)
    assert not app.exception and store.dataset(dataset_id).latest.version == 2
    now = Manifest.read(store.home, dataset_id, 2)
    assert [image.label for image in now.images[:2]] == ["oak |x|"] * 2 if do == "move" else len(now.images) == 22
    if do == "delete":
        assert say("map.gone_since", count=2) in texts(app)
    app.button(key="undo-edit").click().run()
    assert not app.exception and store.dataset(dataset_id).latest.version == 3
    assert {image.file: image.label for image in Manifest.read(store.home, dataset_id, 3).images} == {
        image.file: image.label for image in images}


def test_without_the_dataset_a_map_is_only_looked_at(visit, store, run, select):
    mapped(store, run)
    select(0, 1)
    store.delete_dataset(run.payload["recipe"]["dataset"])
    app = visit("evaluate", run=run.id)
    assert not app.exception and parts(app, "studio_atlas") and not parts(app, "studio_gallery")


@pytest.mark.parametrize(("told", "places"), [
    (None, []), ({"of": "/maps/a.json", "places": [3, 1]}, [3, 1]), ({"of": "/maps/b.json", "places": [3]}, []),
    ({"of": "/maps/a.json", "places": "all"}, []), ({"of": "/maps/a.json"}, []), ("x", []),
    ({"of": "/maps/a.json", "places": [1, "2", None, 2.5, True, 7]}, [1, 7]),
    ({"of": "/maps/a.json", "places": list(range(90_000))}, list(range(component.MOST)))])
def test_a_browser_is_not_believed(monkeypatch, told, places):
    class Result:
        chosen = told

    monkeypatch.setattr(component, "face", lambda *_: lambda **__: Result())
    assert component.atlas("/maps/a.json", "alt") == places


# Nearest


def ready(store: Store, run: Job, asked: dict, photo: dict, looked_at: int = 40) -> None:
    job = stories.begun(store, "nearest", asked)
    store.end(job.id, "finished", {"photos": [photo], "looked_at": looked_at, "of": 40})


@pytest.mark.parametrize("language", languages())
def test_a_tried_photo_is_compared_with_what_was_learned(visit, store, tmp_path, language):
    stories.dataset(store)
    run = stories.finished(store)
    upload = stories.upload(store, "a" * 32, {"x.png": stories.photo(tmp_path / "x.png", (200, 0, 0)).read_bytes()})
    PredictionBatch(store.home.uploads / upload, store.home.run(run.id) / "model.onnx").work()
    app = visit("predict", run=run.id, upload=upload, lang=language)
    app.button(key="tried-nearest").click().run()
    (job,) = store.jobs("nearest")
    assert job.payload == {"run": run.id, "photos": [{"upload": upload, "number": 0}], "k": 6} and not app.exception
    app.run()
    assert len(store.jobs("nearest")) == 1
    store.end(job.id, "finished", {"photos": [NEAR], "looked_at": 30, "of": 40})
    app = visit("predict", run=run.id, upload=upload, lang=language)
    assert not app.exception and "tried-nearest" not in keys(app)
    grid = next(body for body in html(app).split("\n") if "photos alike" in body)
    assert grid.count("<figure") == 3 and "<b>blue" not in grid.replace("<b>&lt;b&gt;blue", "")
    assert f'src="/thumbnails/{"1" * 64}.webp"' in grid and "0.89" in grid
    assert say("similar.agree", language, count=2, all=3, label="\\<b\\>blue\\</b\\>") in texts(app)
    assert say("similar.usual", language, closer=12, n=40) in texts(app)
    assert say("similar.part", language, looked="30", of="40") in texts(app)


@pytest.mark.parametrize("language", languages())
@pytest.mark.parametrize(("usual", "labels", "warned", "said"), [
    ({"n": 40, "closer": 40, "unlike": True}, ["red"] * 3, True, "none"),
    (None, ["<b>blue</b>"] * 3, False, "same")])
def test_a_mistake_is_compared_and_the_verdict_follows(visit, store, usual, labels, warned, said, language):
    stories.dataset(store)
    run = stories.finished(store)
    app = visit("evaluate", run=run.id, lang=language)
    app.button(key="mistake-0-nearest").click().run()
    (job,) = store.jobs("nearest")
    assert set(job.payload["photos"][0]) == {"sha256"} and not app.exception
    near = [image | {"label": label} for image, label in zip(NEAR["near"], labels, strict=True)]
    store.end(job.id, "finished", {"photos": [NEAR | {"near": near, "usual": usual}], "looked_at": 40, "of": 40})
    app = visit("evaluate", run=run.id, lang=language)
    warning = say("similar.unlike", language, closer=40, n=40)
    assert not app.exception and (warning in [each.value for each in app.warning]) == warned
    assert say(f"similar.{said}", language, label="\\<b\\>blue\\</b\\>") in texts(app)
    assert (say("similar.unknown", language) in texts(app)) == (usual is None)
    app.selectbox(key="mistake-chosen").select_index(1).run()
    assert "mistake-1-nearest" in keys(app) and not app.exception


def test_what_was_found_with_other_weights_or_of_a_bad_photo(visit, store):
    stories.dataset(store)
    run = stories.running(store)
    app = visit("evaluate", run=stories.finished(store).id)
    app.button(key="mistake-0-nearest").click().run()
    photos = store.jobs("nearest")[0].payload["photos"]
    ready(store, run, {"run": run.id, "photos": photos, "k": 6}, NEAR)
    stories.ended(store, run)
    assert "mistake-0-nearest" in keys(visit("evaluate", run=run.id))
    bad = {"error": message("errors.no_file.text", file="x_y").model_dump()}
    ready(store, run, {"run": run.id, "photos": photos, "k": 6}, bad)
    app = visit("evaluate", run=run.id)
    assert "x\\_y" in texts(app) and not app.exception
