"""One job from claim to end, with tasks made for the test."""

from __future__ import annotations

import errno
import os
import threading
import time

import pytest
from postgres import ON_BOTH

from transfer_core.errors import BadInput, Unavailable
from transfer_core.events import Failed, Finished, Note, Progressed, Stopped
from transfer_core.jobs import StopAsked, run_job
from transfer_core.jobs import run as running
from transfer_core.words import message

database = ON_BOTH


@pytest.fixture
def task(tasks, monkeypatch):
    """Registers a generator function as the task of kind `test`."""
    monkeypatch.setattr(running, "FLUSH", 0.005)
    monkeypatch.setattr(running, "BEAT", 0.01)

    def register(function):
        function.__doc__ = "For a test."
        return tasks.add("test", torch=False)(function)

    return register


@pytest.fixture
def job(store):
    job = store.submit("test", {})
    assert store.claim(job.id, os.getpid())
    return store.job(job.id)


def stored(store, job):
    return [event for _, event in store.events(job.id)]


def at(done: int) -> Progressed:
    return Progressed(stage="reading", done=done)


def until(condition, seconds: float = 10.0):
    """Wait for another thread; fails the test instead of waiting for ever."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it never happened"
        time.sleep(0.002)


def test_events_are_stored_and_the_result_kept(store, job, task):
    @task
    def work(job, store):
        yield at(1)
        yield Finished(seconds=1.0)
        return {"answer": 42}

    assert run_job(store, job) == "finished"
    assert stored(store, job) == [at(1), Finished(seconds=1.0)]
    ended = store.job(job.id)
    assert (ended.state, ended.result, ended.ended is not None) == ("finished", {"answer": 42}, True)


def test_the_work_waits_until_the_worker_is_ready_and_the_heart_beats_meanwhile(store, job, task):
    """A warm worker may still be importing torch; two threads importing it at once leave half-made modules behind."""
    order = []

    @task
    def work(job, store):
        order.append("work")
        yield at(1)

    def ready():
        claimed = store.job(job.id).heartbeat
        until(lambda: store.job(job.id).heartbeat != claimed)
        order.append("ready")

    assert run_job(store, job, ready=ready) == "finished"
    assert order == ["ready", "work"]


def test_an_event_does_not_wait_for_the_next_one(store, job, task):
    """A step may take minutes: what was reported before it must be seen while it runs."""

    @task
    def work(job, store):
        yield at(1)
        until(lambda: stored(store, job) == [at(1)])
        yield at(2)

    assert run_job(store, job) == "finished"


def test_many_events_make_few_transactions(store, job, task, monkeypatch):
    monkeypatch.setattr(running, "FLUSH", 60.0)
    batches = []
    append = store.append
    monkeypatch.setattr(store, "append", lambda job_id, *events: batches.append(len(events)) or append(job_id, *events))

    @task
    def work(job, store):
        for number in range(1000):
            yield at(number)

    run_job(store, job)
    assert batches == [1000]


def test_the_heart_beats_while_the_work_is_silent(store, job, task):
    @task
    def work(job, store):
        yield at(1)
        before = store.job(job.id).heartbeat
        until(lambda: store.job(job.id).heartbeat > before)

    assert run_job(store, job) == "finished"


@pytest.mark.parametrize("how", ["keep", "discard"])
def test_a_wish_to_stop_reaches_the_task(store, job, task, how):
    asked = []

    @task
    def work(job, store):
        try:
            store.ask_stop(job.id, how)
            for number in range(100_000):
                yield at(number)
                time.sleep(0.001)
        except StopAsked as stop:
            asked.append(stop.how)
            if stop.how == "discard":
                raise
            yield Note(message=message("jobs.went_on"))
            yield Stopped(kept=True)
            return {"kept": True}

    assert run_job(store, job) == "stopped"
    assert asked == [how]
    last = stored(store, job)[-1]
    assert last == Stopped(kept=how == "keep")
    assert store.job(job.id).result == ({"kept": True} if how == "keep" else {})


def test_no_except_exception_swallows_the_wish(store, job, task):
    @task
    def work(job, store):
        store.ask_stop(job.id)
        while True:
            try:
                yield at(1)
                time.sleep(0.001)
            except Exception:
                continue

    assert run_job(store, job) == "stopped"


def test_a_discarded_part_of_a_resumed_run_takes_the_old_result_along(store, task):
    job = store.submit("test", {})
    store.claim(job.id, os.getpid())
    store.end(job.id, "stopped", {"test": {"accuracy": 1.0}})
    store.requeue(job.id)
    store.claim(job.id, os.getpid())

    @task
    def work(job, store):
        store.ask_stop(job.id, "discard")
        while True:
            yield at(1)
            time.sleep(0.001)

    run_job(store, store.job(job.id))
    assert not store.job(job.id).result


def test_a_studio_error_is_told_as_it_is(store, job, task):
    @task
    def work(job, store):
        yield at(1)
        raise BadInput("no_path", path="/photos")

    assert run_job(store, job) == "failed"
    failed = stored(store, job)[-1]
    assert (failed.message.say(), failed.resumable) == ("There is nothing at /photos.", False)
    assert failed.hint.say().startswith("Check the spelling")


def test_an_unforeseen_error_is_told_plainly_and_logged_in_full(store, job, task):
    @task
    def work(job, store):
        yield at(1)
        raise ZeroDivisionError("inner detail")

    assert run_job(store, job) == "failed"
    failed = stored(store, job)[-1]
    assert "ZeroDivisionError" in failed.message.say()
    log = store.home.job(job.id) / "log.txt"
    assert str(log) in failed.hint.say()
    assert "inner detail" not in failed.message.say() + failed.hint.say()
    assert 'raise ZeroDivisionError("inner detail")' in log.read_text()


def test_a_full_disk_is_called_a_full_disk(store, job, task):
    @task
    def work(job, store):
        yield at(1)
        raise OSError(errno.ENOSPC, "No space left on device")

    run_job(store, job)
    assert stored(store, job)[-1].message.key == "errors.disk_full.text"


def test_values_that_are_no_plain_data_can_be_told_too(store, job, task, tmp_path):
    @task
    def work(job, store):
        yield at(1)
        raise BadInput("no_path", path=tmp_path)

    run_job(store, job)
    assert stored(store, job)[-1].message.say() == f"There is nothing at {tmp_path}."


def test_a_kind_nobody_knows_fails_and_says_so(store):
    job = store.submit("nonsense", {})
    store.claim(job.id, os.getpid())
    assert run_job(store, store.job(job.id)) == "failed"
    assert "nonsense" in stored(store, job)[-1].message.say()


def test_an_interrupted_worker_leaves_what_can_be_resumed(store, task):
    job = store.submit("test", {})
    store.claim(job.id, os.getpid())
    closed, interrupted = [], threading.Event()

    @task
    def work(job, store):
        try:
            yield at(1)
            interrupted.set()
            yield at(2)
            yield at(3)
        finally:
            closed.append(True)

    assert run_job(store, store.job(job.id), interrupted) == "failed"
    assert closed == [True]
    events = stored(store, job)
    assert events[:-1] == [at(1), at(2)]
    assert isinstance(events[-1], Failed)
    assert events[-1].message.key == "errors.worker_interrupted.text"


def test_a_checkpoint_makes_a_training_resumable(store):
    job = store.submit("train", {"recipe": {"dataset": "gone"}})
    store.claim(job.id, os.getpid())
    (store.home.run(job.id) / "last.pt").write_bytes(b"")
    assert running.failure(BadInput("no_upload"), store, job).resumable


def test_a_worker_that_lost_its_job_writes_nothing_more(store, job, task):
    """The machine slept, another worker took over: two must not write one history."""

    @task
    def work(job, store):
        yield at(1)
        until(lambda: stored(store, job) == [at(1)])
        until(lambda: store.take_from(store.job(job.id), "queued"))  # its heart may beat in between
        assert store.claim(job.id, os.getpid() + 1)
        for number in range(100_000):
            yield at(number)
            time.sleep(0.001)

    assert run_job(store, job) == "lost"
    ended = store.job(job.id)
    assert (ended.state, ended.pid) == ("running", os.getpid() + 1)
    assert not any(isinstance(event, Failed) for event in stored(store, job))


def test_a_worker_that_ends_before_it_knows_it_was_replaced_does_not_end_its_successors_job(store, job, task, monkeypatch):
    monkeypatch.setattr(running, "BEAT", 60.0)

    @task
    def work(job, store):
        yield at(1)
        until(lambda: store.take_from(store.job(job.id), "queued"))
        assert store.claim(job.id, os.getpid() + 1)
        return {"mine": True}

    assert run_job(store, job) == "lost"
    after = store.job(job.id)
    assert (after.state, after.pid, after.result) == ("running", os.getpid() + 1, None)


def test_reporting_goes_on_after_the_database_was_away(store, job, task, monkeypatch):
    append, failures = store.append, iter(range(3))

    def away(job_id, *events):
        if next(failures, None) is not None:
            raise OSError("away")
        return append(job_id, *events)

    monkeypatch.setattr(store, "append", away)

    @task
    def work(job, store):
        yield at(1)
        until(lambda: stored(store, job) == [at(1)])
        yield at(2)

    assert run_job(store, job) == "finished"
    assert stored(store, job) == [at(1), at(2)]


def test_the_last_words_wait_until_there_is_room(store, job, task, monkeypatch):
    """A full disk: an end that nobody can read about would be worse than one that comes late."""
    monkeypatch.setattr(running, "AGAIN", 0.001)
    append, end, failures = store.append, store.end, iter(range(6))

    def full(write):
        def tried(*given):
            if next(failures, None) is not None:
                raise Unavailable("disk_full", folder="/")
            return write(*given)

        return tried

    @task
    def work(job, store):
        monkeypatch.setattr(store, "append", full(append))
        monkeypatch.setattr(store, "end", full(end))
        yield at(1)
        raise OSError(errno.ENOSPC, "No space left on device")

    assert run_job(store, job) == "failed"
    assert [type(event) for event in stored(store, job)] == [Progressed, Failed]
    assert next(failures, None) is None


def test_what_comes_from_outside_can_be_tried_again_and_what_is_wrong_cannot(store):
    job = store.submit("train", {"recipe": {"dataset": "hats"}})
    full = OSError(errno.ENOSPC, "full")
    for error, may in ((Unavailable("worker_killed"), True), (full, True), (BadInput("no_upload"), False)):
        store.requeue(job.id)
        store.claim(job.id, os.getpid())
        store.append(job.id, running.failure(error, store, store.job(job.id)))
        store.end(job.id, "failed")
        assert store.events(job.id)[-1][1].resumable == may
        assert running.resumable(store, store.job(job.id)) == may


def test_a_run_whose_end_nobody_could_tell_can_go_on(store):
    """The supervisor was killed between the state and the reason."""
    job = store.submit("train", {"recipe": {"dataset": "hats"}})
    store.claim(job.id, os.getpid())
    store.end(job.id, "failed")
    assert running.resumable(store, store.job(job.id))
