"""`guess`: a first model and a first score of a dataset, in seconds."""

from __future__ import annotations

import sys
from typing import Annotated

from transfer_core.cli.answer import Answer, language
from transfer_core.cli.command import command, option
from transfer_core.cli.foreground import run_here
from transfer_core.errors import Unavailable
from transfer_core.jobs import devices
from transfer_core.store import Store
from transfer_core.words import say


@command("guess")
def guess(
    dataset: Annotated[str, option("--dataset", words="option_dataset")],
    version: Annotated[int | None, option("--version", words="option_version")] = None,
    device: Annotated[str | None, option("--device", words="option_device")] = None,
) -> Answer:
    store = Store()
    known = store.dataset(dataset)
    seen = store.version(known.id, version)
    payload = {"dataset": known.id, "version": seen.version, "name": known.name}
    job = store.submit("guess", payload, device or devices()[0])
    sys.stderr.write(f"{job.id}\n")
    job = run_here(store, job)
    if not job.result:
        raise Unavailable("gave_way")
    score = job.result["score"]
    numbers = {name: f"{100 * score[name]:.1f}" for name in ("accuracy", "low", "high", "baseline")}
    return Answer({"run": job.id, "dataset": known.id, "version": seen.version, **job.result},
                  say(f"cli.guessed_{score['on']}", language(), n=score["n"], run=job.id, **numbers))
