"""`cache`: what frozen layers said of photos, how much disk it takes, and how to be rid of it."""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated

from transfer_core.cli.answer import Answer, language, table
from transfer_core.cli.command import argument, command
from transfer_core.store import Store
from transfer_core.words import say


class What(StrEnum):
    show = "show"
    clear = "clear"


@command("cache")
def cache(what: Annotated[What, argument("option_cache_what")] = What.show) -> Answer:
    from transfer_core.activations import Shelf, budget  # numpy, which a list of runs does without

    shelf = Shelf(Store().home)
    if what is What.clear:
        freed = shelf.clear()
        return Answer({"freed": freed}, say("cli.cache_cleared", language(), megabytes=f"{freed / 1e6:.0f}"))
    stored = [entry.to_dict() for entry in shelf]
    shown = [{**entry, "used": datetime.fromtimestamp(entry["used"], UTC).isoformat(timespec="minutes")} for entry in stored]
    return Answer({"entries": stored, "bytes": shelf.bytes, "budget": budget(shelf)}, table(shown))
