"""Server-sent events: every event once, in order, from where the browser left off, until the job has ended."""

from __future__ import annotations

import threading
from types import SimpleNamespace

import pytest

from transfer_core.errors import Busy
from transfer_core.events import Epoch, Finished, Losses, Progressed, Step, from_json
from transfer_core.http import stream


def step(number: int) -> Step:
    return Step(step=number, epoch=1, losses=Losses(total=1.0, target=1.0), learning_rate=0.1)


def parse(text: str) -> list[tuple[int, object]]:
    found = []
    for block in text.split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.splitlines() if ": " in line and not line.startswith(":"))
        if "id" in fields:
            found.append((int(fields["id"]), from_json(fields["data"])))
    return found


@pytest.fixture
def job(store):
    job = store.submit("import", {})
    store.claim(job.id, 1)
    store.append(job.id, *(Progressed(stage="reading", done=done) for done in range(5)))
    return job


def test_an_ended_job_is_told_from_its_first_event_to_its_end(client, store, job):
    store.append(job.id, Finished(seconds=1.0))
    store.end(job.id, "finished")
    answer = client.get(f"/api/jobs/{job.id}/events")
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.headers["x-accel-buffering"] == "no"
    assert [number for number, _ in parse(answer.text)] == [1, 2, 3, 4, 5, 6]
    assert answer.text.endswith("event: end\ndata: {}\n\n")


def test_it_goes_on_after_the_last_event_the_browser_has(client, store, job):
    store.end(job.id, "finished")
    answer = client.get(f"/api/jobs/{job.id}/events", headers={"Last-Event-ID": "3"})
    assert [number for number, _ in parse(answer.text)] == [4, 5]


def test_a_browser_that_has_everything_is_told_not_to_come_back(client, store, job):
    store.end(job.id, "finished")
    assert client.get(f"/api/jobs/{job.id}/events", headers={"Last-Event-ID": "5"}).status_code == 204


@pytest.mark.parametrize("nonsense", ["-1", "x", "9" * 40, "٣"])
def test_a_nonsense_number_means_from_the_start(client, store, job, nonsense):
    store.end(job.id, "finished")
    answer = client.get(f"/api/jobs/{job.id}/events", headers={"Last-Event-ID": nonsense.encode()})
    assert len(parse(answer.text)) == 5


def test_a_job_that_is_not_there(client):
    assert client.get("/api/jobs/train-0/events").status_code == 404


def test_a_live_job_is_followed_to_its_end(client, store, job, monkeypatch):
    """Events stored after the stream began come through it; it ends by itself."""
    looked = threading.Event()
    look = stream._look

    def looking(*arguments):
        found = look(*arguments)
        looked.set()
        return found

    monkeypatch.setattr(stream, "_look", looking)
    monkeypatch.setattr(stream, "EVERY", 0.01)

    def work():
        looked.wait(10)
        store.append(job.id, Progressed(stage="checking", done=1), Finished(seconds=2.0))
        store.end(job.id, "finished")

    worker = threading.Thread(target=work)
    worker.start()
    answer = client.get(f"/api/jobs/{job.id}/events")
    worker.join()
    numbers, events = zip(*parse(answer.text), strict=True)
    assert numbers == (1, 2, 3, 4, 5, 6, 7)
    assert events[-1] == Finished(seconds=2.0)


def test_silence_is_filled_with_comments(client, store, job, monkeypatch):
    monkeypatch.setattr(stream, "EVERY", 0.01)
    monkeypatch.setattr(stream, "HEARTBEAT", 0.02)
    looks = iter(range(10))
    look = stream._look

    def ends_after_ten(*arguments):
        if next(looks, None) is None:
            store.end(job.id, "finished")
        return look(*arguments)

    monkeypatch.setattr(stream, "_look", ends_after_ten)
    assert client.get(f"/api/jobs/{job.id}/events").text.count(": still here") == 5


def test_a_late_page_gets_a_curve_and_not_a_hundred_thousand_points(client, store, monkeypatch):
    monkeypatch.setattr(stream, "CURVE", 100)
    job = store.submit("train", {})
    losses = Losses(total=1.0, target=1.0)
    epoch = Epoch(epoch=1, step=1000, train=losses, train_accuracy=1.0, validation=losses, validation_accuracy=1.0,
                  confusion=[[1]], best=True, seconds=1.0)
    store.append(job.id, *(step(number) for number in range(1, 1001)), epoch, step(1001))
    store.end(job.id, "stopped")
    events = [event for _, event in parse(client.get(f"/api/jobs/{job.id}/events").text)]
    steps = [event for event in events if isinstance(event, Step)]
    assert 90 <= len(steps) <= 102
    assert epoch in events
    assert steps[-1].step == 1001, "the newest event is never thinned out"


def test_one_person_cannot_hold_all_streams(store, monkeypatch, job):
    """And whose stream has ended, however, has its place again."""
    monkeypatch.setattr(stream, "OF_ONE", 2)
    monkeypatch.setattr(stream, "OF_ADDRESS", 3)
    places = stream.Places()

    def request(host: str) -> object:
        return SimpleNamespace(client=SimpleNamespace(host=host))

    ada, bo = store.of("a" * 32), store.of("b" * 32)
    held = [places.take(request("10.0.0.1"), ada), places.take(request("10.0.0.2"), ada)]
    with pytest.raises(Busy) as refused:
        places.take(request("10.0.0.3"), ada)
    assert refused.value.values == {"most": 2}
    held += [places.take(request("10.0.0.1"), bo), places.take(request("10.0.0.1"), store.of("c" * 32))]
    with pytest.raises(Busy):
        places.take(request("10.0.0.1"), bo)
    for names in held:
        places.give_back(names)
    assert places.taken == {}


def test_one_stream_too_many_is_told_so_and_an_ended_one_is_none(client, store, job, monkeypatch):
    store.end(job.id, "finished")
    monkeypatch.setattr(stream, "OF_ADDRESS", 1)
    for _ in range(3):
        assert client.get(f"/api/jobs/{job.id}/events").status_code == 200
    monkeypatch.setattr(stream, "OF_ADDRESS", 0)
    answer = client.get(f"/api/jobs/{job.id}/events")
    assert (answer.status_code, answer.json()["code"]) == (429, "too_many_streams") and answer.json()["hint"]
