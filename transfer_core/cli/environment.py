"""`settings`: every environment variable, what it is now and where that comes from."""

from __future__ import annotations

from dataclasses import asdict

from transfer_core import settings as environment
from transfer_core.cli.answer import Answer, language
from transfer_core.cli.command import command
from transfer_core.words import say


@command("settings")
def settings() -> Answer:
    said = language()
    rows = environment.listed(said)
    lines = []
    for row in rows:
        source = say("cli.settings_given" if row.given else "cli.settings_default", said)
        unit = say(f"environment.unit_{row.unit}", said) if row.unit and row.value[:1].isdigit() else ""
        lines += [f"{row.name} = {row.value} {unit}".rstrip() + f"  ({source})", f"    {row.problem or row.text}"]
    return Answer({"settings": [asdict(row) for row in rows]}, "\n".join(lines))
