"""`people`: who uses a studio for many, and how much; and deleting all that is one person's."""

from __future__ import annotations

import time
from typing import Annotated

from transfer_core import people as core
from transfer_core.cli.answer import Answer, language
from transfer_core.cli.command import command, option
from transfer_core.errors import NotFound
from transfer_core.store import Store
from transfer_core.words import say


@command("people")
def people(delete: Annotated[str, option("--delete", words="option_delete_person")] = "") -> Answer:
    store = Store()
    if delete:
        return _delete(store, delete)
    from transfer_core.people import overview

    rows, said = overview.rows(store), language()
    lines = [say("people.listed", said, count=len(rows))] if rows else [say("people.listed_none", said)]
    for row in rows:
        active = time.strftime("%Y-%m-%d %H:%M", time.localtime(row.active))
        lines.append(say("people.row", said, person=row.person, name=row.name or row.email or "–", images=row.images,
                         gigabytes=f"{row.bytes / 1e9:.2f}", active=active))
    return Answer({"people": [row.to_dict() for row in rows]}, "\n".join(lines))


def _delete(store: Store, person: str) -> Answer:
    if all(person != known.id for known in store.people()):
        raise NotFound("no_person", person=person[:64])
    gone = core.leave(store.of(person))
    told = say("people.erased" if gone else "people.erasing", language(), person=person)
    return Answer({"person": person, "deleted": gone}, told)
