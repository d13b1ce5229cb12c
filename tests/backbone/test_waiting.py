"""When a job that waits is likely to start: from what runs, what stands before it, and what this machine was measured at."""

from __future__ import annotations

import json

import pytest

from transfer_core.events import Epoch, Finished, Folded, Losses
from transfer_core.jobs import waiting
from transfer_core.recipe import DEFAULT_MODEL, Recipe
from transfer_core.store.queue import IO
from transfer_core.words import message

LOSS = Losses(total=1.0, target=1.0)


@pytest.fixture
def dataset(store) -> str:
    store.add_dataset("Hats", "hats-1", message("app.name"), {"classes": {"cap": 60, "top": 60}, "split": {"train": 84}})
    return "hats-1"


@pytest.fixture
def measured(store):
    store.home.root.joinpath("speed.json").write_text(json.dumps(
        {"device": "cpu", "decode_seconds": 0.01, "models": {DEFAULT_MODEL: {"images_per_second": 20.0, "backward": 2.0}}}))


def training(store, dataset, device: str = "cpu", **settings):
    return store.submit("train", {"recipe": Recipe(dataset=dataset, **settings).model_dump()}, device)


def epoch(number: int, left: float) -> Epoch:
    return Epoch(epoch=number, step=number, train=LOSS, train_accuracy=1.0, validation=LOSS, validation_accuracy=1.0,
                 confusion=[[1]], best=True, seconds=30.0, seconds_left=left)


def runs(store, job, pid: int = 1):
    assert store.claim(job.id, pid)
    return store.everyone().job(job.id)


def test_behind_a_running_training_it_starts_when_that_one_is_done(store, dataset):
    first = runs(store, training(store, dataset))
    second = training(store, dataset)
    assert waiting.place(store, second).starts_in is None, "nobody knows: nothing was measured and no epoch is through"
    store.append(first.id, epoch(4, left=180.0))
    one, other = waiting.places(store)
    assert (one.job.id, one.ahead, one.starts_in, one.share) == (first.id, 0, 0.0, 0.4)
    assert (other.job.id, other.ahead, other.starts_in) == (second.id, 1, 180.0 + waiting.ENDING)
    store.append(first.id, Finished(best_epoch=4, seconds=1.0))
    assert waiting.place(store, second).starts_in == waiting.ENDING


def test_those_that_wait_before_it_count_with_their_forecasts(store, dataset, measured):
    first = runs(store, training(store, dataset))
    store.append(first.id, epoch(5, left=100.0))
    second, third = training(store, dataset, epochs=20), training(store, dataset)
    forecast = waiting.forecast(store, second)
    assert forecast > 0
    assert waiting.place(store, second).starts_in == pytest.approx(100 + waiting.ENDING)
    assert waiting.place(store, third).starts_in == pytest.approx(100 + waiting.ENDING + forecast)


def test_one_unknown_before_it_makes_it_unknown(store, dataset, measured):
    first = runs(store, training(store, dataset))
    store.append(first.id, epoch(5, left=100.0))
    store.submit("blend", {"run": "x"}, "cpu")
    assert waiting.place(store, training(store, dataset)).starts_in is None


def test_a_short_job_holds_up_no_long_one(store, dataset, measured):
    store.submit("export", {"run": "x", "format": "onnx"}, "cpu")
    assert waiting.place(store, training(store, dataset)).starts_in == 0.0


def test_the_order_is_the_stores_with_turns_and_lanes(store, dataset, measured):
    def owned(owner: str, **settings):
        return store.of(owner).submit("train", {"recipe": Recipe(dataset=dataset, **settings).model_dump()}, "cpu")

    first = runs(store, owned("ada"))
    store.append(first.id, epoch(5, left=100.0))
    second, third = owned("ada"), owned("eve", epochs=30)
    others = [store.submit(kind, {}, device) for kind, device in [
        ("explain", "cpu"), ("measure", "cpu"), ("import", IO), ("import", IO), ("guess", "cpu"), ("explain", "cpu")]]
    store.ask_stop(others[-1].id, "discard")
    found = waiting.places(store)
    ours = [each.job.id for each in found if each.job.id in (first.id, second.id, third.id)]
    assert ours == [first.id, third.id, second.id]  # whose turn it is
    assert {each.job.id: each.ahead for each in found} == {each.job.id: store.ahead(each.job) for each in found}
    later = waiting.place(store, second).starts_in - waiting.place(store, third).starts_in
    assert later == pytest.approx(waiting.forecast(store, third))


def test_other_devices_do_not_matter_and_the_first_starts_at_once(store, dataset):
    runs(store, training(store, dataset, "cuda:0"))
    assert waiting.place(store, training(store, dataset)).starts_in == 0.0


def test_what_gives_way_holds_nobody_up_for_long(store, dataset):
    runs(store, store.submit("measure", {"models": []}, "cpu"))
    assert waiting.place(store, training(store, dataset)).starts_in == waiting.GIVING_WAY


def test_a_cross_validation_goes_by_its_own_pace(store, dataset):
    payload = {"recipe": Recipe(dataset=dataset).model_dump(), "folds": 4, "repeats": 1}
    job = runs(store, store.submit("crossvalidate", payload, "cpu"))
    assert waiting.still_needs(store, job) is None
    store.append(job.id, Folded(repeat=0, fold=0, n=1, correct=1, accuracy=1.0))
    assert waiting.still_needs(store, job, now=job.started + 20) == pytest.approx(60)


def test_what_takes_longer_than_was_thought_is_unknown(store, dataset, measured):
    job = runs(store, training(store, dataset))
    whole = waiting.forecast(store, job)
    assert waiting.still_needs(store, job, now=job.started + whole / 4) == pytest.approx(0.75 * whole)
    assert waiting.still_needs(store, job, now=job.started + 2 * whole) is None


def test_a_time_limit_limits_the_forecast(store, dataset, measured):
    job = training(store, dataset, freeze=0, epochs=1000, minutes=2)
    assert 120 <= waiting.forecast(store, job) <= 150


def test_a_job_that_has_ended_has_no_place_and_a_lost_dataset_no_forecast(store, dataset, measured):
    job = training(store, "gone-1")
    assert waiting.forecast(store, job) is None
    store.ask_stop(job.id)
    assert waiting.place(store, job) is None and waiting.places(store) == []
