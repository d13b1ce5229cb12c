"""What somebody deleted is gone for good after a while. On a person's own machine a deletion can be taken back at any time; in a
studio for many it has to make room."""

from __future__ import annotations

import time

from transfer_core.depot.tidying import remove, remove_dataset
from transfer_core.store import Store

KEPT = 3600.0
"""Seconds for which a deletion can be taken back."""


def purge(store: Store, now: float | None = None) -> int:
    """Remove files and rows of a person's trainings and datasets that were deleted an hour ago; returns how many those were.

    A dataset that a training was made from stays as long as that training does: it is measured on those photos.
    """
    if store.person is None:
        return 0
    before = (time.time() if now is None else now) - KEPT
    runs = store.deleted_jobs(before)
    for run in runs:
        for folder in ("runs", "jobs"):
            remove(store.home, folder, run)
        store.forget_job(run)
    used = {job.payload["recipe"][name] for job in store.jobs() if isinstance(job.payload.get("recipe"), dict)
            for name in ("dataset", "source_dataset") if job.payload["recipe"].get(name)}
    sets = [dataset for dataset in store.deleted_datasets(before) if dataset not in used]
    for dataset in sets:
        remove_dataset(store.home, dataset)
        store.forget_dataset(dataset)
    return len(runs) + len(sets)
