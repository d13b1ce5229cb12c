"""`doctor`: what this machine has and lacks, and whether a studio can be reached."""

from __future__ import annotations

from typing import Annotated

import typer

from transfer_core.cli.answer import Answer, language
from transfer_core.cli.command import command, option
from transfer_core.cli.tell import Teller
from transfer_core.errors import BadInput
from transfer_core.paths import Home
from transfer_core.settings import Settings, raw, settings
from transfer_core.words import message, say


@command("doctor")
def doctor(
    address: Annotated[str, option("--address", words="option_address")] = "",
    patience: Annotated[float, typer.Option("--patience", help=say("cli.option_patience", language()), min=1)] = 60,
) -> Answer:
    from transfer_core.doctor import Patient, examine
    from transfer_core.store.connecting import sqlite_url

    try:
        now = settings()
    except BadInput:  # a finding, too; the rest is looked at with what is not refused
        now = Settings(**{"home": raw("home")} if raw("home") else {})
    home = Home(now.home.expanduser().resolve())
    patient = Patient(home, now.database_url or sqlite_url(home.root / "studio.db"), address, patience)
    Teller().say(message("cli.doctor_begins"))
    said = language()
    findings = examine(patient)
    lines = []
    for each in findings:
        lines.append(f"{say(f'doctor.states.{each.state}', said)}  {each.title(said)}: {each.found(said)}")
        if advice := each.advice(said):
            lines.append(f"    → {advice}")
    counts = {state: sum(each.state == state for each in findings) for state in ("problem", "warning")}
    lines += ["", say("doctor.summary_well" if not any(counts.values()) else "doctor.summary", said, problems=counts["problem"],
                      warnings=counts["warning"])]
    return Answer({"ok": not counts["problem"], "checks": [
        {"name": each.name, "state": each.state, "outcome": each.outcome, "found": each.found(said), "advice": each.advice(said)}
        for each in findings]}, "\n".join(lines), status=int(counts["problem"] > 0))
