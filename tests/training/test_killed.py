"""Runs whose processes are killed: real workers, SIGKILL, at moments that are drawn. `bench/survival.py` in small.

Workers are forked from a process that has imported torch already, so that twenty of them take no minute each.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from transfer_core.activations import Shelf
from transfer_core.errors import Unavailable
from transfer_core.events import Epoch
from transfer_core.jobs import supervisor as module
from transfer_core.jobs.run import resumable
from transfer_core.jobs.supervisor import Supervisor
from transfer_core.paths import Home
from transfer_core.recipe import Recipe
from transfer_core.store import Store

ROOT = Path(__file__).resolve().parents[2]
ZYGOTE = """
import os, sys
import torch, timm, onnx, onnxruntime
from transfer_core.training import finish, fit
from transfer_core.jobs import crossvalidating, sweeps, worker
print("ready", flush=True)
for line in sys.stdin:
    what, argument = line.split()
    if what == "start":
        child = os.fork()
        if not child:
            os.setsid()
            os.dup2(os.open(os.devnull, os.O_RDWR), 0)
            os.dup2(0, 1)
            os._exit(worker.main([argument]))
        print(child, flush=True)
    else:
        found, status = os.waitpid(int(argument), os.WNOHANG)
        print("lives" if not found else os.waitstatus_to_exitcode(status), flush=True)
