"""What a model finds alike, on coloured squares: known neighbours, a map with three islands, and what happens when photos go."""

from __future__ import annotations

import asyncio
import csv
import io
import shutil
from dataclasses import replace

import numpy as np
import pytest
from drawn_colours import COLOURS, draw, drawn
from events_of import ended, of
from PIL import Image
from starlette.applications import Starlette
from starlette.testclient import TestClient

from transfer_core.activations import Shelf
from transfer_core.datasets.manifest import Image as Photo
from transfer_core.datasets.manifest import Manifest
from transfer_core.errors import NotFound
from transfer_core.events import Progressed
from transfer_core.http import files
from transfer_core.http.people import Door
from transfer_core.jobs import similar as job_of
from transfer_core.jobs.tasks import TASKS, StopAsked
from transfer_core.measured import predictions
from transfer_core.paths import Home
from transfer_core.recipe import Recipe
from transfer_core.store import Store
from transfer_core.training import fit as fitting
from transfer_core.training.finish import finish
from transfer_core.training.fit import fit
from transfer_core.training.listening import listening
from transfer_core.training.models import features_and_logits, load_run
from transfer_core.training.pipeline import ImageInputs
from transfer_core.training.prefix.answers import StoredAnswers
from transfer_core.training.similar import arranging, mapping, near, nearest, photo_map
from transfer_core.training.similar import features as looking
from transfer_core.training.similar.arranging import arrange, trustworthiness
from transfer_core.training.similar.features import Eye
from transfer_core.words import Message, message

HEADS = [("resnet", {}), ("hidden", {"head": "hidden", "head_width": 16}), ("flatten", {"head": "flatten"}),
         ("two classifiers", {"model": "deit_tiny_distilled_patch16_224", "image_size": None})]


@pytest.fixture(scope="module")
def learned(tmp_path_factory):
    """A home with a tiny trained model that can tell the colours apart; made once, for a busy machine takes a minute."""
    home = Home(tmp_path_factory.mktemp("learned"))
    recipe = Recipe(dataset="colours", model="test_resnet", weights="scratch", freeze=0, epochs=6, batch_size=6, image_size=32,
                    augmentation="none", learning_rate=1e-2, backbone_factor=1.0, patience=0)
    list(fit(recipe, drawn(home), home, home.run("train-1"), device="cpu"))
    return home.root


@pytest.fixture
def run(learned, manifest, home):
    """The folder of that model, in a home of its own."""
    shutil.copytree(learned, home.root, dirs_exist_ok=True)
    return home.run("train-1")


@pytest.fixture
def asked(monkeypatch) -> list[int]:
    """How many images a model was asked about, chunk by chunk."""
    counts: list[int] = []
    real = Eye._asked
    monkeypatch.setattr(Eye, "_asked", lambda self, images, *more: (counts.append(len(images)), real(self, images, *more))[1])
    return counts


def file_of(home, label: str, number: int, side: int = 40):
    return home.image(draw(home, label, number, "test", side).sha256)


# Nearest


@pytest.mark.parametrize("label", COLOURS)
def test_the_nearest_of_a_colour_are_of_that_colour(run, manifest, home, label):
    _, found = ended(nearest(run, manifest, home, [file_of(home, label, 900)], k=6))
    (photo,) = found["photos"]
    assert [each["label"] for each in photo["near"]] == [label] * 6 and photo["label"] == label
    likeness = [each["similarity"] for each in photo["near"]]
    assert likeness == sorted(likeness, reverse=True) and likeness[0] > 0.9
    assert (found["looked_at"], found["of"]) == (24, 24)
    known = {image.sha256: image for image in manifest.of("train")}
    assert all(known[each["sha256"]].file == each["file"] for each in photo["near"]), "training photos only"


def test_a_training_photo_is_nearest_to_itself_and_equal_files_are_named_once(run, manifest, home):
    mine = manifest.of("train")[5]
    twice = Manifest.of_images("colours", 1, [*manifest.images, replace(mine, file="again.png")])
    _, found = ended(nearest(run, twice, home, [home.image(mine.sha256)], k=24))
    first, *others = found["photos"][0]["near"]
    assert first["sha256"] == mine.sha256 and first["similarity"] == pytest.approx(1, abs=1e-4)
    assert len({each["sha256"] for each in others}) == len(others) == 23


