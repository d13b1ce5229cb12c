"""The queue as people see it: what runs, what waits, and when it is likely to start.

All that is known of the order comes from `store.queue`; how much a job still needs, from what it has reported, or from a forecast
where it has not begun. What nobody knows stays unknown: a wrong number is worse than none.
"""

from __future__ import annotations

import heapq
import json
import time
from collections import Counter
from dataclasses import dataclass
from typing import Any

from transfer_core import catalog
from transfer_core.errors import StudioError
from transfer_core.estimate import estimate
from transfer_core.jobs.tasks import came_along
from transfer_core.recipe import Recipe
from transfer_core.speeds import speeds
from transfer_core.store import Job, Store, queue
from transfer_core.store.queue import IO, lane, lanes

ENDING = 12.0
"""Seconds to measure and export a trained model: assumed, as in `estimate`."""
GIVING_WAY = 5.0
"""Seconds until a job that nobody asked for has noticed that somebody waits: assumed."""
_WHOLE = {"sweep": "swept", "crossvalidate": "folded", "learning_curve": "sampled"}
"""Kind of a job made of several trainings → the event that says one is done."""


@dataclass(frozen=True)
class Place:
    job: Job
    ahead: int
    """Jobs before it in its lane of its device; 0 when it runs, or is next."""
    share: float | None
    """How much of it is done, 0 to 1; None where that is unknown."""
    starts_in: float | None
    """Seconds until it is likely to start; 0 when it runs; None where that is unknown."""


def places(store: Store, now: float | None = None) -> list[Place]:
    """All jobs that run or wait, whosesoever, lane by lane, in the order of the queue."""
    store = store.everyone()
    live = store.jobs(None, "running", "queued")
    ahead = _ahead(store, live)
    found: list[Place] = []
    needs: dict[str, float | None] = {}
    for job in sorted(live, key=lambda job: (lane(job), job.state != "running", ahead[job.id], job.created)):
        needs[job.id] = still_needs(store, job, now)
        before = [_holds_up(each.job, job, needs) for each in found if lane(each.job) == lane(job)][:ahead[job.id]]
        # Fewer than `ahead` says: the queue has changed in between. And imports wait for one of several places.
        known = len(before) == ahead[job.id] and None not in before and job.device != IO
        room = store.room(job.device)
        starts_in = 0.0 if job.state == "running" else _free(before, room) if known and room else None
        found.append(Place(job, queue.ahead(ahead[job.id], room), _share(store, job), starts_in))
    return found


def _free(before: list[float], room: int) -> float:
    """Seconds until one of so many places is free, when each takes the next job as soon as it can."""
    places = [0.0] * room
    for need in before:
        heapq.heapreplace(places, places[0] + need)
    return places[0]


def _ahead(store: Store, live: list[Job]) -> dict[str, int]:
    """How many jobs of its lane come before each, from one look at the queue: for hundreds, one look each takes minutes."""
    running = Counter(map(lane, queue.running(live)))
    queued = lanes(live, store.turns(live))
    before = {job.id: place for jobs in queued.values() for place, job in enumerate(jobs)}
    return {job.id: running[lane(job)] + before.get(job.id, 0) if job.state == "queued" and job.device != IO else 0
            for job in live}


def _holds_up(other: Job, job: Job, needs: dict[str, float | None]) -> float | None:
    return GIVING_WAY if _gives_way(other) and not _gives_way(job) else needs[other.id]


def _gives_way(job: Job) -> bool:
    return job.kind == "measure" or came_along(job)


def place(store: Store, job: Job) -> Place | None:
    """That of one job; None when it has ended."""
    return next((each for each in places(store) if each.job.id == job.id), None)


def still_needs(store: Store, job: Job, now: float | None = None) -> float | None:
    """Seconds a job takes from now on, or from its start; None where nobody knows."""
    now, share = time.time() if now is None else now, _share(store, job)
    whole = forecast(store, job)
    if job.kind == "train":
        last = _last(store, job, "epoch")
        if share == 1.0:
            return ENDING
        if last is not None and last.get("seconds_left") is not None:
            return last["seconds_left"] + ENDING
    elif share and job.state == "running" and job.started:
        return (now - job.started) * (1 - share) / share
    if whole is None:
        return None
    if job.state == "queued" or not job.started:
        return whole * (1 - (share or 0.0))
    left = whole - (now - job.started)
    return left if left > 0 else None  # it takes longer than was thought: nobody knows how much


def forecast(store: Store, job: Job) -> float | None:
    """Seconds for the whole job, by its recipe and what this machine was measured at; None without such."""
    if job.kind not in ("train", *_WHOLE) or job.is_average:
        return None
    try:
        recipe = Recipe(**job.payload["recipe"])
        info = catalog.model(recipe.model)
        summary = store.version(recipe.dataset, recipe.version).summary
    except StudioError:
        return None
    cost = estimate(recipe, info, summary["split"]["train"], speeds(store.home).get(info.name), classes=len(summary["classes"]))
    if cost.seconds is None or cost.seconds_again is None:
        return None
    return cost.seconds + (_trainings(job) - 1) * cost.seconds_again


def _trainings(job: Job) -> int:
    payload = job.payload
    match job.kind:
        case "sweep":
            return len(payload["values"]) * payload["seeds"]
        case "crossvalidate":
            return payload["folds"] * payload["repeats"]
        case "learning_curve":
            return len(payload["shares"]) * payload["repeats"]
    return 1


def _share(store: Store, job: Job) -> float | None:
    """By whole epochs, or whole trainings; None before the first."""
    if job.kind in _WHOLE:
        done = len(store.raw_events(job.id, kinds=(_WHOLE[job.kind],)))
        return min(1.0, done / _trainings(job)) if done else None
    if job.kind != "train":
        return None
    last = _last(store, job, "epoch", "finished")
    if last is None:
        return None
    return 1.0 if last["type"] == "finished" else min(1.0, last["epoch"] / Recipe(**job.payload["recipe"]).epochs)


def _last(store: Store, job: Job, *kinds: str) -> dict[str, Any] | None:
    """The newest of these events as plain data: an epoch's matrix need not be checked each second."""
    found = store.raw_events(job.id, kinds=kinds)
    return json.loads(found[-1][1]) if found else None