"""


class Zygote:
    def __init__(self, home: Home) -> None:
        environment = {**os.environ, "TRANSFER_STUDIO_HOME": str(home.root), "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
        environment.pop("TRANSFER_STUDIO_DATABASE_URL", None)
        self.process = subprocess.Popen([sys.executable, "-c", ZYGOTE], env=environment, cwd=ROOT, text=True,
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self.process.stdout.readline() == "ready\n"
        self.workers: list[Worker] = []

    def ask(self, *words: object) -> str:
        print(*words, file=self.process.stdin, flush=True)
        return self.process.stdout.readline().strip()

    def start(self, argument: str, _store: Store) -> Worker:
        self.workers.append(Worker(self, int(self.ask("start", argument))))
        return self.workers[-1]

    def kill_workers(self) -> None:
        for worker in self.workers:
            if worker.poll() is None:
                os.kill(worker.pid, signal.SIGKILL)

    def close(self) -> None:
        self.kill_workers()
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait()


class Worker:
    """What the supervisor needs of a process."""

    def __init__(self, zygote: Zygote, pid: int) -> None:
        self.zygote, self.pid, self.code = zygote, pid, None

    def poll(self) -> int | None:
        if self.code is None and (said := self.zygote.ask("poll", self.pid)) != "lives":
            self.code = int(said)
        return self.code


@pytest.fixture(scope="module")
def studio(tmp_path_factory):
    home = Home(tmp_path_factory.mktemp("killed") / "home")
    store, zygote = Store(home), Zygote(home)
    yield store, zygote
    zygote.close()
    store.close()


@pytest.fixture
def survival(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "bench"))
    import survival

    return survival


@pytest.fixture(autouse=True)
def quickly(monkeypatch, studio):
    monkeypatch.setattr(module, "_start", studio[1].start)
    monkeypatch.setattr(module, "SILENT_AFTER", 5.0)  # who lives and is buried all the same goes on elsewhere, which must do, too


def until(condition, seconds: float = 300.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it never happened"
        time.sleep(0.01)


def looked(supervisor: Supervisor, condition):
    """Look after the queue until the condition holds."""

    def holds():
        supervisor.look()
        return condition()

    until(holds)


def to_the_end(store: Store, supervisor: Supervisor, job: str):
    """What was killed twice at one place has failed, and goes on when a person wants it."""
    while True:
        looked(supervisor, lambda: not store.job(job).live)
        if store.job(job).state != "failed":
            return store.job(job)
        assert resumable(store, store.job(job))
        store.requeue(job)


@pytest.fixture(scope="module")
def dataset(studio) -> str:
    from transfer_core.jobs import run_job

    store, _ = studio
    job = store.submit("import", {"name": "Leaves", "example": "leaves", "images_per_class": 8})
    store.claim(job.id, os.getpid())
    run_job(store, store.job(job.id))
    return store.job(job.id).result["dataset"]


COMMON = {"model": "test_resnet", "weights": "scratch", "image_size": 32, "patience": 0, "batch_size": 8}
KINDS = {"stored": ("train", {"freeze": "all", "epochs": 60}, {}),
         "varied": ("train", {"freeze": 2, "augmentation": "light", "epochs": 12}, {}),
         "everything": ("train", {"freeze": 0, "epochs": 8}, {}),
         "folds": ("crossvalidate", {"freeze": 2, "epochs": 4}, {"folds": 2, "repeats": 1})}


@pytest.mark.parametrize(("kind", "kills"), [("stored", 3), ("varied", 2), ("everything", 2), ("folds", 1)])
def test_a_run_that_is_killed_ends_as_if_it_had_not_been(studio, dataset, survival, kind, kills):
    store, zygote = studio
    what, settings, more = KINDS[kind]
    payload = {"recipe": Recipe(dataset=dataset, **COMMON, **settings).model_dump(mode="json"), **more}
    supervisor, chance = Supervisor(store, warm=False), random.Random(kind)
    whole = store.submit(what, payload, "cpu").id
    wanted = survival.outcome(store, to_the_end(store, supervisor, whole))
    life = len(store.raw_events(whole))

    Shelf(store.home).clear()
    job = store.submit(what, payload, "cpu").id
    for number in range(kills):
        seen = len(store.raw_events(job))
        # Until it has said so much more, or (0) as soon as somebody has it.
        at = seen + chance.randrange(life // kills)
        looked(supervisor, lambda at=at: not store.job(job).live or (store.job(job).pid and len(store.raw_events(job)) >= at))
        zygote.kill_workers()
        assert not survival.faults(store.home)
        if number % 2:  # the studio itself went, too: another supervisor knows of no worker, only of silence
            supervisor = Supervisor(store, warm=False)
    ended = to_the_end(store, supervisor, job)
    assert survival.outcome(store, ended) == wanted
    assert not survival.faults(store.home)
    assert not [file for folder in ("runs", "jobs") for file in (store.home.root / folder).rglob("*.part")]


def test_epochs_nobody_heard_of_are_told_when_the_run_goes_on(studio, dataset, monkeypatch):
    """It was killed between a checkpoint and the moment at which events are stored, up to a quarter of a second later."""
    from transfer_core.jobs import TASKS

    store, _ = studio
    payload = {"recipe": Recipe(dataset=dataset, **COMMON, freeze=0, epochs=4).model_dump(mode="json")}
    job = store.submit("train", payload, "cpu")
    store.claim(job.id, os.getpid())
    work = TASKS["train"](store.job(job.id), store)
    while not isinstance(event := next(work), Epoch) or event.epoch < 2:
        store.append(job.id, *([event] if not isinstance(event, Epoch) else []))
    work.close()
    assert store.take_from(store.job(job.id), "queued")
    ended = to_the_end(store, Supervisor(store, warm=False), job.id)
    assert [event.epoch for _, event in store.events(job.id, kinds=("epoch",))] == [1, 2, 3, 4]
    assert ended.result["epochs"] == 4


def test_a_run_that_died_before_its_first_checkpoint_can_begin_again(studio, dataset):
    store, zygote = studio
    payload = {"recipe": Recipe(dataset=dataset, **COMMON, freeze=0, epochs=1).model_dump(mode="json")}
    job, supervisor = store.submit("train", payload, "cpu").id, Supervisor(store, warm=False)
    for _ in range(2):
        looked(supervisor, lambda: store.job(job).state == "running")
        zygote.kill_workers()
        looked(supervisor, lambda: store.job(job).state != "running")
    if store.job(job).state == "failed":  # else it was so quick that it had its checkpoint
        assert resumable(store, store.job(job))
    assert to_the_end(store, supervisor, job).state == "finished"


@pytest.mark.parametrize("stage", ["queued", "started", "storing", "training", "evaluating", "exporting"])
def test_it_can_be_cancelled_at_any_stage(studio, dataset, stage):
    store, _ = studio
    Shelf(store.home).clear()
    recipe = Recipe(dataset=dataset, **COMMON, freeze="all", epochs=1000 if stage == "training" else 2)
    job, supervisor = store.submit("train", {"recipe": recipe.model_dump(mode="json")}, "cpu").id, Supervisor(store, warm=False)
    reached = {"queued": lambda: True, "started": lambda: store.job(job).state == "running",
               "storing": lambda: says(store, job, "features"), "training": lambda: store.raw_events(job, kinds=("epoch",)),
               "evaluating": lambda: says(store, job, "evaluating"), "exporting": lambda: says(store, job, "exporting")}[stage]
    if stage != "queued":
        looked(supervisor, lambda: reached() or not store.job(job).live)
    store.ask_stop(job, "discard")
    looked(supervisor, lambda: not store.job(job).live)
    ended = store.job(job)
    if ended.state != "finished":  # at the last stages it may have been done before it heard
        assert ended.state == "stopped" and not ended.result
        assert not list((store.home.root / "runs").glob(f"{job}/*"))
    assert not store.jobs(None, "running", "queued")


def says(store: Store, job: str, stage: str) -> bool:
    return any(event.stage == stage for _, event in store.events(job, kinds=("progressed",)))


def test_an_import_can_be_cancelled(studio):
    store, _ = studio
    job, supervisor = store.submit("import", {"name": "Gone", "example": "leaves", "images_per_class": 400}).id, Supervisor(
        store, warm=False)
    looked(supervisor, lambda: store.raw_events(job))
    store.ask_stop(job, "discard")
    looked(supervisor, lambda: not store.job(job).live)
    assert store.job(job).state == "stopped"
    assert "Gone" not in {each.name for each in store.datasets()}
    assert not list(store.home.uploads.iterdir())


def test_a_training_waits_for_whoever_has_locked_the_database(studio, dataset, survival):
    """For as long as it takes: it is not taken for dead, and loses nothing."""
    import sqlite3

    store, _ = studio
    payload = {"recipe": Recipe(dataset=dataset, **COMMON, freeze=0, epochs=20).model_dump(mode="json")}
    whole, supervisor = store.submit("train", payload, "cpu").id, Supervisor(store, warm=False)
    wanted = survival.outcome(store, to_the_end(store, supervisor, whole))
    job, last = store.submit("train", payload, "cpu").id, store.home.root / "runs"
    looked(supervisor, lambda: store.raw_events(job, kinds=("epoch",)))
    store.wait_longer(0.05)
    rude = sqlite3.connect(store.home.database, isolation_level=None, timeout=60)
    try:
        rude.execute("BEGIN EXCLUSIVE")
        heard, noted = len(store.raw_events(job)), last / job / "epochs.jsonl"
        until(lambda: len(noted.read_bytes().splitlines()) == 20)  # it trains on
        began = time.monotonic()
        while time.monotonic() - began < 2 * module.SILENT_AFTER:
            supervisor.look()
            with pytest.raises(Unavailable, match="locked"):
                store.submit("train", payload, "cpu")
        assert len(store.raw_events(job)) == heard  # reading goes on, and nothing new can be there
        rude.execute("ROLLBACK")
    finally:
        rude.close()
        store.wait_longer(30)
    assert survival.outcome(store, to_the_end(store, supervisor, job)) == wanted
    assert not [event for _, event in store.events(job, kinds=("note",)) if event.message.key == "jobs.went_on"]
