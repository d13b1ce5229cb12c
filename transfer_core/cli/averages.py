"""`blend` and `soup`: mixtures of before and after, and averages of several trainings. Nothing is trained for them."""

from __future__ import annotations

import sys
from typing import Annotated, Any

from transfer_core.cli.answer import Answer, language, table
from transfer_core.cli.command import argument, command, option
from transfer_core.cli.foreground import run_here
from transfer_core.cli.runs import outcome
from transfer_core.jobs import averages, devices
from transfer_core.store import Job, Store
from transfer_core.words import say


@command("blend")
def blend(
    run: Annotated[str, argument("option_run")],
    take: Annotated[float | None, option("--take", words="option_take", metavar="ALPHA")] = None,
    name: Annotated[str | None, option("--name", words="option_run_name")] = None,
    device: Annotated[str | None, option("--device", words="option_device")] = None,
) -> Answer:
    store = Store()
    if take is not None:
        job = _made(store, averages.mixture(store, run, take, name), device)
        return Answer({"run": job.id, "state": job.state, **(job.result or {})}, outcome(job))
    job = store.submit("blend", {"run": averages.can_be_mixed(store, run).id}, device or devices()[0])
    found = run_here(store, job).result
    if not found:  # stopped
        return Answer({}, table([]))
    from transfer_core.sweeping import recommend_mixture  # with numpy: what other commands need not wait for

    chosen, why = recommend_mixture(found)
    kept = found["kept"] or [None] * len(found["alpha"])
    rows = [{"alpha": f"{alpha:g}", "accuracy": _percent(accuracy), "low": _percent(low), "high": _percent(high),
             "kept": None if share is None else _percent(share)}
            for alpha, accuracy, low, high, share in zip(*(found[key] for key in _MIXTURE), kept, strict=True)]
    told = why.say(language())
    found = {name: value for name, value in found.items() if name != "right"}
    return Answer({**found, "recommended": {"alpha": chosen.value, "why": told}}, f"{table(rows)}\n{told}")


_MIXTURE = ("alpha", "accuracy", "low", "high")


@command("soup")
def soup(
    runs: Annotated[list[str], argument("option_runs")],
    name: Annotated[str | None, option("--name", words="option_run_name")] = None,
    device: Annotated[str | None, option("--device", words="option_device")] = None,
) -> Answer:
    store = Store()
    job = _made(store, averages.soup(store, runs, name), device)
    result = job.result or {}
    made = result.get("averaged")
    if not made:  # stopped
        return Answer({"run": job.id, "state": job.state}, outcome(job))
    rows = [{"run": run, "alone": _percent(alone), "average": _percent(together),
             "": say("cli.soup_taken" if run in made["runs"] else "cli.soup_left", language())}
            for run, alone, together in zip(made["order"], made["alone"], made["validation"], strict=True)]
    answer = {"run": job.id, "state": job.state, **result, "taken": made["runs"],
              **{key: made[key] for key in ("left", "order", "alone", "validation", "n")}}
    del answer["averaged"]
    return Answer(answer, f"{table(rows)}\n{outcome(job)}")


def _made(store: Store, payload: dict[str, Any], device: str | None) -> Job:
    job = store.submit("train", payload, device or devices()[0])
    sys.stderr.write(f"{job.id}\n")
    return run_here(store, job)


def _percent(share: float) -> str:
    return f"{100 * share:.1f}"
