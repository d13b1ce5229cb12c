"""What whoever looks after a studio sees of its people: how much each has and runs, what went wrong. Nothing of their work."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import asdict, dataclass
from typing import Any

from transfer_core.events import Failed
from transfer_core.people.keeping import ends
from transfer_core.people.quotas import images, stored
from transfer_core.store import Job, Store
from transfer_core.words import Message

DAY = 86_400.0


@dataclass(frozen=True)
class Row:
    person: str
    name: str | None
    """None, as `email`: somebody who has not signed in."""
    email: str | None
    created: float
    active: float
    ends: float | None
    """When all of it is deleted, unless something happens; None: never."""
    leaving: bool
    images: int
    bytes: int
    """Of files, those left out that can be computed again. The first look at a person with 100,000 photos takes a second."""
    live: int
    """Jobs that wait or run."""

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def rows(store: Store) -> list[Row]:
    """All people, who was active last first."""
    live = Counter(job.owner for job in store.everyone().jobs(None, "queued", "running"))
    found = []
    for person in store.people():
        theirs = store.of(person.id)
        found.append(Row(person.id, person.name, person.email, person.created, person.active, ends(person),
                         person.leaving is not None, images(theirs), stored(theirs.home), live[person.id]))
    return found


@dataclass(frozen=True)
class Trouble:
    job: Job
    message: Message


def failures(store: Store, since: float | None = None, most: int = 20) -> list[Trouble]:
    """Jobs that failed lately, the last one first, and what was said of it."""
    everyone, since = store.everyone(), time.time() - DAY if since is None else since
    found = []
    for job in everyone.jobs(None, "failed", limit=most):
        if (job.ended or 0.0) < since:
            continue
        told = everyone.events(job.id, kinds=("failed",))
        if told and isinstance(told[-1][1], Failed):
            found.append(Trouble(job, told[-1][1].message))
    return found
