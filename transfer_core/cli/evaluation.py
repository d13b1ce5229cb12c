"""`evaluate`, `compare`: what a finished run is worth, and whether another is better."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

from transfer_core.cli.answer import Answer, language, table
from transfer_core.cli.command import argument, command, option
from transfer_core.cli.foreground import run_here
from transfer_core.cli.results import finish, trained
from transfer_core.errors import NotFound
from transfer_core.jobs import devices
from transfer_core.store import Job, Store
from transfer_core.words import say


@command("evaluate")
def evaluate(
    run: Annotated[str, argument("option_run")],
    split: Annotated[str, option("--split", words="option_split", metavar="test|validation")] = "test",
    unrelated: Annotated[str | None, option("--unrelated", words="option_unrelated", metavar="DATASET|FOLDER")] = None,
) -> Answer:
    from transfer_core import measured, sentences  # with numpy: what other commands need not wait for
    from transfer_core.metrics import nested

    store = Store()
    job = trained(store, run)
    folder = store.home.run(job.id)
    report = measured.report(folder, split)
    if report is None:
        finish(store, job)
        report = measured.report(folder, split)
    if report is None:
        raise NotFound("no_split", split=split)
    settled = (measured.temperature(folder) or {}).get("value", 1.0)
    classes = json.loads((folder / "classes.json").read_text("utf-8"))
    scores = ("accuracy", "low", "high", "baseline", "balanced_accuracy", "macro_f1")
    score = {name: f"{100 * report[name]:.1f}" for name in scores}
    text = say("cli.scored", language(), split=say(f"cli.{split}", language()), n=report["n"], **score)
    notes = "".join(f"\n{note.say(language())}" for note in sentences.about_intervals(report))
    text = f"{text}{notes}\n\n{table(report['per_class'])}"
    more = {"none_below": measured.none_below(folder)}
    if unrelated:
        more["unrelated"] = found = _strangers(store, job, unrelated)
    if unrelated and found:  # it was not stopped
        shares = {name: f"{100 * found['unknown'][name]:.1f}" for name in ("share", "low", "high")}
        text += "\n" + say("cli.strangers", language(), n=found["unknown"]["n"], **shares)
    return Answer({"run": job.id, "split": split, "classes": classes, "temperature": settled, **nested(report), **more}, text)


def _strangers(store: Store, job: Job, unrelated: str) -> dict[str, Any]:
    """Photos of something else: a folder, or a dataset of the studio."""
    if Path(unrelated).is_dir():
        asked = {"path": str(Path(unrelated).resolve())}
    else:
        dataset = store.dataset(unrelated)
        asked = {"dataset": dataset.id, "version": dataset.latest.version}
    return run_here(store, store.submit("strangers", {"run": job.id, **asked}, devices()[0])).result


@command("compare")
def compare(
    first: Annotated[str, argument("option_first")],
    second: Annotated[str, argument("option_second")],
) -> Answer:
    from transfer_core import measured

    store = Store()
    jobs = [trained(store, run) for run in (first, second)]
    found = measured.compare(*(_measured(store, job) for job in jobs))
    if found is None:
        raise NotFound("nothing_shared", first=first, second=second)
    differing = measured.differing([job.payload["recipe"] for job in jobs])
    verdict = say(f"cli.verdict_{found['verdict']}", language(), p=f"{found['p_value']:.2g}")
    shares = {name: f"{100 * found[name]:.1f}" for name in ("first", "second", "difference", "low", "high")}
    counts = {name: found[name] for name in ("n", "only_first", "only_second")}
    text = say("cli.compared", language(), **counts, **shares)
    return Answer({"runs": [job.id for job in jobs], **found, "settings": differing}, f"{text} {verdict}")


def _measured(store: Store, job: Job) -> Path:
    """The folder of a run, after it was measured."""
    folder = store.home.run(job.id)
    if not (folder / "report.json").is_file():
        finish(store, job)
    return folder
