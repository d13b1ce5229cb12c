"""Tasks that lead to other tasks, and results that outlive the worker that began them."""

from __future__ import annotations

import os

import pytest
from imported import photo

from transfer_core.events import Epoch, Evaluated, Losses, Progressed, Started
from transfer_core.jobs.averages import named
from transfer_core.jobs.devices import devices
from transfer_core.jobs.run import run_job
from transfer_core.jobs.tasks import TASKS, Result, StopAsked, first_look, take_first_look
from transfer_core.words import message

LOSS = Losses(total=1.0, target=1.0)


def test_an_import_that_was_asked_for_a_training_queues_the_recommended_one(store):
    job = store.submit("import", {"example": "leaves", "name": "Leaves", "images_per_class": 4, "then": "train"})
    assert store.claim(job.id, os.getpid())
    assert run_job(store, store.job(job.id)) == "finished"
    run, = store.jobs("train")
    dataset = store.dataset("Leaves")
    assert run.payload["request"] == job.id
    assert (run.payload["recipe"]["dataset"], run.payload["recipe"]["version"]) == (dataset.id, 1)
    assert run.payload["recipe"]["freeze"] == "all"  # three training photos a class are enough for a head only


def test_an_import_whose_worker_died_after_it_is_not_done_twice(store):
    job = store.submit("import", {"example": "leaves", "name": "Leaves", "images_per_class": 4, "then": "train"})
    for _ in range(2):
        store.claim(job.id, os.getpid())
        assert run_job(store, store.job(job.id)) == "finished"
        store.end(job.id, "failed")
        store.requeue(job.id)
    assert (len(store.datasets()), len(store.jobs("train"))) == (1, 1)
    assert store.job(job.id).result == store.datasets()[0].latest.summary


def test_an_import_whose_worker_died_before_it_could_say_so_is_not_done_twice(store):
    """It was killed within the quarter of a second that an event waits to be stored; its upload is gone already."""
    upload = store.home.uploads / ("a" * 32)
    for number in range(8):
        file = upload / ("oak", "elm")[number % 2] / f"{number}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(photo(number))
    job = store.submit("import", {"upload": upload.name, "name": "Trees"})
    store.claim(job.id, os.getpid())
    for _ in TASKS["import"](store.job(job.id), store):
        pass  # nobody stores what it reports
    [made] = store.datasets()
    assert not upload.exists() and store.events(job.id) == []

    assert store.take_from(store.job(job.id), "queued")
    store.claim(job.id, os.getpid())
    assert run_job(store, store.job(job.id)) == "finished"
    assert [each.id for each in store.datasets()] == [made.id]
    [(_, imported)] = store.events(job.id, kinds=("imported",))
    assert (imported.dataset, imported.summary) == (made.id, made.latest.summary) and store.job(job.id).result == imported.summary


def test_a_run_of_a_deleted_dataset_is_named_after_its_id(store):
    run = store.submit("train", {"recipe": {"dataset": "hats-1"}}, "cpu")
    store.add_dataset("Hats", "hats-1", message("app.name"), {})
    assert named(store, run) == "Hats"
    store.delete_dataset("hats-1")
    assert named(store, run) == "hats-1"


def test_a_resumed_run_that_had_finished_its_epochs_still_knows_them():
    epochs = [Epoch(epoch=number, step=number, train=LOSS, train_accuracy=0.5, validation=LOSS, validation_accuracy=0.5,
                    confusion=[[1]], best=number < 3, seconds=1.0) for number in (1, 2, 3)]
    started = Started(epochs=3, steps_per_epoch=1, classes=["a"], images={}, trainable_parameters=1, total_parameters=1,
                      device="cpu", precision="float32", batch_size=1)
    result = Result()
    result.recall([started, *epochs, Evaluated(split="test", report={"accuracy": 0.75, "n": 4, "confusion": [[1]]})])
    told = result.summary()
    assert (told["epochs"], told["best_epoch"], told["test"]) == (3, 2, {"accuracy": 0.75, "n": 4})


def summary(**classes: int) -> dict:
    return {"classes": classes, "split": {"train": sum(classes.values())}}


