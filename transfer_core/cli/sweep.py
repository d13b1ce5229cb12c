"""`sweep`: several λ; what each learns and what each keeps."""

from __future__ import annotations

import sys
from typing import Annotated, Any

from transfer_core.cli.answer import Answer, language, table
from transfer_core.cli.command import command, option
from transfer_core.cli.foreground import requeued, run_here
from transfer_core.cli.runs import recipe_of
from transfer_core.cli.settings import read, with_settings
from transfer_core.errors import BadRecipe
from transfer_core.jobs import devices
from transfer_core.store import Job, Store
from transfer_core.words import Message, say


@command("sweep")
@with_settings
def sweep(
    dataset: Annotated[str | None, option("--dataset", words="option_dataset")] = None,
    preset: Annotated[str | None, option("--preset", words="option_preset", metavar="NAME")] = None,
    device: Annotated[str | None, option("--device", words="option_device")] = None,
    name: Annotated[str | None, option("--name", words="option_run_name")] = None,
    lambda_target: Annotated[str | None, option("--lambda", words="option_lambdas", metavar="0,0.1,1,10")] = None,
    resume: Annotated[str | None, option("--resume", words="option_resume_sweep", metavar="SWEEP")] = None,
    seeds: Annotated[int, option("--seeds", words="option_seeds", min=1, max=100)] = 1,
    **settings: Any,
) -> Answer:
    store, given = Store(), read(settings)
    if resume:
        return _ended(store, requeued(store, resume, "sweep"))
    if given.get("source_loss") or given.get("source_dataset"):
        given.setdefault("regularizer", None)  # one λ at a time, unless the other is asked for
    recipe = recipe_of(store, dataset, preset, given)
    from transfer_core.sweeping import check, grid  # with numpy: what other commands need not wait for

    values = check(recipe, grid(recipe) if lambda_target is None else _numbers(lambda_target))
    payload = {"recipe": recipe.model_dump(mode="json"), "values": values, "seeds": seeds} | ({"name": name} if name else {})
    return _ended(store, store.submit("sweep", payload, device or devices()[0]))


def _ended(store: Store, job: Job) -> Answer:
    sys.stderr.write(f"{job.id}\n")
    job = run_here(store, job)
    return Answer({"sweep": job.id, "state": job.state, **_told(job)}, _shown(job))


def _numbers(text: str) -> list[float]:
    from transfer_core.sweeping import numbers

    try:
        return numbers(text)
    except ValueError as error:
        raise BadRecipe("bad_setting", setting="lambda", given=text, reason="0,0.1,1,10") from error


def _told(job: Job) -> dict[str, Any]:
    result = dict(job.result or {"points": [], "recommended": None})
    if chosen := result["recommended"]:
        result["recommended"] = {**chosen, "why": Message(**chosen["why"]).say(language())}
    return result


def _shown(job: Job) -> str:
    told = _told(job)
    rows = [{"lambda": f"{row['lambda']:g}", "seed": row["seed"], "accuracy": f"{100 * row['accuracy']:.1f}",
             "low": f"{100 * row['low']:.1f}", "high": f"{100 * row['high']:.1f}",
             "kept": "–" if row["kept"] is None else f"{100 * row['kept']:.1f}", "drift": f"{100 * row['drift']:.2g}",
             "run": row["run"]} for row in told["points"]]
    chosen = told["recommended"] or {"why": ""}
    why = chosen["why"] if chosen.get("shown", True) else f"{chosen['why']}\n{say('sweep.all_alike', language())}"
    return f"{table(rows)}\n{why}"