@pytest.mark.parametrize(("asked_for", "given"), [(-3, 1), (0, 1), (1, 1), (7, 7), (10_000, 24)])
def test_k_stays_within_its_bounds(run, manifest, home, asked_for, given):
    _, found = ended(nearest(run, manifest, home, [file_of(home, "red", 900)], k=asked_for))
    assert len(found["photos"][0]["near"]) == given


def test_a_bad_photo_is_an_answer_of_its_own(run, manifest, home, tmp_path):
    (tmp_path / "bad.png").write_bytes(b"no picture")
    photos = [tmp_path / "bad.png", NotFound("no_file", file="x"), file_of(home, "red", 900)]
    _, found = ended(nearest(run, manifest, home, photos))
    assert ["error" in photo for photo in found["photos"]] == [True, True, False]
    assert Message(**found["photos"][1]["error"]).key == "errors.no_file.text"


# How usual


def test_how_usual_a_likeness_is_was_worked_out_by_hand():
    """Ten held photos at known angles to two learned ones: their cosines are known, one's own group left out."""
    angles = np.deg2rad([0, 10, 20, 30, 40, 50])
    held = np.stack([np.cos(angles), np.sin(angles)], 1).astype(np.float32)
    learned = np.array([[1, 0], [0, 1]], np.float32)
    image = drawn_image
    train = [image(group=1), image(group=2)]
    measured = [image(group=1), *(image(group=10 + number) for number in range(5))]
    found = near._to_nearest(held, measured, learned, train)
    expected = sorted([np.cos(np.deg2rad(90)), *np.cos(np.deg2rad([10, 20, 30, 40, 40]))])  # the first may not take its own
    assert found == pytest.approx(expected, abs=1e-6)


def drawn_image(group: int) -> Photo:
    return Photo("0" * 64, f"{group}.png", "red", "train", group, 8, 8)


@pytest.mark.parametrize(("n", "similarity", "closer", "unlike"), [
    (19, 0.0, None, None),  # too few: nothing is said
    (20, 0.005, 20, True), (20, 0.05, 19, False),
    (200, 0.005, 200, True), (200, 0.0101, 199, True), (200, 0.0151, 198, False), (200, 0.9901, 3, False)])
def test_a_photo_is_unlike_all_when_hardly_any_is_as_far_away(n, similarity, closer, unlike):
    usual = np.arange(1, n + 1) / n if n != 200 else np.arange(2, n + 2) / n
    told = near._usual(similarity, usual if n >= near.FEW else np.zeros(0), "validation")
    assert told is None if closer is None else (told["n"], told["closer"], told["unlike"]) == (n, closer, unlike)


def test_what_is_unlike_all_it_learned_is_told_apart_from_what_is_not(run, home):
    """Reds and greens are learned; validation photos of both are usual, a blue chequered board is not."""
    manifest = drawn(home, train=12, validation=10)
    board = np.zeros((40, 40, 3), np.uint8)
    board[::2] = 255
    strange = home.root / "board.png"
    Image.fromarray(board).save(strange)
    _, found = ended(nearest(run, manifest, home, [strange, file_of(home, "red", 900), file_of(home, "green", 901)]))
    usual = [photo["usual"] for photo in found["photos"]]
    assert [each["unlike"] for each in usual] == [True, False, False]
    assert all((each["split"], each["n"]) == ("validation", 30) for each in usual)


def test_with_few_validation_photos_training_photos_are_held_against_those_of_other_groups(run, manifest, home):
    _, found = ended(nearest(run, manifest, home, [file_of(home, "red", 900)]))
    assert (found["photos"][0]["usual"]["split"], found["photos"][0]["usual"]["n"]) == ("train", 24)
    small = Manifest.of_images("colours", 1, [image for image in manifest.images if image.label == "red"])
    _, found = ended(nearest(run, small, home, [file_of(home, "red", 900)]))
    assert found["photos"][0]["usual"] is None


# Features


@pytest.mark.parametrize(("name", "settings"), HEADS, ids=[name for name, _ in HEADS])
def test_features_are_what_goes_into_the_classifier(recipe, manifest, home, name, settings):
    if name == "two classifiers":
        manifest = Manifest.of_images("colours", 1, manifest.images[::6])
    out = home.run("train-3")
    list(fit(recipe.but(epochs=1, **settings), manifest, home, out, device="cpu"))
    eye = Eye(out, home, "cpu")
    images = list(manifest.images)[:5]
    _, (features, probabilities) = ended(eye.see(images))
    model, classes, how = load_run(out)
    inputs = ImageInputs.of(images, classes, home, how)
    for place in range(len(images)):
        given, logits = features_and_logits(model, inputs_of(inputs, place))
        expected = np.concatenate([each[0].detach().numpy().reshape(each.shape[1], -1).mean(1) if each.ndim > 2
                                   else each[0].detach().numpy() for each in given])
        assert features[place] == pytest.approx(expected / np.linalg.norm(expected), abs=1e-5)
        assert probabilities[place] == pytest.approx(logits.softmax(1)[0].detach().numpy(), abs=1e-5)


