"""`import`, `datasets`, `models`: what can be trained, and on what."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

from transfer_core.cli.answer import Answer, language, table
from transfer_core.cli.command import argument, command, option
from transfer_core.cli.foreground import run_here
from transfer_core.errors import BadInput
from transfer_core.store import Store
from transfer_core.words import say


@command("import")
def import_(
    path: Annotated[Path | None, argument("option_path")] = None,
    name: Annotated[str | None, option("--name", words="option_name")] = None,
    example: Annotated[str | None, option("--example", words="option_example")] = None,
    answer: Annotated[list[str] | None, option("--answer", words="option_answer", metavar="QUESTION=ANSWER")] = None,
    images_per_class: Annotated[int | None, option("--images-per-class", words="option_images_per_class")] = None,
    seed: Annotated[int, option("--seed", words="option_split_seed")] = 0,
) -> Answer:
    if (path is None) == (example is None):
        raise BadInput("path_or_example")
    source = {"path": str(path.expanduser().resolve())} if path else {"example": example, "images_per_class": images_per_class}
    answers = dict(each.split("=", 1) for each in answer or () if "=" in each) or None
    name = name or (path.expanduser().resolve().stem if path else str(example))
    store = Store()
    job = run_here(store, store.submit("import", {**source, "name": name, "answers": answers, "seed": seed}))
    found = job.result or {}
    if not found:
        raise BadInput("import_stopped")
    counts: dict[str, int] = found["classes"]
    text = say("cli.imported", language(), name=name, images=found["imported"], classes=len(counts), dataset=found["dataset"],
               left_out=len(found["quarantined"]), duplicates=found["duplicates"])
    return Answer(found, "\n".join([text, *(f"  {bad['file']}: {bad['reason']}" for bad in found["quarantined"])]))


@command("import-project")
def import_project(path: Annotated[Path, argument("option_project")]) -> Answer:
    store = Store()
    job = run_here(store, store.submit("import_project", {"path": str(path.expanduser().resolve())}))
    found = job.result or {}
    if not found:
        raise BadInput("import_stopped")
    return Answer(found, say("cli.restored", language(), **{name: found[name] for name in ("run", "dataset", "photos")}))


@command("datasets")
def datasets() -> Answer:
    rows = [_dataset(dataset) for dataset in Store().datasets()]
    shown = [{**row, "classes": len(row["classes"]), "split": " / ".join(map(str, row["split"].values()))} for row in rows]
    return Answer({"datasets": rows}, table(shown))


def _dataset(dataset: Any) -> dict[str, Any]:
    summary = dataset.latest.summary
    return {"dataset": dataset.id, "name": dataset.name, "version": dataset.latest.version,
            "classes": summary.get("classes", {}), "images": sum(summary.get("classes", {}).values()),
            "split": summary.get("split", {})}


@command("models")
def models(
    words: Annotated[list[str] | None, argument("option_search")] = None,
    limit: Annotated[int, option("--limit", words="option_limit")] = 20,
) -> Answer:
    from transfer_core import catalog
    from transfer_core.paths import Home

    home = Home.default()
    found = catalog.search(" ".join(words)) if words else [each.model for each in catalog.suggested()]
    rows = [{"model": info.name, "family": info.family, "parameters": info.parameters, "macs": info.macs,
             "input_size": list(info.input_size), "licence": info.licence, "trained_on": info.trained_on,
             "weights": catalog.weights_at(info.name, home), "groups": [asdict(group) for group in info.groups],
             "ends": list(info.ends)}
            for info in found[:limit]]
    shown = [{"model": row["model"], "parameters": f"{row['parameters'] / 1e6:.1f} M", "MACs": f"{row['macs'] / 1e9:.2f} G",
              "px": row["input_size"][1], "weights": row["weights"], "groups": len(row["groups"]), "licence": row["licence"]}
             for row in rows]
    more = say("cli.more_models", language(), count=len(found) - limit) if len(found) > limit else ""
    return Answer({"models": rows, "found": len(found)}, "\n".join(filter(None, (table(shown), more))))
