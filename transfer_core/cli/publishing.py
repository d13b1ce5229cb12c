"""`publish`, `unpublish` and `demos`: models that everybody with the link may ask. `push`: to the Hugging Face Hub."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from transfer_core import demos as publishing
from transfer_core import hub
from transfer_core.cli.answer import Answer, language, table
from transfer_core.cli.command import argument, command, option
from transfer_core.cli.results import trained
from transfer_core.cli.tell import Teller
from transfer_core.depot.jobs import working_in
from transfer_core.events import Exported
from transfer_core.jobs import averages
from transfer_core.jobs.worker import limit_threads
from transfer_core.settings import settings
from transfer_core.store import Store
from transfer_core.words import say

ADDRESS = "http://127.0.0.1:8501"
"""Where people reach this studio, unless a setting says otherwise; a command cannot know it."""


@command("publish")
def publish(
    run: Annotated[str, argument("option_run")],
    title: Annotated[str, option("--title", words="option_title")] = "",
    description: Annotated[str, option("--description", words="option_description")] = "",
    examples: Annotated[int, option("--examples", words="option_examples", min=0, max=publishing.EXAMPLES)] = 0,
) -> Answer:
    store = Store()
    demo, key = publishing.publish(store, trained(store, run), title=title, description=description, examples=examples)
    url = address_of(demo.id)
    told = say("cli.published", language(), title=demo.title, url=url, secret=key)
    return Answer({"id": demo.id, "url": url, "key": key}, told)


@command("unpublish")
def unpublish(demo: Annotated[str, argument("option_demo")]) -> Answer:
    publishing.unpublish(Store(), demo)
    return Answer({"id": demo, "published": False}, say("cli.unpublished", language(), demo=demo))


@command("demos")
def demos() -> Answer:
    rows = [{"id": demo.id, "title": demo.title, "run": demo.run, "url": address_of(demo.id), "views": demo.views,
             "answers": demo.answers} for demo in Store().demos()]
    return Answer({"demos": rows}, table(rows))


def address_of(demo: str) -> str:
    return f"{(settings().public_url or ADDRESS).rstrip('/')}/demo?id={demo}"


@command("push")
def push(
    run: Annotated[str, argument("option_run")],
    repository: Annotated[str, argument("option_repository")],
    public: Annotated[bool, option("--public", words="option_public")] = False,
    space: Annotated[bool, option("--space", words="option_space")] = False,
) -> Answer:
    store = Store()
    job = trained(store, run)
    token = os.environ.get("HF_TOKEN") or typer.prompt(say("cli.token", language()), hide_input=True, err=True)
    limit_threads()
    from transfer_core.training.export import export

    folder, tell, files = store.home.run(job.id), Teller(), {}
    with working_in(store, job):
        for kind in ("zip", *(["html-folder"] if space else [])):
            for event in export(folder, store.home, kind, name=averages.named(store, job)):
                tell(event)
                if isinstance(event, Exported):
                    files[event.format] = folder / event.file
    addresses = dict(hub.push({kind: files[kind] for kind in ("zip", "html-folder") if kind in files}, repository, token,
                              private=not public))
    return Answer({"run": job.id, **addresses}, "\n".join(addresses.values()))
