"""A worker process: runs one job and ends, or waits for the next.

    python -m transfer_core.jobs.worker train-0123456789    run this job, if it is free
    python -m transfer_core.jobs.worker --warm              import torch, then run the jobs named on stdin, one a line

It leads a session of its own, so it lives on when the web server ends; nice 10, so that pages stay quick.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress

from transfer_core import logs
from transfer_core.jobs.run import PATIENCE, insist, run_job
from transfer_core.store import Store

NICE = 10
"""With a trainer at nice 10 a slider's slowest 5 % answer in 0.25 s instead of 0.40 s; the training hardly notices."""


def main(arguments: Sequence[str] | None = None) -> int:
    arguments = sys.argv[1:] if arguments is None else arguments
    os.nice(NICE)
    limit_threads()
    interrupted = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: interrupted.set())
    if list(arguments) != ["--warm"]:
        return work(arguments[0], interrupted)
    return serve(interrupted)


def serve(interrupted: threading.Event) -> int:
    """Run the jobs named on stdin until it ends, or until one was not ours (3): whoever names them then has another view."""
    # In a thread, so that a job which comes meanwhile is claimed at once. Its own imports must wait until these are done: two
    # threads inside torchvision's circular imports deadlock, and Python ends that with half-made modules and an ImportError.
    warming = threading.Thread(target=warm_up, name="warm up", daemon=True)
    warming.start()
    while True:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)  # nothing to lose
        job_id = sys.stdin.readline().strip()
        if not job_id:  # whoever started us is gone, or needs us no more
            return 0
        signal.signal(signal.SIGTERM, lambda *_: interrupted.set())
        code = work(job_id, interrupted, ready=warming.join)
        if code or interrupted.is_set():
            return code


def work(job_id: str, interrupted: threading.Event, ready: Callable[[], object] | None = None) -> int:
    """Claim the job and run it. 0: it was ours, however it ended; 3: it was not free, or went on elsewhere."""
    store = Store(patience=PATIENCE).everyone()
    if not insist(lambda: store.claim(job_id, os.getpid())):
        return 3
    job = store.job(job_id)
    store = store.of(job.owner)  # from here on, nothing of anybody else's can be found
    with suppress(OSError):  # a full disk; the job itself will say so
        logs.to_job(store.home.job(job_id) / "log.txt", job)
    return 3 if run_job(store, job, interrupted, ready=ready) == "lost" else 0


def limit_threads() -> None:
    """Say how numeric libraries may use the cores, before they are imported. What the environment says wins.

    As many threads as cores, at all times: the number never depends on the moment, so equal recipes give equal models.
    Threads that wait for one another sleep. Measured on two cores (EfficientNet-Lite0, ms an image of a full step): idle,
    one thread 97, two 63, two that spin 60; beside one busy process, one 100, two 98, two that spin 330.
    """
    os.environ.setdefault("OMP_NUM_THREADS", str(cores()))
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def cores() -> int:
    """Cores this process may use: the affinity mask, and a container's quota of CPU time where there is one."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        with open("/sys/fs/cgroup/cpu.max", encoding="ascii") as file:  # noqa: PTH123 — read once, as the kernel names it
            quota, period = file.read().split()
    except (OSError, ValueError):
        return allowed
    return allowed if quota == "max" else max(1, min(allowed, int(quota) // int(period)))


def warm_up() -> None:
    """Import what every training needs: 8 to 11 s that nobody then waits for."""
    import timm  # noqa: F401
    import torch  # noqa: F401


if __name__ == "__main__":
    sys.exit(main())
