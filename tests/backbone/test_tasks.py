"""Tasks that lead to other tasks, and results that outlive the worker that began them."""

from __future__ import annotations

import os

from imported import photo

from transfer_core.events import Epoch, Evaluated, Losses, Started
from transfer_core.jobs.run import run_job
from transfer_core.jobs.tasks import TASKS, Result, _dataset_name
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
    store.add_dataset("Hats", "hats-1", message("app.name"), {})
    assert _dataset_name("hats-1", store) == "Hats"
    store.delete_dataset("hats-1")
    assert _dataset_name("hats-1", store) == "hats-1"


def test_a_resumed_run_that_had_finished_its_epochs_still_knows_them():
    epochs = [Epoch(epoch=number, step=number, train=LOSS, train_accuracy=0.5, validation=LOSS, validation_accuracy=0.5,
                    confusion=[[1]], best=number < 3, seconds=1.0) for number in (1, 2, 3)]
    started = Started(epochs=3, steps_per_epoch=1, classes=["a"], images={}, trainable_parameters=1, total_parameters=1,
                      device="cpu", precision="float32", batch_size=1)
    result = Result()
    result.recall([started, *epochs, Evaluated(split="test", report={"accuracy": 0.75, "n": 4, "confusion": [[1]]})])
    told = result.summary()
    assert (told["epochs"], told["best_epoch"], told["test"]) == (3, 2, {"accuracy": 0.75, "n": 4})