def inputs_of(inputs: ImageInputs, place: int):
    import torch

    return torch.from_numpy(inputs.plain(place))[None]


def test_features_with_and_without_stored_activations_agree(recipe, manifest, home, monkeypatch):
    out = home.run("train-4")
    list(fit(recipe.but(freeze=3), manifest, home, out, device="cpu"))
    stored = []
    real = StoredAnswers.logits

    def logits(self, inputs):
        found = yield from real(self, inputs)
        stored.append(found is not None)
        return found

    monkeypatch.setattr(StoredAnswers, "logits", logits)
    _, short = ended(Eye(out, home, "cpu").see(manifest.images))
    assert stored == [True]
    (out / "cache.json").unlink()
    Shelf(home).clear()
    _, long = ended(Eye(out, home, "cpu").see(manifest.images))
    assert stored == [True, False]
    for one, other in zip(short, long, strict=True):
        assert np.abs(one - other).max() < 1e-4 and one.shape == other.shape
    assert np.ptp(long[0], axis=0).max() > 1e-3, "they differ from photo to photo"


def test_the_second_question_asks_the_model_nothing_and_new_photos_alone_are_looked_at(run, manifest, home, asked):
    photo = file_of(home, "red", 900)
    _, first = ended(nearest(run, manifest, home, [photo]))
    assert asked == [24]
    _, second = ended(nearest(run, manifest, home, [photo]))
    assert asked == [24] and second == first
    ended(photo_map(run, manifest, home))
    assert asked == [24, 12], "a map needs the validation photos, too"


def test_what_a_resumed_run_sees_is_computed_anew(recipe, manifest, home, asked):
    out = home.run("train-5")
    list(fit(recipe.but(epochs=1), manifest, home, out, device="cpu"))
    _, (before, _) = ended(Eye(out, home, "cpu").see(manifest.images))
    list(fit(recipe.but(epochs=4, learning_rate=1e-2), manifest, home, out, device="cpu"))
    _, (after, _) = ended(Eye(out, home, "cpu").see(manifest.images))
    assert asked == [36, 36] and np.abs(before - after).max() > 1e-3


def test_stopping_keeps_what_was_seen(run, manifest, home, asked, monkeypatch):
    monkeypatch.setattr(looking, "_CHUNK", 10)
    work = photo_map(run, manifest, home)
    for event in work:
        if isinstance(event, Progressed) and event.stage == "seeing" and event.done >= 150:  # in the second of four chunks
            break
    work.close()
    assert asked == [10, 10]
    ended(photo_map(run, manifest, home))
    assert asked == [10, 10, 10, 10, 6], "the first ten were there"


def test_progress_goes_one_way(run, manifest, home, monkeypatch):
    monkeypatch.setattr(looking, "_CHUNK", 10)
    events, _ = ended(photo_map(run, manifest, home))
    seen = [event for event in of(Progressed, events) if event.stage == "seeing"]
    done = [event.done for event in seen]
    assert done == sorted(done) and {event.total for event in seen} == {400} and len(seen) > 4
    assert of(Progressed, events)[-1].stage == "arranging"


@pytest.mark.parametrize("trouble", ["no room", "full disk"])
def test_without_disk_nothing_is_kept_and_it_goes_on(run, manifest, home, monkeypatch, trouble):
    _, expected = ended(Eye(run, home, "cpu").see(manifest.images))
    Shelf(home).clear()
    if trouble == "no room":
        monkeypatch.setenv("TRANSFER_STUDIO_CACHE_BYTES", "0")
    else:
        def full(*_):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr("transfer_core.activations.entry.Entry.append", full)
    _, found = ended(Eye(run, home, "cpu").see(manifest.images))
    for one, other in zip(found, expected, strict=True):
        assert one == pytest.approx(other, abs=1e-6)


