"""What is left of a run that somebody threw away while no worker had it: nothing."""

from __future__ import annotations

from transfer_core.depot.tidying import remove
from transfer_core.events import Stopped
from transfer_core.jobs import apart, spreading
from transfer_core.store import Job, Store


def discard_queued(store: Store, job: Job) -> bool:
    """End a queued job that was told "discard", with all it made before it was queued again. False when it is not such a job."""
    if job.state != "queued" or job.stop != "discard" or not store.drop_queued(job.id):
        return False
    discard(store, job)
    return True


def discard_points(store: Store, sweep: str) -> None:
    """Remove the trainings of a sweep nobody has gone on with."""
    for run in store.jobs("train", "stopped"):
        if run.is_part and run.payload["sweep"] == sweep:
            throw_away(store, run.id)


def throw_away(store: Store, run: str) -> None:
    """Take a training out of the lists, and what it made off the disk."""
    store.delete_job(run)
    remove(store.home, "runs", run)


def discard(store: Store, job: Job) -> None:
    """Remove what a run left on disk, and say so. Its state is already "stopped": nobody writes there now."""
    if job.kind == "train":
        remove(store.home, "runs", job.id)
    elif job.kind in ("sweep", "crossvalidate"):
        spreading.dismiss(store, job.id)
    if job.kind == "sweep":
        discard_points(store, job.id)
    elif job.kind in apart.PARTS:
        apart.throw_away(store.home, job)
    store.append(job.id, Stopped(kept=False))
