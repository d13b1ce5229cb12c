"""Who gets a worker, and what becomes of a job whose worker died. Real processes where dying is the point."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
from types import SimpleNamespace

import pytest
from postgres import ON_BOTH, ON_SQLITE

from transfer_core.errors import Unavailable
from transfer_core.events import Epoch, Failed, Losses, Note, Stopped
from transfer_core.jobs import supervisor as module
from transfer_core.jobs.supervisor import Supervisor
from transfer_core.store.jobs import SILENT_AFTER

database = ON_BOTH


@pytest.fixture
def started(monkeypatch):
    """Jobs a worker was started for; the workers are puppets that end with `code` when told to."""
    found = {}

    def start(argument, _store):
        process = SimpleNamespace(pid=1000 + len(found), code=None, poll=lambda: process.code)
        found[argument] = process
        return process

    monkeypatch.setattr(module, "_start", start)
    return found


@pytest.fixture
def supervisor(store, started) -> Supervisor:
    return Supervisor(store, warm=False)


def epoch(number: int = 1) -> Epoch:
    losses = Losses(total=1.0, target=1.0)
    return Epoch(epoch=number, step=1, train=losses, train_accuracy=1.0, validation=losses, validation_accuracy=1.0,
                 confusion=[[1]], best=True, seconds=1.0)


def last(store, job):
    return store.events(job.id)[-1][1]


def test_one_training_at_a_time_on_a_device_and_the_oldest_first(store, supervisor, started):
    first, second = (store.submit("train", {}, "cpu") for _ in range(2))
    other = store.submit("train", {}, "cuda:0")
    for _ in range(3):
        supervisor.look()
    assert list(started) == [first.id, other.id]
    store.claim(first.id, started[first.id].pid)
    store.end(first.id, "finished")
    started[first.id].code = 0
    supervisor.look()
    assert list(started) == [first.id, other.id, second.id]


def test_imports_run_beside_a_training_but_not_all_at_once(store, supervisor, started):
    store.claim(store.submit("train", {}, "cpu").id, 1)
    imports = [store.submit("import", {}) for _ in range(4)]
    supervisor.look()
    assert list(started) == [job.id for job in imports[: module.IO_WORKERS]]


def test_a_stopped_job_gets_no_worker(store, supervisor, started):
    job = store.submit("train", {}, "cpu")
    store.ask_stop(job.id)
    supervisor.look()
    assert not started


def test_a_worker_that_does_not_start_is_tried_again_and_then_given_up(store, supervisor, started):
    job = store.submit("train", {}, "cpu")
    for _ in range(module.ATTEMPTS):
        supervisor.look()
        assert store.job(job.id).state == "queued"
        started[job.id].code = 1
    supervisor.look()
    assert store.job(job.id).state == "failed"
    assert last(store, job).message.key == "errors.worker_did_not_start.text"


def test_a_worker_that_dies_is_replaced_once(store, supervisor, started):
    job = store.submit("train", {}, "cpu")
    for _ in range(2):
        supervisor.look()
        assert store.claim(job.id, started[job.id].pid)
        started[job.id].code = -signal.SIGKILL
        supervisor.look()
    ended = store.job(job.id)
    assert ended.state == "failed"
    events = [event for _, event in store.events(job.id)]
    assert [type(event) for event in events] == [Note, Failed]
    assert events[-1].message.key == "errors.worker_killed.text"


def test_progress_earns_another_try(store, supervisor, started):
    job = store.submit("train", {}, "cpu")
    for _ in range(4):
        supervisor.look()
        assert store.claim(job.id, started[job.id].pid)
        store.append(job.id, epoch())
        started[job.id].code = -signal.SIGKILL
        supervisor.look()
        assert store.job(job.id).state == "queued"


def test_a_dead_job_that_was_to_stop_is_not_started_again(store, supervisor, started):
    job = store.submit("train", {}, "cpu")
    supervisor.look()
    store.claim(job.id, started[job.id].pid)
    store.ask_stop(job.id, "discard")
    started[job.id].code = -signal.SIGKILL
    supervisor.look()
    assert store.job(job.id).state == "stopped"


def test_a_worker_that_dies_while_it_keeps_leaves_a_run_that_can_be_resumed(store, supervisor, started):
    job = store.submit("train", {}, "cpu")
    supervisor.look()
    store.claim(job.id, started[job.id].pid)
    (store.home.run(job.id) / "last.pt").touch()
    store.ask_stop(job.id, "keep")
    started[job.id].code = -signal.SIGKILL
    supervisor.look()
    assert store.job(job.id).state == "failed"
    assert last(store, job).resumable


@pytest.mark.parametrize("dies", [True, False])
def test_what_is_discarded_without_a_worker_leaves_no_file_and_no_result(store, supervisor, started, dies):
    job = store.submit("train", {}, "cpu")
    supervisor.look()
    store.claim(job.id, started[job.id].pid)
    checkpoint = store.home.run(job.id) / "last.pt"
    checkpoint.touch()
    if not dies:  # it was stopped, and waits again
        store.end(job.id, "stopped", {"test": {"accuracy": 1.0}})
        store.requeue(job.id)
    store.ask_stop(job.id, "discard")
    assert not store.claim(job.id, 1)
    started[job.id].code = -signal.SIGKILL
    supervisor.look()
    ended = store.job(job.id)
    assert (ended.state, ended.result, last(store, job)) == ("stopped", {}, Stopped(kept=False))
    assert not checkpoint.parent.exists()


def test_silence_counts_only_while_we_are_awake(store, supervisor, monkeypatch):
    """A laptop that slept for an hour: every heartbeat is an hour old, and nobody is dead."""
    job = store.submit("train", {}, "cpu")
    store.claim(job.id, 4242)
    now = [0.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    supervisor.look()
    now[0] += SILENT_AFTER - 1
    supervisor.look()
    store.beat(job.id, 4242)
    supervisor.look()
    now[0] += SILENT_AFTER - 1
    supervisor.look()
    assert store.job(job.id).state == "running"
    now[0] += 2
    supervisor.look()
    assert store.job(job.id).state == "queued"


@ON_SQLITE
def test_nobody_is_dead_while_the_database_is_locked(store, supervisor, monkeypatch):
    """Nobody can say anything then: silence is counted from the moment at which somebody could."""
    job = store.submit("train", {}, "cpu")
    store.claim(job.id, 4242)
    now = [0.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    store.wait_longer(0.01)
    supervisor.look()
    rude = sqlite3.connect(store.home.database, isolation_level=None)
    rude.execute("BEGIN EXCLUSIVE")
    for _ in range(5):
        now[0] += SILENT_AFTER * 0.6
        supervisor.look()
    assert store.job(job.id).state == "running"
    rude.execute("ROLLBACK")
    rude.close()
    now[0] += SILENT_AFTER * 0.6
    supervisor.look()
    assert store.job(job.id).state == "running"
    now[0] += SILENT_AFTER * 0.6
    supervisor.look()
    assert store.job(job.id).state == "queued"


@ON_SQLITE
def test_a_locked_database_is_said_in_words_and_can_be_read(store):
    job = store.submit("train", {}, "cpu")
    store.wait_longer(0.01)
    rude = sqlite3.connect(store.home.database, isolation_level=None)
    rude.execute("BEGIN EXCLUSIVE")
    try:
        assert store.job(job.id).state == "queued"
        with pytest.raises(Unavailable) as error:
            store.ask_stop(job.id)
        assert error.value.code == "database_busy" and "studio.db" in error.value.message()
    finally:
        rude.close()
    store.ask_stop(job.id)
    assert store.job(job.id).state == "stopped"


def test_two_supervisors_bury_a_job_once(store, monkeypatch, started):
    job = store.submit("train", {}, "cpu")
    store.claim(job.id, 4242)
    now = [0.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    both = [Supervisor(store, warm=False) for _ in range(2)]
    stale = store.job(job.id)
    for supervisor in both:
        supervisor._look_after_silent([stale])
    now[0] += SILENT_AFTER + 1
    for supervisor in both:
        supervisor._look_after_silent([stale])
    assert len(store.events(job.id)) == 1


def test_a_worker_of_the_same_number_on_another_machine_is_not_ours(store, supervisor, started):
    job = store.submit("train", {}, "cpu")
    supervisor.look()
    theirs = f"far-away.0a1b2c:{started[job.id].pid}:00112233"
    assert store.claim(job.id, theirs), "they were faster"
    started[job.id].code = -signal.SIGKILL
    supervisor.look()
    assert (store.job(job.id).state, store.job(job.id).worker) == ("running", theirs)


def test_silence_counts_only_while_the_database_answers(store, supervisor, monkeypatch):
    """It was away for an hour: nobody could say anything, and nobody is dead."""
    job = store.submit("train", {}, "cpu")
    store.claim(job.id, 4242)
    now = [0.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    supervisor.look()
    now[0] += 3600
    with monkeypatch.context() as away:
        looks = iter([1])
        away.setattr(supervisor._stopping, "wait", lambda _: next(looks, None) is None)
        away.setattr(supervisor._store, "jobs", lambda *_: 1 / 0)
        supervisor._supervise()
    supervisor.look()
    assert store.job(job.id).state == "running"
    now[0] += SILENT_AFTER + 1
    supervisor.look()
    assert store.job(job.id).state == "queued"


def test_a_short_job_starts_beside_a_training_unless_memory_is_short(store, supervisor, started, monkeypatch):
    memory = [0]
    monkeypatch.setattr(module, "free_memory", lambda: memory[0])
    training = store.submit("train", {}, "cpu")
    supervisor.look()
    store.claim(training.id, started[training.id].pid)
    heat = store.submit("explain", {}, "cpu")
    supervisor.look()
    assert list(started) == [training.id]
    memory[0] = module.SHORT_MEMORY
    supervisor.look()
    assert list(started) == [training.id, heat.id]


@pytest.mark.parametrize("beside", [None, "far-away.0a1b2c:7:00112233"])
def test_a_short_job_does_not_wait_for_memory_that_nobody_here_uses(store, supervisor, started, monkeypatch, beside):
    monkeypatch.setattr(module, "free_memory", lambda: 0)
    if beside:
        store.claim(store.submit("train", {}, "cpu").id, beside)
    heat = store.submit("explain", {}, "cpu")
    supervisor.look()
    assert list(started) == [heat.id]


def test_the_address_of_the_database_stands_in_no_command_line(store, monkeypatch):
    asked = {}
    monkeypatch.setattr(module.subprocess, "Popen", lambda command, **how: asked.update(how, command=command))
    module._start("train-1", store)
    assert asked["env"]["TRANSFER_STUDIO_DATABASE_URL"] == store.url
    assert not any(store.url in part for part in asked["command"])


PRELUDE = """
import sys, time
from transfer_core.events import Progressed
from transfer_core.jobs import TASKS, worker

