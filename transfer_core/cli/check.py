"""`check`: what seems wrong with a dataset. It only tells; with --keep-together, scenes are no longer divided by the split."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any

from transfer_core.cli.answer import Answer, language, table
from transfer_core.cli.command import command, option
from transfer_core.cli.foreground import run_here
from transfer_core.jobs import devices
from transfer_core.store import Store
from transfer_core.words import say

SHOWN = 20
"""Rows of each table; --json gives them all."""
Row = Callable[[Mapping[str, Any]], dict[str, Any]]


@command("check")
def check(
    dataset: Annotated[str, option("--dataset", words="option_dataset")],
    version: Annotated[int | None, option("--version", words="option_version")] = None,
    device: Annotated[str | None, option("--device", words="option_device")] = None,
    keep_together: Annotated[bool, option("--keep-together", words="option_keep_together")] = False,
) -> Answer:
    store = Store()
    known = store.dataset(dataset)
    seen = store.version(known.id, version)
    job = store.submit("check", {"dataset": known.id, "version": seen.version}, device or devices()[0])
    sys.stderr.write(f"{job.id}\n")
    found = run_here(store, job).result
    if not found:  # stopped
        return Answer({}, table([]))
    answer, text = {"job": job.id, "dataset": known.id, "version": seen.version, **found}, as_text(found)
    torn = [leak["files"] for leak in found["leaks"] if "files" in leak]
    if keep_together and torn:
        from transfer_core import datasets

        made = datasets.keep_together(store, known.id, torn)
        answer["made"] = made.version
        text += "\n\n" + say("cli.check_together", language(), count=len(torn), version=made.version)
    return Answer(answer, text)


def as_text(found: Mapping[str, Any]) -> str:
    lists = {**found, "duplicates": found["duplicates"]["groups"]}
    parts = [_part(name, lists[name], found["counts"][name], as_row) for name, as_row in _ROWS.items()]
    return "\n\n".join([say("cli.check_looked", language(), looked=found["looked_at"], images=found["images"]),
                        *parts, _scores(found["scores"])])


def _part(name: str, entries: Sequence[Mapping[str, Any]], count: int, as_row: Row) -> str:
    heading = say(f"cli.check_{name}", language(), count=count)
    if not count:
        return heading
    more = [say("cli.check_more", language(), count=count - SHOWN)] if count > SHOWN else []
    return "\n".join([heading, table(map(as_row, entries[:SHOWN])), *more])


def _group(group: Mapping[str, Any]) -> dict[str, Any]:
    shown = [image["file"] for image in group["images"][:2]]
    return {"": say(f"cli.check_how_{group['how']}", language()), "n": group["size"], "class": ", ".join(group["labels"][:3]),
            "files": ", ".join(shown) + (" …" if group["size"] > len(shown) else "")}


def _leak(leak: Mapping[str, Any]) -> dict[str, Any]:
    sides = ", ".join(sorted({image["split"] for image in leak["images"]}))
    return {" ": say(f"cli.check_kind_{leak['kind']}", language()), **_group(leak), "split": sides}


def _image(*names: str) -> Row:
    return lambda image: {"file": image["file"], "class": image["label"], **{name: image[name] for name in names},
                          "split": image["split"]}


def _poor(image: Mapping[str, Any]) -> dict[str, Any]:
    return {"": say(f"cli.check_what_{image['what']}", language()), **_image("value")(image)}


_ROWS: dict[str, Row] = {"leaks": _leak, "label_errors": _image("suggested", "confidence"), "duplicates": _group,
                         "odd": _image("score"), "quality": _poor}
"""Part → its table, in the order they are told: what makes a score untrue first."""


def _scores(scores: Mapping[str, Any] | None) -> str:
    if scores is None:
        return say("cli.check_no_score", language())
    honest, naive = ({name: f"{100 * scores[side][name]:.1f}" for name in ("accuracy", "low", "high")}
                     for side in ("honest", "naive"))
    told = say("cli.check_honest", language(), n=scores["honest"]["n"], **honest)
    if scores["honest"]["groups"] == scores["honest"]["n"]:
        return told
    differ = "cli.check_differ" if scores["differ"] else "cli.check_same"
    return "\n".join([told, say(differ, language(), p=f"{scores['p']:.2g}", **naive)])