def test_several_listen_and_nothing_is_left_behind(run, manifest, home):
    model, classes, how = load_run(run)
    inputs = ImageInputs.of(manifest.images[:3], classes, home, how)
    with listening(model) as one, listening(model) as other:
        for place in range(3):
            model(inputs_of(inputs, place))
        assert len(one(2)[0]) == 2 and (one(3)[0] == other(3)[0]).all()
    model(inputs_of(inputs, 0))
    assert len(one(9)[0]) == 3
    assert not any(module._forward_pre_hooks for module in model.modules())


# Deleted photos


def test_photos_that_are_gone_are_left_out(run, manifest, home):
    gone = [image for split in ("train", "validation") for image in manifest.of(split)[:2]]
    for image in gone:
        home.image(image.sha256).unlink()
    _, found = ended(nearest(run, manifest, home, [file_of(home, "red", 900)]))
    assert (found["looked_at"], found["of"]) == (22, 24)
    _, found = ended(photo_map(run, manifest, home))
    assert (found["shown"], found["of"]) == (32, 36)
    assert not {image.sha256 for image in gone} & {point["sha256"] for point in found["points"]}


def test_with_all_photos_gone_it_says_so(run, manifest, home):
    for image in manifest.images:
        home.image(image.sha256).unlink()
    with pytest.raises(NotFound, match="learned from"):
        ended(photo_map(run, manifest, home))
    with pytest.raises(NotFound, match="learned from"):
        ended(nearest(run, manifest, home, []))


# Map


def agreement(points, labels) -> float:
    """How often the label is that of most of a point's five nearest neighbours on the map."""
    places = np.array([(point["x"], point["y"]) for point in points])
    apart = ((places[:, None] - places[None]) ** 2).sum(-1)
    np.fill_diagonal(apart, np.inf)
    near_by = np.argsort(apart, axis=1)[:, :5]
    labels = np.array(labels)
    return float(np.mean([np.mean(labels[row] == label) > 0.5 for row, label in zip(near_by, labels, strict=True)]))


def test_a_map_puts_the_colours_apart(run, home):
    manifest = drawn(home, train=14, validation=6, test=5)
    _, found = ended(photo_map(run, manifest, home))
    labels = [point["label"] for point in found["points"]]
    assert found["method"] == "t-sne" and (found["shown"], found["of"]) == (75, 75) == (len(labels), 75)
    assert agreement(found["points"], labels) > 0.95
    shuffled = np.random.default_rng(0).permutation(labels)
    assert agreement(found["points"], shuffled) < 0.6
    assert found["trust"] > 0.75
    by_file = {image.file + image.split: image for image in manifest.images}
    for point in found["points"]:
        image = by_file[point["file"] + point["split"]]
        assert (point["sha256"], point["label"]) == (image.sha256, image.label)
        assert 0 <= point["x"] <= 1 and 0 <= point["y"] <= 1 and 1 / 3 <= point["probability"] <= 1
    assert found["wrong"] == sum(point["label"] != point["predicted"] for point in found["points"])


def test_a_map_says_what_was_measured(recipe, home):
    """Its answers are those of the Check page."""
    manifest = drawn(home, train=6, validation=4, test=4)
    out = home.run("train-6")
    list(fit(recipe.but(epochs=1), manifest, home, out, device="cpu"))
    list(finish(out, manifest, home, name="colours"))
    _, found = ended(photo_map(out, manifest, home))
    points = {point["sha256"]: point for point in found["points"]}
    for row in predictions(out, "test"):
        point = points[row["sha256"]]
        assert point["predicted"] == row["predicted"]
        assert point["probability"] == pytest.approx(max(row["probabilities"]), abs=1e-4)


def test_the_same_photos_give_the_same_map(run, manifest, home):
    maps = [ended(photo_map(run, manifest, home))[1]["points"] for _ in range(2)]
    assert maps[0] == maps[1]
    rows = np.random.default_rng(1).normal(size=(60, 8))
    assert np.array_equal(arrange(rows).places, arrange(rows.copy()).places)


@pytest.mark.parametrize("count", [1, 2, 3, 9, 10, 11])
def test_a_map_of_few_photos(run, manifest, home, count):
    some = Manifest.of_images("colours", 1, manifest.images[:count])
    _, found = ended(photo_map(run, some, home))
    places = np.array([(point["x"], point["y"]) for point in found["points"]])
    assert len(places) == count and np.isfinite(places).all() and found["method"] == ("pca" if count < 10 else "t-sne")
    assert (places >= 0).all() and (places <= 1).all() and (found["trust"] is None) == (count < 4)
    if count == 1:
        assert places.tolist() == [[0.5, 0.5]]
    else:
        assert np.ptp(places, axis=0).max() == pytest.approx(1, abs=1e-4), "it fills the square"


