"""`report`: everything that is known of a run, as one HTML file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from transfer_core.cli.answer import Answer
from transfer_core.cli.answer import language as terminal
from transfer_core.cli.command import argument, command, option
from transfer_core.errors import BadInput
from transfer_core.store import Store
from transfer_core.words import languages, say


@command("report")
def report(
    run: Annotated[str, argument("option_run")],
    out: Annotated[Path, option("--out", words="option_report_out", metavar="FILE.html")],
    language: Annotated[str | None, option("--lang", words="option_report_language", metavar="|".join(languages()))] = None,
) -> Answer:
    from transfer_core.reporting import write_report

    if language not in (None, *languages()):
        raise BadInput("unknown_choice", kind="language", name=language, allowed=", ".join(languages()))
    store, out = Store(), out.expanduser().resolve()
    size = write_report(store, run, out, language or terminal())
    return Answer({"run": store.job(run).id, "out": str(out), "bytes": size},
                  say("cli.reported", terminal(), file=out, kilobytes=f"{size / 1e3:.0f}"))
