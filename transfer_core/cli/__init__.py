"""The studio without a browser: `transfer-studio app | import | datasets | models | train | runs | show | stop | …`.

Every command answers in words, or with `--json` as one JSON object on stdout; progress and logs go to stderr. What goes
wrong ends with a status other than 0 and says what happened and what to do (with `--json`: `{"error": {…}}`).
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

import typer

from transfer_core.cli.answer import Output, language
from transfer_core.cli.commands import app
from transfer_core.errors import StudioError
from transfer_core.settings import check
from transfer_core.words import say

__all__ = ["app", "main"]

INTERRUPTED = 130
EXPLAINING = (["settings"], ["doctor"])
"""Commands that say themselves what is wrong with the environment."""
USAGE_ERROR = typer.BadParameter.__mro__[2]
"""What typer raises for a wrong option: its base class has no public name."""


def main(arguments: Sequence[str] | None = None) -> None:
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    with Output("--json" in arguments) as output:
        output.status = _run(arguments, output)
    sys.exit(output.status)


def _run(arguments: list[str], output: Output) -> int:
    try:
        if "--help" not in arguments and arguments[:1] not in EXPLAINING:
            check()
        status = typer.main.get_command(app).main(arguments, prog_name="transfer-studio", standalone_mode=False, obj=output)
        if status == INTERRUPTED:  # typer makes this of a Ctrl-C
            output.fail("interrupted", say("cli.interrupted", language()), "")
        return status if isinstance(status, int) else 0
    except StudioError as error:
        output.fail(error.code, error.message(language()), error.hint(language()))
        return 1
    except USAGE_ERROR as error:
        output.fail("usage", error.format_message(), say("cli.see_help", language()))
        return 2