@pytest.mark.parametrize("count", [2, 9, 10, 40])
def test_photos_that_are_all_the_same_lie_in_one_place(count):
    found = arrange(np.ones((count, 7), np.float32) / 7**0.5)
    assert found.method == "pca" and (found.places == 0.5).all()


@pytest.mark.parametrize("label", ["red"])
def test_a_map_of_one_class_only(run, manifest, home, label):
    one = Manifest.of_images("colours", 1, [image for image in manifest.images if image.label == label])
    _, found = ended(photo_map(run, one, home))
    assert found["shown"] == 12 and found["classes"] == sorted(COLOURS)


def test_a_class_the_model_does_not_know_is_not_on_its_map(run, manifest, home):
    more = Manifest.of_images("colours", 1, [*manifest.images[:-1], replace(manifest.images[-1], label="pink")])
    _, found = ended(photo_map(run, more, home))
    assert (found["shown"], found["of"]) == (35, 36)


def test_of_many_photos_some_of_each_class_are_drawn(run, manifest, home, monkeypatch):
    monkeypatch.setattr(mapping, "MOST", 12)
    _, found = ended(photo_map(run, manifest, home))
    labels = [point["label"] for point in found["points"]]
    assert {label: labels.count(label) for label in COLOURS} == dict.fromkeys(COLOURS, 4) and found["of"] == 36