def test_a_version_is_looked_at_once_and_another_again(store):
    look = take_first_look(store, "hats-1", 1, summary(cap=3, top=3), "Hats")
    assert (look.payload, look.device) == ({"dataset": "hats-1", "version": 1, "name": "Hats"}, devices()[0])
    assert take_first_look(store, "hats-1", 1, summary(cap=3, top=3), "Hats") == look
    other = take_first_look(store, "hats-1", 2, summary(cap=3, top=4), "Hats")
    assert other.id != look.id and first_look(store, "hats-1") == other
    assert first_look(store, "shoes-1") is None
    store.claim(other.id, 1) or store.claim(look.id, 1)
    store.end(other.id, "finished")  # it gave way: no result
    assert take_first_look(store, "hats-1", 2, summary(cap=3, top=4), "Hats").id not in (look.id, other.id)


@pytest.mark.parametrize("classes", [{}, {"cap": 9}])
def test_where_nothing_can_be_told_apart_there_is_no_look(store, classes):
    assert take_first_look(store, "hats-1", 1, summary(**classes), "Hats") is None
    assert store.jobs("guess") == []


def test_an_import_that_a_page_asked_for_is_followed_by_a_first_look(store):
    job = store.submit("import", {"example": "leaves", "name": "Leaves", "images_per_class": 4, "then": "look"})
    store.claim(job.id, os.getpid())
    assert run_job(store, store.job(job.id)) == "finished"
    [look], [dataset] = store.jobs("guess"), store.datasets()
    assert look.payload == {"dataset": dataset.id, "version": 1, "name": "Leaves"}


@pytest.fixture
def looking(store, monkeypatch):
    """A first look of three steps; returns (its job, its folder, what it has done)."""
    done: list[object] = []

    def look(_manifest, _home, out, **_):
        try:
            (out / "model.safetensors").write_bytes(b"weights")
            for step in range(3):
                done.append(step)
                yield Progressed(stage="features", done=step)
        finally:
            done.append("over")
        return {"score": {}}

    monkeypatch.setattr("transfer_core.training.instant.guess", look)
    monkeypatch.setattr("transfer_core.datasets.manifest.Manifest.read", lambda *_: None)
    job = store.submit("guess", {"dataset": "hats-1", "version": 1, "name": "Hats"}, "cpu")
    store.claim(job.id, 1)
    return store.job(job.id), store.home.run(job.id), done


def test_a_first_look_leaves_its_model_and_removes_the_one_before(store, looking):
    job, out, done = looking
    older = store.submit("guess", job.payload, "cpu")
    store.end(older.id, "finished", {"score": {}})
    (store.home.run(older.id) / "model.onnx").write_bytes(b"old")
    work = TASKS["guess"](job, store)
    with pytest.raises(StopIteration) as end:
        while True:
            next(work)
    assert (end.value.value, done) == ({"score": {}}, [0, 1, 2, "over"])
    assert out.is_dir() and not (out / "model.safetensors").exists()
    assert not (store.home.root / "runs" / older.id).exists()


def test_a_first_look_comes_to_its_end_whoever_waits(store, looking):
    """It is over in seconds, and beside it a training has a lane of its own."""
    job, _, done = looking
    work = TASKS["guess"](job, store)
    next(work)
    store.submit("train", {}, "cpu")
    store.submit("explain", {}, "cpu")
    assert len(list(work)) == 2
    assert done == [0, 1, 2, "over"]


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)
def test_every_task_says_whether_it_is_short(task):
    assert isinstance(task.facts["short"], bool)


def test_measuring_gives_way_between_two_models_and_not_to_a_short_job(store, monkeypatch):
    measured = []

    def measure(models, home):
        for done, model in enumerate(models, 1):
            measured.append(model)
            yield Progressed(stage="measure", done=done, total=len(models))

    monkeypatch.setattr("transfer_core.training.speed.measure", measure)
    job = store.submit("measure", {"models": ["a", "b", "c"]}, "cpu")
    store.claim(job.id, 1)
    work = TASKS["measure"](job, store)
    next(work)
    store.submit("guess", {}, "cpu")
    next(work)
    store.submit("train", {}, "cpu")
    assert list(work) == []
    assert measured == ["a", "b"]


def test_a_first_look_that_is_stopped_leaves_nothing(store, looking):
    job, out, done = looking
    work = TASKS["guess"](job, store)
    next(work)
    with pytest.raises(StopAsked):
        work.throw(StopAsked("discard"))
    assert done == [0, "over"] and not out.exists()
