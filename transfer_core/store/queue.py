"""Who is next. One pure order for everybody who asks: `Store.claim`, `Store.ahead` and the supervisor.

Every device has two lanes, each of which runs one job at a time (on a cluster, as many as it has room for): a long one for
trainings, and a short one for what a person at a page waits for. A lane goes from owner to owner, and whoever had a turn last
comes last; the jobs of one owner keep their order.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from transfer_core.store.jobs import Job

IO = "io"
"""The device of jobs that need none (imports): it has no lanes, any number of them may run beside a training."""
LAST = ("guess", "measure")
"""Kinds of jobs hardly anybody asked for: whatever else waits in their lane goes first."""


class Lane(NamedTuple):
    device: str
    short: bool


class Line(NamedTuple):
    """Jobs of a lane among which turns are taken; those of `LAST` take theirs after all others."""

    lane: Lane
    last: bool


Turns = Mapping[tuple[Line, str | None], float]
"""When an owner's last turn in a line ended. Only turns since the oldest waiting job of that line came are counted."""


def lane(job: Job) -> Lane:
    return line_of(job.device, job.kind).lane


def line_of(device: str, kind: str) -> Line:
    return Line(Lane(device, is_short(kind)), kind in LAST)


def is_short(kind: str) -> bool:
    """Whether a task is registered as one that is done in a minute or two."""
    from transfer_core.jobs.tasks import TASKS  # inside: the tasks know the store

    return kind in TASKS and bool(TASKS[kind].facts.get("short"))


def waiting(live: Iterable[Job]) -> dict[Line, list[Job]]:
    """The queued jobs of every line, oldest first. What is to be discarded waits for nothing but the supervisor."""
    lines: dict[Line, list[Job]] = defaultdict(list)
    for job in sorted(live, key=lambda job: (job.created, job.id)):
        if job.state == "queued" and job.device != IO and job.stop != "discard":
            lines[line_of(job.device, job.kind)].append(job)
    return lines


def in_order(jobs: Iterable[Job], turns: Mapping[str | None, float], now: Iterable[str | None] = ()) -> list[Job]:
    """Jobs of one line, oldest first, in the order in which they get their turns. `now`: the owner of each that runs."""
    mine: dict[str | None, list[Job]] = defaultdict(list)
    for job in jobs:
        mine[job.owner].append(job)
    taken = {owner: (0, turns.get(owner, float("-inf"))) for owner in mine}
    taken |= {owner: (count, 0.0) for owner, count in Counter(now).items()}
    ordered: list[Job] = []
    while mine:
        owner = min(mine, key=lambda owner: (taken[owner], mine[owner][0].created, mine[owner][0].id))
        ordered.append(mine[owner].pop(0))
        taken[owner] = (taken[owner][0] + 1, float(len(ordered)))
        if not mine[owner]:
            del mine[owner]
    return ordered


def running(live: Iterable[Job]) -> list[Job]:
    """Those that take up a place in their lane. A process takes one, also where it works at a part of its own job."""
    found = {(lane(job), job.worker or job.id): job for job in live if job.state == "running" and job.device != IO}
    return list(found.values())


def lanes(live: Iterable[Job], turns: Turns) -> dict[Lane, list[Job]]:
    """The queued jobs of every lane, in order."""
    live = list(live)
    now: dict[Line, list[str | None]] = defaultdict(list)
    for job in running(live):
        now[line_of(job.device, job.kind)].append(job.owner)
    lines = waiting(live)
    found: dict[Lane, list[Job]] = defaultdict(list)
    for each in sorted(lines, key=lambda each: each.last):
        known = {owner: ended for (where, owner), ended in turns.items() if where == each}
        found[each.lane] += in_order(lines[each], known, now[each])
    return found


def before(job: Job, live: Iterable[Job], turns: Turns) -> list[Job]:
    """Those that run in the lane of a queued job, and those that get their turns before it."""
    live = list(live)
    if all(job.id != other.id for other in live):
        live.append(job)
    taken = [other for other in running(live) if other.id != job.id and lane(other) == lane(job)]
    queued = lanes(live, turns)[lane(job)]
    place = next((place for place, other in enumerate(queued) if other.id == job.id), 0)
    return taken + queued[:place]


def ahead(before: int, room: int) -> int:
    """How many of so many jobs before one must end until it may start: all, but where there is room for several, not the last."""
    return max(0, before + 1 - max(1, room))


def alone(_device: str) -> int:
    return 1


def startable(live: Iterable[Job], turns: Turns, room: Callable[[str], int] = alone) -> list[Job]:
    """The next jobs of every lane, as many as it has room for beside those that run. `room`: of the lanes of a device."""
    live = list(live)
    taken = Counter(map(lane, running(live)))
    return [job for where, queued in lanes(live, turns).items() for job in queued[:max(0, room(where.device) - taken[where])]]
