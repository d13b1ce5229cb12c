"""A cross-validation that follows its training: when it goes without saying, once, and not after one thrown away."""

from __future__ import annotations

import json
import os

import pytest

from transfer_core.cli import main
from transfer_core.datasets.manifest import Image, Manifest
from transfer_core.jobs import StopAsked, beside
from transfer_core.jobs.run import run_job
from transfer_core.jobs.tasks import TASKS
from transfer_core.recipe import Recipe
from transfer_core.speeds import SPEED_FILE, to_stored
from transfer_core.words import has, message

FOUND = {"n": 40, "groups": 40, "accuracy": {"value": 0.9, "low": 0.77, "high": 0.96}, "spread": 0.05, "baseline": 0.5,
         "repeats": [0.9], "folds": [{"repeat": 0, "fold": fold, "n": 8, "accuracy": 0.9} for fold in range(5)], "first": {}}


def hats(store, each: int = 20, classes=("cap", "top")) -> Manifest:
    images = [Image(f"{label}{number}".ljust(64, "0"), f"{label}/{number}.png", label, "test" if number % 5 == 0 else "train",
                    1000 * place + number, 8, 8) for place, label in enumerate(classes) for number in range(each)]
    manifest = Manifest.of_images("hats-1", 1, images)
    manifest.write(store.home)
    return manifest


def speed(store, images_per_second: float) -> None:
    facts = {"tf_efficientnet_lite0": {"images_per_second": images_per_second, "backward": 2.0}}
    (store.home.root / SPEED_FILE).write_text(to_stored("cpu", 0.01, facts), "utf-8")


RECIPE = Recipe(dataset="hats-1")


def test_it_goes_without_saying_where_photos_are_few_and_it_is_soon_done(store):
    told = beside.offer(store.home, RECIPE, hats(store))
    assert (told.on, told.possible, told.why) == (True, True, None) and not told.cost.measured
    speed(store, 30)
    told = beside.offer(store.home, RECIPE, hats(store))
    assert told.on and told.cost.measured and 0 < told.cost.seconds < beside.LONGEST
    assert beside.usual(store.home, RECIPE) == {"folds": 5}
    assert beside.usual(store.home, RECIPE.but(dataset="gone")) == {}


@pytest.mark.parametrize(("each", "on"), [(249, True), (250, False)])
def test_from_500_photos_on_it_is_asked_for(store, each, on):
    told = beside.offer(store.home, RECIPE, hats(store, each))
    assert told.on is on and told.possible
    assert on or told.why == message("beside.many", count=500)


def test_what_takes_long_is_asked_for(store):
    speed(store, 0.5)
    told = beside.offer(store.home, RECIPE.but(freeze=0), hats(store))
    assert not told.on and told.possible and told.why.key == "beside.long" and told.cost.seconds > beside.LONGEST


def test_on_a_machine_that_was_not_measured_it_only_may_take_long(store):
    told = beside.offer(store.home, RECIPE.but(freeze=0, epochs=100), hats(store))
    assert not told.on and told.why.key == "beside.long_unmeasured"


def test_where_it_cannot_be_it_says_why(store):
    for recipe, manifest in ((RECIPE, hats(store, 4)), (RECIPE.but(weights="run", start_from="train-1"), hats(store)),
                             (RECIPE.but(source_loss="replay", source_dataset="caps"), hats(store))):
        told = beside.offer(store.home, recipe, manifest)
        assert (told.on, told.possible) == (False, False) and has(told.why.key)


# After its training

@pytest.fixture
def quick(monkeypatch):
    """A training without a training: what it writes, and whether somebody stops it."""
    def fit(recipe, manifest, home, out, **_):
        (out / "model.safetensors").write_bytes(b"weights")
        yield from (message_of() for _ in range(3))

    monkeypatch.setattr("transfer_core.training.fit.fit", fit)
    monkeypatch.setattr("transfer_core.training.finish.finish", lambda *_, **__: (message_of() for _ in range(1)))
    monkeypatch.setattr("transfer_core.jobs.tasks.write_history", lambda *_: None)


def message_of():
    from transfer_core.events import Progressed

    return Progressed(stage="training", done=0)


def begun(store, **payload):
    hats(store)
    return store.submit("train", {"recipe": RECIPE.model_dump(mode="json"), "name": "Hats", **payload}, "cpu")


