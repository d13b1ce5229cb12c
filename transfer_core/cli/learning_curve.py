"""`learning-curve`: would more photos help, and what would help most?"""

from __future__ import annotations

import sys
from typing import Annotated, Any

from transfer_core.cli.answer import Answer, language, table
from transfer_core.cli.command import argument, command, option
from transfer_core.cli.foreground import requeued, run_here
from transfer_core.cli.runs import recipe_of
from transfer_core.cli.settings import read, with_settings
from transfer_core.errors import BadInput, BadRecipe, NotFound
from transfer_core.jobs import devices
from transfer_core.jobs.tasks import last_check
from transfer_core.recipe import Recipe
from transfer_core.store import Job, Store
from transfer_core.words import say


@command("learning-curve")
@with_settings
def learning_curve(
    run: Annotated[str | None, argument("option_curve_run")] = None,
    dataset: Annotated[str | None, option("--dataset", words="option_dataset")] = None,
    preset: Annotated[str | None, option("--preset", words="option_preset", metavar="NAME")] = None,
    device: Annotated[str | None, option("--device", words="option_device")] = None,
    shares: Annotated[str, option("--shares", words="option_shares", metavar="25,50,100")] = "25,50,100",
    repeats: Annotated[int, option("--repeats", words="option_curve_repeats", min=1, max=50)] = 3,
    resume: Annotated[str | None, option("--resume", words="option_resume_folds", metavar="JOB")] = None,
    **settings: Any,
) -> Answer:
    store = Store()
    if resume:
        return _ended(store, requeued(store, resume, "learning_curve"))
    if bool(run) == bool(dataset):
        raise BadInput("run_or_dataset")
    recipe = _of_run(store, run) if run else recipe_of(store, dataset, preset, read(settings))
    payload = {"recipe": recipe.model_dump(mode="json"), "shares": _shares(shares), "repeats": repeats}
    return _ended(store, store.submit("learning_curve", payload, device or devices()[0]))


def _of_run(store: Store, run: str) -> Recipe:
    job = store.job(run)
    if job.kind != "train" or job.is_average:
        raise NotFound("no_run", name=run)
    return Recipe(**job.payload["recipe"])


def _shares(text: str) -> list[float]:
    """`25,50,100`, in per cent. Raises `BadRecipe`."""
    from transfer_core.jobs.learning_curve import check_shares  # with numpy: what other commands need not wait for

    try:
        return check_shares([float(part) / 100 for part in text.split(",") if part.strip()])
    except ValueError as error:
        raise BadRecipe("curve_shares", given=text) from error


def _ended(store: Store, job: Job) -> Answer:
    sys.stderr.write(f"{job.id}\n")
    job = run_here(store, job)
    found = job.result
    if not found:  # stopped
        return Answer({"job": job.id, "state": job.state}, table([]))
    from transfer_core.advice import advice, facts

    recipe = Recipe(**job.payload["recipe"])
    check = last_check(store, recipe.dataset, recipe.version)
    folded = next((other.result for other in store.jobs("crossvalidate")
                   if other.result and other.payload["recipe"] == job.payload["recipe"]), None)
    told = advice(facts(found, recipe, check.result if check else None, folded))
    suggested = [{"code": each.code, "why": each.why.say(language()), "do": each.do.say(language()), "page": each.page}
                 for each in told]
    return Answer({"job": job.id, "state": job.state, **found, "advice": suggested}, as_text(found, suggested))


def as_text(found: dict[str, Any], suggested: list[dict[str, Any]]) -> str:
    rows = [{"photos": point["train"], "%": _percent(point["accuracy"]["value"]), "low": _percent(point["accuracy"]["low"]),
             "high": _percent(point["accuracy"]["high"]), "epochs": point["epochs"]} for point in found["points"]]
    gain = found["gain"]
    shares = {name: _percent(gain[name]) for name in ("low", "high")}
    lines = [table(rows), say(f"cli.curve_{found['verdict']}", language(), first=gain["from"], second=gain["to"], n=found["n"],
                              gain=_percent(gain["value"]), **shares)]
    if twice := found["twice"]:
        lines.append(say("cli.curve_twice", language(), count=twice["train"], low=_percent(twice["low"]),
                         high=_percent(twice["high"])))
    if found["split"] == "validation":
        lines.append(say("curve.only_validation", language()))
    if found["whole"]:
        lines.append(say("curve.whole", language(), names=", ".join(found["whole"])))
    lines += ["", say("advice.title", language()) + ":"]
    lines += [f"{number}. {each['do']}. {each['why']}" for number, each in enumerate(suggested, 1)]
    return "\n".join([*lines, *([] if suggested else [say("advice.none", language())])])


def _percent(share: float) -> str:
    return f"{100 * share:.1f}"
