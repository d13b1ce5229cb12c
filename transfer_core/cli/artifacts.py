"""`artifacts`: the object store that files go through, and the way into it and back."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from transfer_core.cli.answer import Answer, language
from transfer_core.cli.command import argument, command
from transfer_core.cli.tell import Teller
from transfer_core.errors import BadInput
from transfer_core.words import say


class What(StrEnum):
    show = "show"
    push = "push"
    pull = "pull"
    room = "room"


@command("artifacts")
def artifacts(what: Annotated[What, argument("option_artifacts_what")] = What.show) -> Answer:
    from transfer_core.depot import is_on, moving, room
    from transfer_core.depot.folders import todo
    from transfer_core.depot.place import place
    from transfer_core.depot.tidying import catch_up
    from transfer_core.store import Store

    if not is_on():
        raise BadInput("artifacts_unset")
    store, said, home = Store(), language(), place()
    homes = [store.home.of(None), *store.home.people()]
    if what is What.show:
        home.ping()
        waiting = sum(len(todo(each)) for each in homes)
        copies = room.count(store.home)
        told = [say("cli.artifacts_shown", said, address=home.address, count=waiting),
                say("cli.artifacts_copies", said, taken=_gb(copies.bytes), most=_gb(copies.most))]
        return Answer({"address": home.address, "waiting": waiting, "copies": copies.bytes, "most": copies.most}, "\n".join(told))
    home.ping()
    if what is What.room:
        copies = room.make_room(store.home)
        told = say("cli.artifacts_room", said, freed=_gb(copies.freed), taken=_gb(copies.bytes), most=_gb(copies.most))
        return Answer({"address": home.address, "freed": copies.freed, "copies": copies.bytes, "most": copies.most}, told)
    caught_up = catch_up(store, homes)
    moved = moving.push_all(store.home, Teller(), store) if what is What.push else moving.pull_all(store.home, Teller())
    told = say(f"cli.artifacts_{what}ed", said, **moved.to_dict(), address=home.address)
    return Answer({"address": home.address, "caught_up": caught_up, **moved.to_dict()}, told)


def _gb(count: int) -> str:
    return f"{count / 1e9:.2f}"
