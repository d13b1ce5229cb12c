"""`explain` and `background`: which places of a photo speak for an answer, and whether a model looks at the background."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from transfer_core.cli.answer import Answer, language, table
from transfer_core.cli.command import argument, command, option
from transfer_core.cli.foreground import run_here
from transfer_core.cli.results import trained
from transfer_core.depot.jobs import working_in
from transfer_core.errors import BadImage
from transfer_core.jobs import devices
from transfer_core.jobs.worker import limit_threads
from transfer_core.paths import replacing
from transfer_core.store import Store
from transfer_core.words import say


@command("explain")
def explain(
    run: Annotated[str, argument("option_run")],
    image: Annotated[Path, argument("option_image")],
    out: Annotated[Path, option("--out", words="option_heat_out", metavar="PNG")] = Path("heat.png"),
    label: Annotated[str | None, option("--label", words="option_label", metavar="CLASS")] = None,
) -> Answer:
    store = Store()
    job = trained(store, run)
    if not image.is_file():
        raise BadImage("unreadable_file")
    limit_threads()
    from transfer_core.training.explain import explain

    with working_in(store, job):
        found = explain(store.home.run(job.id), image, label)
    with replacing(out) as part:
        found.picture.save(part, "PNG")
    percent = f"{100 * found.probabilities[found.label]:.1f}"
    return Answer({"run": job.id, "image": str(image), **found.to_dict(), "out": str(out.resolve())},
                  say("cli.explained", language(), label=found.label, percent=percent, file=str(out)))


@command("background")
def background(
    run: Annotated[str, argument("option_run")],
    device: Annotated[str | None, option("--device", words="option_device")] = None,
) -> Answer:
    store = Store()
    job = trained(store, run)
    found = run_here(store, store.submit("background", {"run": job.id}, device or devices()[0])).result
    if not found:  # stopped
        return Answer({}, table([]))
    rows = [{"": say(f"background.{way}", language()), "%": _percent(found[way]["accuracy"]), "low": _percent(found[way]["low"]),
             "high": _percent(found[way]["high"])} for way in ("full", "centre_hidden", "centre_only")]
    told = _told(found)
    return Answer({"run": job.id, **found, "told": told}, f"{table(rows)}\n{told}")


def _told(found: dict[str, Any]) -> str:
    shares = {"full": found["full"], "hidden": found["centre_hidden"], "only": found["centre_only"]}
    values = {name: _percent(score["accuracy"]) for name, score in shares.items()}
    return say(f"background.{found['reason']}", language(), n=found["n"], baseline=_percent(found["baseline"]), few=found["few"],
               **values)


def _percent(share: float) -> str:
    return f"{100 * share:.1f}"