@TASKS.add("endless", torch=False)
def endless(job, store):
    "For a test."
    for number in range(10**9):
        yield Progressed(stage="reading", done=number)
        time.sleep(0.01)

def at_once(job, store):
    "For a test."
    yield Progressed(stage="reading", done=1)

for kind in ("measure", "train"):
    TASKS._choices.pop(kind)
    TASKS.add(kind)(at_once)
worker.warm_up = lambda: None
sys.exit(worker.main(sys.argv[1:]))
"""


@pytest.fixture
def real_worker(monkeypatch):
    """Workers that are real processes and know one more task."""
    processes = []

    def start(argument, _store):
        command = [sys.executable, "-c", PRELUDE, argument]
        processes.append(subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True))
        return processes[-1]

    monkeypatch.setattr(module, "_start", start)
    yield processes
    for process in processes:
        process.kill()
        process.wait()
        process.stdin.close()


def until(condition, seconds: float = 30.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it never happened"
        time.sleep(0.02)


def test_a_killed_worker_is_noticed_and_a_terminated_one_says_goodbye(store, real_worker):
    supervisor = Supervisor(store, warm=False)
    job = store.submit("endless", {}, "cpu")
    supervisor.look()
    until(lambda: store.events(job.id))
    running = store.job(job.id)
    assert (running.state, running.pid) == ("running", real_worker[0].pid)
    os.kill(running.pid, signal.SIGKILL)

    def taken_over():
        supervisor.look()
        return len(real_worker) == 2 and store.job(job.id).pid == real_worker[1].pid

    until(taken_over)
    assert any(isinstance(event, Note) for _, event in store.events(job.id))
    os.kill(real_worker[1].pid, signal.SIGTERM)
    until(lambda: store.job(job.id).state == "failed")
    assert last(store, job).message.key == "errors.worker_interrupted.text"
    assert real_worker[1].wait(10) == 0


def test_workers_live_on_when_the_supervisor_stops(store, real_worker):
    supervisor = Supervisor(store, warm=False)
    supervisor.start()
    job = store.submit("endless", {}, "cpu")
    until(lambda: store.events(job.id))
    supervisor.stop()
    before = store.events(job.id)[-1][0]
    until(lambda: store.events(job.id)[-1][0] > before)
    store.ask_stop(job.id)
    until(lambda: not store.job(job.id).live)
    assert store.job(job.id).state == "stopped"


@pytest.fixture
def much_memory(monkeypatch):
    monkeypatch.setattr(module, "free_memory", lambda: 1 << 62)


def ends(store, supervisor, job) -> bool:
    supervisor.look()
    return store.job(job.id).state == "finished"


def test_after_a_short_job_the_worker_takes_the_next_and_after_a_training_it_leaves(store, real_worker, much_memory):
    supervisor = Supervisor(store, warm=True)
    jobs = []
    for kind in ("measure", "measure", "train"):
        jobs.append(store.submit(kind, {}, "cpu"))
        until(lambda: ends(store, supervisor, jobs[-1]))
    assert {store.job(job.id).pid for job in jobs} == {real_worker[0].pid}
    assert real_worker[0].wait(10) == 0
    assert len(real_worker) == 1


def test_a_worker_that_stays_leaves_with_the_supervisor_once_its_job_has_ended(store, real_worker, much_memory):
    supervisor = Supervisor(store, warm=True)
    supervisor._handed_out = time.monotonic()
    job = store.submit("measure", {}, "cpu")
    supervisor.look()
    supervisor.stop()
    assert real_worker[0].wait(10) == 0
    assert store.job(job.id).state == "finished"


def test_without_memory_to_spare_no_worker_stays(store, real_worker, monkeypatch):
    monkeypatch.setattr(module, "free_memory", lambda: 0)
    supervisor = Supervisor(store, warm=True)
    job = store.submit("measure", {}, "cpu")
    until(lambda: ends(store, supervisor, job))
    until(lambda: supervisor.look() or real_worker[0].poll() is not None)
    assert supervisor._warm is None
