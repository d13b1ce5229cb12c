"""What is in use on this machine, so that whoever makes room (`room`) leaves it alone.

    used/<folder>     when a folder was last asked for: an empty file, its time of change. Images and weights say it themselves
    pins/<random>     what a job needs, one path below the studio's home a line; locked as long as it works, and so as long as it
                      lives
    room.lock         held together by who marks or pins, alone by who removes: nothing is marked between a look and a removal
"""

from __future__ import annotations

import fcntl
import os
import secrets
import time
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from pathlib import Path

from transfer_core.depot import is_on
from transfer_core.paths import Home, taking

GRACE = 3600.0
"""Seconds for which stays what somebody asked for: it is opened a moment after it was found."""
AGAIN = 600.0
"""Seconds after which it is marked anew: a page asks for the same many times."""


def lies_here(home: Home, file: Path) -> bool:
    """Whether an image or weights are here, which are named by their content. Then they stay for an hour."""
    if not is_on():  # then nothing is ever removed to make room
        return file.is_file()
    try:
        facts = file.stat()
        if time.time() - facts.st_atime < AGAIN:
            return True
        with _marking(home):
            os.utime(file, ns=(time.time_ns(), facts.st_mtime_ns))  # their content never changes, so its time is still right
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:  # a home that cannot be written to: nothing is removed there, either
        return file.is_file()
    return True


def asked_for(home: Home, name: str) -> None:
    """What lies in this folder stays for an hour. `name`: as in `Notes`."""
    mark = _mark(home, name)
    if time.time() - last_asked(home, name) > AGAIN:
        with suppress(OSError), _marking(home):  # a full disk: it is the next one's turn to be removed, and is fetched again
            mark.parent.mkdir(parents=True, exist_ok=True)
            mark.touch()


def last_asked(home: Home, name: str) -> float:
    """Seconds since 1970; 0: never, as far as is known."""
    try:
        return _mark(home, name).stat().st_mtime
    except OSError:
        return 0.0


def forget(home: Home, name: str) -> None:
    _mark(home, name).unlink(missing_ok=True)


@contextmanager
def pinned(home: Home, names: Iterable[str]) -> Iterator[None]:
    """Inside the block none of these is removed from this machine, whether it is here yet or not. `names`: paths in this home."""
    whose = "".join(f"{part}/" for part in home.root.relative_to(home.shared).parts)
    file = home.shared / "depot" / "pins" / secrets.token_hex(8)
    with ExitStack() as held:
        with _marking(home):  # whoever removes finds all of it, and locked, or nothing
            file.parent.mkdir(parents=True, exist_ok=True)
            pin = held.enter_context(file.open("x"))
            held.callback(file.unlink, missing_ok=True)
            fcntl.flock(pin, fcntl.LOCK_EX)
            pin.writelines(f"{whose}{name}\n" for name in names)
            pin.flush()
        yield


@contextmanager
def removing(home: Home) -> Iterator[set[str]]:
    """Nobody marks or pins inside the block, so it is to be short. Yields what is pinned."""
    with taking(_lock(home), wait=True):
        yield _pins(home)


def _pins(home: Home) -> set[str]:
    found: set[str] = set()
    for file in (home.shared / "depot" / "pins").glob("*"):
        with suppress(FileNotFoundError), file.open() as pin:
            try:
                fcntl.flock(pin, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                found.update(pin.read().splitlines())
            else:  # of a process that was killed
                file.unlink(missing_ok=True)
    return found


def _marking(home: Home) -> AbstractContextManager[bool]:
    return taking(_lock(home), wait=True, together=True)


def _lock(home: Home) -> Path:
    return home.shared / "depot" / "room.lock"


def _mark(home: Home, name: str) -> Path:
    return home.root / "depot" / "used" / name
