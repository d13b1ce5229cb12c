"""`publish`, `unpublish` and `demos`: models that everybody with the link may ask."""

from __future__ import annotations

import os
from typing import Annotated

from transfer_core import demos as publishing
from transfer_core.cli.answer import Answer, language, table
from transfer_core.cli.command import argument, command, option
from transfer_core.cli.results import trained
from transfer_core.store import Store
from transfer_core.words import say

ADDRESS = "TRANSFER_STUDIO_PUBLIC_URL"
"""Where people reach this studio; a command cannot know it."""


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
    return Answer({"id": demo.id, "url": url, "key": key}, say("cli.published", language(), title=demo.title, url=url, key=key))


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
    return f"{os.environ.get(ADDRESS, 'http://127.0.0.1:8501').rstrip('/')}/demo?id={demo}"
