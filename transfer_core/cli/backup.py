"""`backup` and `restore`: a copy of everything people made, and the way back."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Annotated

from transfer_core.cli.answer import Answer, language
from transfer_core.cli.command import argument, command, option
from transfer_core.cli.tell import Teller
from transfer_core.paths import Home
from transfer_core.settings import settings
from transfer_core.words import say

NAMED = 10
"""Jobs that an answer in words names."""


@command("backup")
def backup(folder: Annotated[Path, argument("option_backup")]) -> Answer:
    from transfer_core import backups

    home = Home.default()
    made = backups.backup(home, _url(home), folder, Teller())
    said = language()
    lines = [say("cli.backed_up", said, files=made.files, size=size(made.bytes), folder=made.folder, copied=made.copied,
                 copied_size=size(made.copied_bytes), seconds=f"{made.seconds:.1f}")]
    if made.went_on:
        lines.append(say("cli.backup_went_on", said))
    for name in ("missing", "damaged", "skipped"):
        if found := getattr(made, name):
            lines.append(say(f"cli.backup_{name}", said, count=len(found), first=found[0]))
    return Answer(asdict(made), "\n".join(lines))


@command("restore")
def restore(
    folder: Annotated[Path, argument("option_restore")],
    check: Annotated[bool, option("--check", words="option_restore_check")] = False,
    demos: Annotated[bool, option("--demos", words="option_restore_demos")] = False,
) -> Answer:
    from transfer_core import backups

    home = Home.default()
    done = backups.restore(folder, home, _url(home), Teller(), check_only=check, keep_demos=demos)
    said = language()
    lines = [say("cli.checked_backup" if check else "cli.restored_backup", said, files=done.files, size=size(done.bytes),
                 when=f"{datetime.fromtimestamp(done.created).astimezone():%Y-%m-%d %H:%M}", folder=done.folder,
                 seconds=f"{done.seconds:.1f}")]
    if done.stopped:
        names = ", ".join(done.stopped[:NAMED]) + (" …" if len(done.stopped) > NAMED else "")
        lines.append(say("cli.restore_stopped", said, count=len(done.stopped), names=names))
    if done.demos_ended:
        lines.append(say("cli.restore_demos_ended", said, count=done.demos_ended))
    if done.unfinished:
        lines.append(say("cli.restore_unfinished", said))
    return Answer(asdict(done), "\n".join(lines))


def size(count: int) -> str:
    """In units of a thousand, as disks are sold."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} TB"


def _url(home: Home) -> str:
    from transfer_core.store.connecting import sqlite_url

    return settings().database_url or sqlite_url(home.root / "studio.db")