def done(store, job) -> None:
    assert store.claim(job.id, os.getpid())
    assert run_job(store, store.job(job.id)) == "finished", (store.home.job(job.id) / "log.txt").read_text("utf-8")


def test_a_training_that_has_ended_is_followed_by_it_once(store, quick):
    job = begun(store, folds=5)
    done(store, job)
    (follower,) = store.jobs("crossvalidate")
    assert follower.state == "queued" and follower.device == "cpu"
    assert follower.payload == {"recipe": job.payload["recipe"], "folds": 5, "repeats": 1, "request": job.id}
    assert [run.id for run in store.jobs("train")] == [job.id], "it is no second run"
    # Its worker died after it had asked, and before it could say that the training has ended.
    store.end(job.id, "failed")
    store.requeue(job.id)
    store.ask_stop(follower.id, "discard")
    done(store, job)
    assert [each.id for each in store.jobs("crossvalidate")] == [follower.id]


def test_without_being_asked_for_it_does_not_follow(store, quick):
    done(store, begun(store))
    assert store.jobs("crossvalidate") == []


def test_what_was_tested_already_is_not_tested_again(store, quick):
    job = begun(store, folds=5)
    known = store.submit("crossvalidate", {"recipe": job.payload["recipe"], "folds": 5, "repeats": 3}, "gpu")
    store.end(known.id, "finished", FOUND)
    done(store, job)
    assert [each.id for each in store.jobs("crossvalidate")] == [known.id]


@pytest.mark.parametrize(("how", "followers"), [("keep", 1), ("discard", 0)])
def test_stopped_and_kept_it_is_followed_and_thrown_away_it_is_not(store, quick, how, followers):
    job = begun(store, folds=5)
    work = TASKS["train"](job, store)
    next(work)
    with pytest.raises((StopAsked, StopIteration)):
        work.throw(StopAsked(how))
        while True:
            next(work)
    assert len(store.jobs("crossvalidate")) == followers


def test_an_import_that_trains_by_itself_brings_it_along(store):
    job = store.submit("import", {"example": "leaves", "name": "Leaves", "images_per_class": 6, "then": "train"})
    store.claim(job.id, os.getpid())
    assert run_job(store, store.job(job.id)) == "finished", (store.home.job(job.id) / "log.txt").read_text("utf-8")
    (run,) = store.jobs("train")
    assert run.payload["folds"] == 5


# On the command line

@pytest.fixture
def ask(store, monkeypatch, capfd):
    monkeypatch.setenv("TRANSFER_STUDIO_LANGUAGE", "en")
    store.add_dataset("Hats", "hats-1", message("cli.imported"), {"classes": {"cap": 20, "top": 20}, "split": {"train": 32}})

    def command(*arguments: str) -> dict:
        with pytest.raises(SystemExit):
            main([*arguments, "--json"])
        return json.loads(capfd.readouterr().out)

    return command


@pytest.fixture
def folded(monkeypatch):
    def crossvalidate(job, store):
        yield message_of()
        return FOUND

    monkeypatch.setattr("transfer_core.jobs.crossvalidating.crossvalidate", crossvalidate)


def test_train_with_folds_does_both_here(store, quick, folded, ask):
    hats(store)
    answer = ask("train", "--dataset", "Hats", "--folds", "5", "--device", "cpu")
    (job,) = store.jobs("crossvalidate")
    assert answer["crossvalidation"] == {"job": job.id, "state": "finished", **FOUND} and job.payload["request"] == answer["run"]
    assert "crossvalidation" not in ask("train", "--dataset", "Hats", "--device", "cpu", "--seed", "1")
    assert len(store.jobs("crossvalidate")) == 1


def test_train_with_folds_that_cannot_be_trains_nothing(store, quick, ask):
    hats(store, 4)
    assert ask("train", "--dataset", "Hats", "--folds", "5", "--device", "cpu")["error"]["code"] == "too_few_to_fold"
    assert store.jobs() == []


def test_a_follower_that_fails_leaves_the_training_its_answer(store, quick, ask, monkeypatch):
    hats(store)

    def broken(job, store):
        yield message_of()
        raise OSError("gone")

    monkeypatch.setattr("transfer_core.jobs.crossvalidating.crossvalidate", broken)
    answer = ask("train", "--dataset", "Hats", "--folds", "5", "--device", "cpu")
    assert answer["state"] == "finished" and answer["crossvalidation"]["state"] == "failed"