@pytest.mark.parametrize("count", [4, 9, 30, 700])
def test_trustworthiness_is_scikit_learns(count, monkeypatch):
    from sklearn.manifold import trustworthiness as theirs

    monkeypatch.setattr(arranging, "_ROWS", 64)
    chance = np.random.default_rng(count)
    features = chance.normal(size=(count, 12))
    k = min(10, (count - 1) // 2)
    for places in (features[:, :2], chance.normal(size=(count, 2))):
        assert trustworthiness(features, places) == pytest.approx(theirs(features, places, n_neighbors=k), abs=1e-9)


def test_trust_of_a_map_that_knows_nothing_is_a_half():
    chance = np.random.default_rng(3)
    assert trustworthiness(chance.normal(size=(800, 5)), chance.normal(size=(800, 2))) == pytest.approx(0.5, abs=0.05)
    plane = chance.normal(size=(800, 2))
    assert trustworthiness(plane, plane) == 1


def test_what_goes_wrong_while_arranging_is_told(run, manifest, home, monkeypatch):
    def broken(_):
        raise ValueError("no map today")

    monkeypatch.setattr(mapping, "arrange", broken)
    with pytest.raises(ValueError, match="no map today"):
        ended(photo_map(run, manifest, home))


def test_nobody_waits_for_the_arranging_of_a_map_that_was_stopped(run, manifest, home, monkeypatch):
    import threading

    release = threading.Event()
    monkeypatch.setattr(mapping, "arrange", lambda _: release.wait(30))
    work = photo_map(run, manifest, home)
    while next(work).stage != "arranging":
        pass
    work.close()
    assert not release.is_set()
    release.set()


# Jobs


@pytest.fixture
def kept(run, manifest, home, recipe):
    """A run in the store, with its dataset."""
    store = Store(home)
    summary = {"dataset": "colours", "version": 1, "classes": {}, "imported": 36,
               "split": {"train": 24, "validation": 12, "test": 0}}
    store.add_dataset("Colours", "colours", message("app.name"), summary)
    manifest.write(home)
    job = store.submit("train", {"recipe": recipe.model_dump() | {"version": 1}}, "cpu")
    home.run(job.id).rmdir()
    run.rename(home.root / "runs" / job.id)
    return store, job


def test_a_job_leaves_its_map_where_the_page_looks_for_it(kept):
    store, run = kept
    first, second = (store.submit("map", {"run": run.id}, "cpu") for _ in range(2))
    _, told = ended(TASKS["map"](first, store))
    store.end(first.id, "finished", told)
    assert set(told) == {"method", "trust", "shown", "of", "wrong", "seconds", "version"} and told["shown"] == 36
    client = TestClient(Starlette(routes=files.routes(Door(store), asyncio.Semaphore(1))), raise_server_exceptions=False)
    found = client.get(f"/maps/{first.id}.json").json()
    assert len(found["points"]) == 36 and found["classes"] == sorted(COLOURS)
    store.end(second.id, "finished", ended(TASKS["map"](second, store))[1])
    assert client.get(f"/maps/{second.id}.json").status_code == 200
    assert client.get(f"/maps/{first.id}.json").status_code == 404, "the older one of the same run went"


@pytest.mark.parametrize("place", ["{other}", "nobody", "..%2f..%2fstudio", "..", "{made}%2f..%2f{other}", "{made}%00", "{live}"])
def test_nothing_but_maps_comes_out(kept, place):
    store, run = kept
    made, other, live = (store.submit(kind, {"run": run.id}, "cpu") for kind in ("map", "nearest", "map"))
    for job in (made, other):
        job_of.map_file(store.home, job.id).write_text("{}")
    client = TestClient(Starlette(routes=files.routes(Door(store), asyncio.Semaphore(1))), raise_server_exceptions=False)
    assert client.get(f"/maps/{place.format(made=made.id, other=other.id, live=live.id)}.json").status_code == 404


@pytest.mark.parametrize("photo", [
    {}, None, "x", {"sha256": "../../studio.db"}, {"upload": "..", "number": 1}, {"upload": "0" * 32, "number": "../1"},
    {"sha256": ["a"]}, {"upload": "0" * 32, "number": True}, {"file": "/etc/passwd"}])
def test_a_hostile_photo_becomes_no_path(kept, photo):
    store, run = kept
    job = store.submit("nearest", {"run": run.id, "photos": [photo], "k": "../6"}, "cpu")
    _, told = ended(TASKS["nearest"](job, store))
    assert Message(**told["photos"][0]["error"]).key == "errors.no_file.text"


@pytest.mark.parametrize("run_id", ["../../x", "nobody", ""])
def test_a_hostile_run_becomes_no_path(home, run_id):
    store = Store(home)
    for kind in ("map", "nearest"):
        with pytest.raises(NotFound):
            ended(TASKS[kind](store.submit(kind, {"run": run_id, "photos": []}, "cpu"), store))
    assert not list(home.root.glob("runs/*"))


def test_a_dataset_that_never_was_here_is_named(kept, recipe):
    store, _ = kept
    job = store.submit("train", {"recipe": recipe.but(dataset="elsewhere").model_dump()}, "cpu")
    with pytest.raises(NotFound, match="elsewhere"):
        ended(TASKS["map"](store.submit("map", {"run": job.id}, "cpu"), store))


def test_an_upload_and_a_datasets_photo_are_compared(kept, manifest):
    store, run = kept
    upload = store.home.uploads / ("0" * 32)
    upload.mkdir()
    (upload / "3").write_bytes(file_of(store.home, "green", 950).read_bytes())
    photos = [{"upload": "0" * 32, "number": 3}, {"sha256": manifest.of("train")[0].sha256}]
    job = store.submit("nearest", {"run": run.id, "photos": photos, "k": 2}, "cpu")
    _, told = ended(TASKS["nearest"](job, store))
    assert [[each["label"] for each in photo["near"]] for photo in told["photos"]] == [["green"] * 2, ["blue"] * 2]


def test_a_stopped_map_leaves_no_file(kept):
    store, run = kept
    job = store.submit("map", {"run": run.id}, "cpu")
    work = TASKS["map"](job, store)
    next(work)
    with pytest.raises(StopAsked):
        work.throw(StopAsked("discard"))
    assert not job_of.map_file(store.home, job.id).exists()


def test_a_table_runs_nothing_in_a_spreadsheet():
    point = {"x": 0.1, "y": 0.2, "label": "=1+1", "predicted": "猫,|", "probability": 0.5, "split": "test", "sha256": "0" * 64,
             "file": '@a"\n.png'}
    head, row = csv.reader(io.StringIO(job_of.table_of({"points": [point]})))
    assert dict(zip(head, row, strict=True)) == {name: str(value) for name, value in point.items()} | {
        "label": "'=1+1", "file": "'@a\"\n.png"}


def test_the_device_is_the_jobs(kept, monkeypatch):
    """A worker for the processor does not take the graphics card."""
    store, run = kept
    seen = []
    monkeypatch.setattr(looking, "choose_device", lambda device: (seen.append(device), fitting.choose_device(device))[1])
    ended(TASKS["map"](store.submit("map", {"run": run.id}, "cpu"), store))
    assert seen == ["cpu"]
