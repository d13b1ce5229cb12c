"""What runs on a node: one job of the studio's queue, in a process that Ray starts for it and that ends with it."""

from __future__ import annotations

import os
import platform
import signal
import threading
from pathlib import Path

UNSEEN = "unseen"
"""How a task ends that does not see the data home."""


def do(job_id: str, nonce: str, settings: dict[str, str], home: str, threads: int) -> tuple[int | str, str]:
    """Claim the job and run it, as a worker process does; returns the exit status of one, and the name of this machine.

    `nonce`: the last part of the lease, by which who asked for this knows it. `settings`: environment variables of the studio.
    """
    os.environ.update(settings)
    os.environ["OMP_NUM_THREADS"] = str(threads)  # Ray has set it to what a task is charged for, rounded down
    from transfer_core import depot
    from transfer_core.cluster.state import file
    from transfer_core.jobs import worker
    from transfer_core.paths import Home
    from transfer_core.store import leases

    if depot.is_on():  # no folder is shared: what is known of the cluster comes from the store, as all else does
        from transfer_core.depot.things import renew_sealed

        renew_sealed(Home(Path(home)), file(Home(Path(home))))
    if not file(Home(Path(home))).is_file():  # written before this was asked for
        return UNSEEN, platform.node()
    leases.call_yourself(nonce)
    os.nice(worker.NICE)
    worker.limit_threads()
    # Ray asks its workers to go when their node is taken away. Not told as an end to the job: a task that dies at once is seen
    # by Ray, and another node goes on from the last checkpoint.
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    return worker.work(job_id, threading.Event()), platform.node()
