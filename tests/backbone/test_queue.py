"""The order of the queue, for whoever asks and whatever comes."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from transfer_core.store import Job, queue
from transfer_core.store.queue import LAST, lane, line_of

KINDS = (*["train"] * 4, "sweep", "measure", "explain", "guess")
DEVICES = (*["cpu"] * 4, "cuda:0")
"""Mostly the same, so that many wait for one lane."""
asking = st.tuples(st.sampled_from(KINDS), st.sampled_from(DEVICES), st.sampled_from(("ada", "bo", None)))
"""Somebody asks for something."""
ending = st.integers(0, 5)
"""One of those that run ends; or nothing, where fewer run."""


class Studio:
    """Jobs and a clock, and what a store knows of those that have ended."""

    def __init__(self) -> None:
        self.jobs: list[Job] = []
        self.now = 0.0

    def ask(self, kind: str, device: str, owner: str | None) -> None:
        self.now += 1
        self.jobs.append(Job(f"{kind}-{len(self.jobs)}", kind, "queued", device, {}, None, self.now, None, None, None, None, None,
                             None, owner))

    def change(self, job: Job, **values) -> None:
        self.now += 1
        self.jobs[self.jobs.index(job)] = replace(job, **{name: self.now if value is ... else value
                                                          for name, value in values.items()})

    def end(self, number: int) -> None:
        running = [job for job in self.jobs if job.state == "running"]
        if number < len(running):
            self.change(running[number], state="finished", ended=...)

    @property
    def live(self) -> list[Job]:
        return [job for job in self.jobs if job.live]

    @property
    def turns(self) -> queue.Turns:
        since = {line: jobs[0].created for line, jobs in queue.waiting(self.live).items()}
        found = {}
        for job in self.jobs:
            line = line_of(job.device, job.kind)
            if job.ended and job.ended >= since.get(line, self.now + 1):
                found[line, job.owner] = max(job.ended, found.get((line, job.owner), 0.0))
        return found

    def start(self) -> list[Job]:
        begun = queue.startable(self.live, self.turns)
        for job in begun:
            assert queue.before(job, self.live, self.turns) == []
            self.change(job, state="running", started=...)
        return begun


def rivals(job: Job, other: Job) -> bool:
    return line_of(job.device, job.kind) == line_of(other.device, other.kind) and job.owner != other.owner


@given(st.lists(asking | ending, max_size=40))
def test_nobody_starves_everybody_keeps_their_order_and_a_lane_runs_one(steps):
    studio = Studio()
    passed: dict[str, dict[str | None, int]] = {}
    for step in [*steps, *[0] * (2 * len(steps))]:  # at the end all that wait get their turns
        if isinstance(step, int):
            studio.end(step)
        else:
            studio.ask(*step)
            job = studio.jobs[-1]
            place = sum(other.owner == job.owner and other.live and
                        line_of(other.device, other.kind) == line_of(job.device, job.kind) for other in studio.jobs)
            passed[job.id] = {"may": place}
        waited = [job for job in studio.live if job.state == "queued"]
        for begun in studio.start():
            same = [job for job in waited if line_of(job.device, job.kind) == line_of(begun.device, begun.kind)]
            assert all(begun.created <= job.created for job in same if job.owner == begun.owner), "its owner asked for this first"
            for job in same:
                if job.owner != begun.owner:
                    passed[job.id][begun.owner or "–"] = passed[job.id].get(begun.owner or "–", 0) + 1
            assert begun.kind not in LAST or not any(
                lane(job) == lane(begun) and job.kind not in LAST for job in waited), "what nobody asked for goes last"
        running = [lane(job) for job in studio.jobs if job.state == "running"]
        assert len(running) == len(set(running)), "one long and one short at a time on a device"
        free = {lane(job) for job in studio.live} - set(running)
        assert not free, "a lane in which somebody waits is never idle"
    assert all(job.state == "finished" for job in studio.jobs)
    for counts in passed.values():  # behind n of mine: any other owner gets n + 1 turns before me at most
        may = counts.pop("may")
        assert all(count <= may for count in counts.values()), (may, counts)


@given(st.lists(asking, max_size=30), st.data())
def test_the_place_in_the_queue_is_what_it_will_be(asked, data):
    """Where nobody else comes, jobs start in the order of their places."""
    studio = Studio()
    for each in asked:
        studio.ask(*each)
    studio.start()
    if not studio.live:
        return
    where = data.draw(st.sampled_from(sorted({lane(job) for job in studio.live})))
    mine = [job for job in studio.live if lane(job) == where and job.state == "queued"]
    places = {job.id: len(queue.before(job, studio.live, studio.turns)) for job in mine}
    assert sorted(places.values()) == list(range(1, len(mine) + 1))
    order = []
    for _ in mine:
        [running] = [job for job in studio.live if job.state == "running" and lane(job) == where]
        studio.change(running, state="finished", ended=...)
        order += [job.id for job in studio.start() if lane(job) == where]
    assert order == sorted(places, key=places.get)


def test_a_second_job_waits_behind_everybodys_first():
    studio = Studio()
    for owner in ("ada", "ada", "bo", "ada", "cem", "bo"):
        studio.ask("train", "cpu", owner)
    order = [job.id for job in queue.lanes(studio.live, {})[queue.Lane("cpu", short=False)]]
    assert order == ["train-0", "train-2", "train-4", "train-1", "train-5", "train-3"]


def test_one_that_is_to_be_discarded_keeps_nobody_waiting():
    studio = Studio()
    studio.ask("train", "cpu", None)
    studio.change(studio.jobs[0], stop="discard")
    studio.ask("train", "cpu", None)
    assert [job.id for job in queue.startable(studio.live, {})] == ["train-1"]
