"""Trainings of a sweep or a cross-validation as jobs of their own: the same numbers, nothing trained twice, nothing left."""

from __future__ import annotations

import os
import threading
from typing import Any

import pytest
from drawn_colours import drawn

from transfer_core.cluster.state import Cluster, Node
from transfer_core.errors import TrainingFailed
from transfer_core.events import Failed, Folded, Swept
from transfer_core.jobs import TASKS, crossvalidating, spreading
from transfer_core.jobs import run as running
from transfer_core.jobs.run import run_job
from transfer_core.jobs.spreading import parts_of, spreads
from transfer_core.store import Job, Store
from transfer_core.store.queue import startable

ADDRESS = "10.0.0.1:6379"


@pytest.fixture
def store(home, monkeypatch) -> Store:
    monkeypatch.setattr(spreading, "LOOK", 0.05)
    monkeypatch.setattr(spreading, "EVERY", 0.05)
    monkeypatch.setattr(running, "BEAT", 0.05)
    monkeypatch.setattr(running, "FLUSH", 0.02)
    drawn(home, test=3).write(home)
    return Store(home)


@pytest.fixture
def roomy(store, monkeypatch):
    """A cluster with room for two trainings, on which nobody else works."""
    Cluster(ADDRESS, "ready").of([Node("n", "10.0.0.2", 2, 0)], 1).write(store.home)

    def switch(on: bool = True) -> None:
        monkeypatch.setenv("TRANSFER_STUDIO_RAY_ADDRESS", ADDRESS) if on else monkeypatch.delenv("TRANSFER_STUDIO_RAY_ADDRESS")

    switch()
    return switch


def submit(store: Store, recipe, kind: str) -> Job:
    base = recipe.but(regularizer="l2_sp", epochs=2).model_dump(mode="json")
    more = {"folds": 3, "repeats": 1} if kind == "crossvalidate" else {"values": [0.1, 10.0], "seeds": 2}
    return store.submit(kind, {"recipe": base, **more}, "cpu")


def ended(store: Store, job: Job) -> Job:
    assert store.claim(job.id, os.getpid())
    run_job(store, store.job(job.id))
    return store.job(job.id)


def numbers(result: dict[str, Any]) -> dict[str, Any]:
    """Without the names of the trainings."""
    points = [{**point, "run": None} for point in result.get("points", ())]
    return {**result, "points": points, "recommended": {**(result.get("recommended") or {}), "run": None}}


@pytest.mark.parametrize(("kind", "event"), [("crossvalidate", Folded), ("sweep", Swept)])
def test_the_numbers_are_those_of_one_after_another(store, recipe, roomy, kind, event):
    apart = ended(store, submit(store, recipe, kind))
    parts = [row for row in store.events(apart.id) if isinstance(row[1], event)]
    assert apart.state == "finished" and parts_of(store, apart.id) == [], "each is gathered"
    roomy(False)
    whole = ended(store, submit(store, recipe, kind))
    assert not spreads(whole, store) and numbers(apart.result) == numbers(whole.result)
    assert len(parts) == len([row for row in store.events(whole.id) if isinstance(row[1], event)])
    if kind == "sweep":
        runs = [point["run"] for point in apart.result["points"]]
        assert all(store.job(run).is_part and (store.home.run(run) / "model.safetensors").is_file() for run in runs)


def test_a_part_takes_the_place_of_what_it_belongs_to(store, recipe, roomy):
    whole = submit(store, recipe, "crossvalidate")
    assert store.claim(whole.id, "a:1:x")
    first, second = (store.submit("part", {"of": whole.id, "part": {"fold": fold}}, "cpu") for fold in range(2))
    assert store.claim(first.id, "a:1:x", within=whole.id)
    live = store.jobs(None, "queued", "running")
    assert [job.id for job in startable(live, {}, store.room)] == [second.id], "two jobs, one process: one place is left"
    assert store.claim(second.id, "b:2:y")
    assert not store.claim(store.submit("train", {}, "cpu").id, "c:3:z"), "none is left"


def test_with_room_for_one_a_part_still_runs_within(store, recipe):
    whole = submit(store, recipe, "crossvalidate")
    assert store.claim(whole.id, 1)
    part = store.submit("part", {"of": whole.id, "part": {}}, "cpu")
    assert not store.claim(part.id, 2)
    assert spreads(whole, store), "what is spread already is gathered"
    assert store.claim(part.id, 1, within=whole.id)


def test_a_measurement_that_came_along_takes_one_place_only(store, recipe, roomy):
    job = submit(store, recipe, "crossvalidate")
    assert spreads(job, store)
    along = store.submit("crossvalidate", {**job.payload, "request": "train-1"}, "cpu")
    assert not spreads(along, store)


def test_an_interruption_costs_no_part(store, recipe, roomy, monkeypatch):
    trained = []
    before = crossvalidating.train_apart

    def counted(*arguments):
        trained.append(arguments[5].name)
        yield from before(*arguments)

    monkeypatch.setattr(crossvalidating, "train_apart", counted)
    job = submit(store, recipe, "crossvalidate")
    assert store.claim(job.id, os.getpid())
    work = TASKS["crossvalidate"](store.job(job.id), store)
    for event in work:  # its worker is to go after the first fold
        if isinstance(event, Folded):
            store.append(job.id, event)
            break
    work.close()
    assert {child.state for child in parts_of(store, job.id)} <= {"queued", "failed", "finished"}
    store.end(job.id, "failed")
    store.requeue(job.id)
    roomy(False)
    found = ended(store, store.job(job.id))
    assert (found.state, found.result["n"]) == ("finished", 45)
    assert trained.count(trained[0]) == 1, "what was told is not trained again"
    assert parts_of(store, job.id) == []


@pytest.mark.parametrize("how", ["keep", "discard"])
def test_asked_to_stop_it_leaves_no_part_behind(store, recipe, roomy, how):
    job = submit(store, recipe.but(epochs=200), "sweep")
    seen = threading.Event()

    def watch(event):
        if any(child.state == "running" for child in parts_of(store, job.id)) and not seen.is_set():
            seen.set()
            store.ask_stop(job.id, how)

    assert store.claim(job.id, os.getpid())
    run_job(store, store.job(job.id), watch=watch)
    assert seen.is_set() and store.job(job.id).state == "stopped"
    assert store.jobs("part") == []
    assert [run.id for run in store.jobs("train") if run.payload["sweep"] == job.id] == [
        point["run"] for point in (store.job(job.id).result or {}).get("points", ())]


@pytest.mark.parametrize(("code", "told"), [
    ("not_finite", "not_finite"), ("an error without words breaks the worker", "worker_died")])
def test_what_ends_a_part_ends_the_whole_in_the_same_words(store, recipe, roomy, monkeypatch, code, told):
    def fails(*_):
        raise TrainingFailed(code, epoch=1, learning_rate=1)
        yield

    monkeypatch.setattr(crossvalidating, "train_apart", fails)
    job = ended(store, submit(store, recipe, "crossvalidate"))
    said = store.events(job.id)[-1][1]
    assert (job.state, type(said), said.message.key) == ("failed", Failed, f"errors.{told}.text")
    assert said.resumable and store.jobs("part") == []
