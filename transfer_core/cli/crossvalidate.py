"""`crossvalidate`: how good a recipe is, with every photo tested once."""

from __future__ import annotations

import sys
from typing import Annotated, Any

from transfer_core.cli.answer import Answer, language, table
from transfer_core.cli.command import command, option
from transfer_core.cli.foreground import requeued, run_here
from transfer_core.cli.runs import recipe_of
from transfer_core.cli.settings import read, with_settings
from transfer_core.jobs import devices
from transfer_core.store import Job, Store
from transfer_core.words import say


@command("crossvalidate")
@with_settings
def crossvalidate(
    dataset: Annotated[str | None, option("--dataset", words="option_dataset")] = None,
    preset: Annotated[str | None, option("--preset", words="option_preset", metavar="NAME")] = None,
    device: Annotated[str | None, option("--device", words="option_device")] = None,
    folds: Annotated[int, option("--folds", words="option_folds", min=2, max=20)] = 5,
    repeats: Annotated[int, option("--repeats", words="option_repeats", min=1, max=50)] = 3,
    resume: Annotated[str | None, option("--resume", words="option_resume_folds", metavar="JOB")] = None,
    **settings: Any,
) -> Answer:
    store = Store()
    if resume:
        return _ended(store, requeued(store, resume, "crossvalidate"))
    recipe = recipe_of(store, dataset, preset, read(settings))
    payload = {"recipe": recipe.model_dump(mode="json"), "folds": folds, "repeats": repeats}
    return _ended(store, store.submit("crossvalidate", payload, device or devices()[0]))


def _ended(store: Store, job: Job) -> Answer:
    sys.stderr.write(f"{job.id}\n")
    job = run_here(store, job)
    found = job.result
    if not found:  # stopped
        return Answer({"job": job.id, "state": job.state}, table([]))
    return Answer({"job": job.id, "state": job.state, **found}, as_text(job))


def as_text(job: Job) -> str:
    found = job.result
    rows = [{**each, "accuracy": f"{100 * each['accuracy']:.1f}"} for each in found["folds"]]
    shares = {name: f"{100 * found['accuracy'][name]:.1f}" for name in ("value", "low", "high")}
    text = say("cli.folded", language(), n=found["n"], folds=job.payload["folds"], repeats=job.payload["repeats"], **shares,
               spread=f"{100 * (found['spread'] or 0):.1f}", baseline=f"{100 * found['baseline']:.1f}")
    return f"{table(rows)}\n{text}"
