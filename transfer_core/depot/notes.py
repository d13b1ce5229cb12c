"""What this machine has written down of a folder of the store, and who works in it here: in `depot` of the data home.

    state/<name>.json     the index it saw last, and which files of it lie here as they were then
    todo/<name>.push      something of it is still to be pushed; `.gone`: to be deleted in the store
    locks/<name>.lock     held by whoever fetches or pushes; `.work`: shared by all who work in the folder
    stage/<random>        files on their way
    used, pins            what is in use (`marks`); room.json: how much lay here when room was last made (`room`)
    store.json            the store that all of this is about

Locks are the file system's: they end with their process.
"""

from __future__ import annotations

import json
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO

from transfer_core.depot import marks
from transfer_core.depot.listing import Index
from transfer_core.depot.place import place
from transfer_core.paths import Home, taking, write_json


@dataclass
class State:
    index: Index | None = None
    """As the store had it when it was last read or written from here; None: never."""
    have: dict[str, tuple[int, int, str]] = field(default_factory=dict)
    """Files that lay here as the store has them: size, time of change in ns, sha256."""
    ahead: dict[str, tuple[int, int, str]] = field(default_factory=dict)
    """Files whose objects were pushed before an index names them, likewise."""
    left: dict[str, float] = field(default_factory=dict)
    """Objects that this machine's pushes replaced, and since when (seconds since 1970): who read the index before may still be
    fetching them."""


class Notes:
    """Of one folder. `name`: its path with `+` for slashes."""

    def __init__(self, home: Home, name: str) -> None:
        self.home, self.name, self.folder = home, name, home.root / "depot"

    # Who works in it

    @contextmanager
    def quiet(self) -> Iterator[bool]:
        """Whether nobody works in it; nobody begins to inside the block."""
        with taking(self._lock("work")) as quiet:
            yield quiet

    @contextmanager
    def lock(self, wait: bool = True) -> Iterator[bool]:
        """Whether it was to be had. Whoever looks for workers holds it: else one that begins would take the look for a worker."""
        with taking(self._lock("lock"), wait) as taken:
            yield taken

    def work(self) -> IO[str]:
        """The file that all who work in it lock together."""
        self._lock("work").parent.mkdir(parents=True, exist_ok=True)
        return self._lock("work").open("a")

    def _lock(self, kind: str) -> Path:
        return self.folder / "locks" / f"{self.name}.{kind}"

    # What is written down

    def state(self) -> State:
        try:
            told = json.loads(self._file.read_text("utf-8"))
            index = told["index"]
            if told["store"] != place().address:
                return State()
            return State(None if index is None else {path: (size, sha256) for path, (size, sha256) in index.items()},
                         *({path: tuple(facts) for path, facts in told[name].items()} for name in ("have", "ahead")),
                         {sha256: float(since) for sha256, since in told.get("left", {}).items()})
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return State()

    def note(self, state: State, lasting: bool = False) -> None:
        """Need not last: without it files are compared by their hashes. Where it does not name a file any more that is removed
        next it must: what is named and does not lie here counts as removed by whoever works here."""
        stamp(self.home)
        told = {"store": place().address, **asdict(state)}
        write_json(self._file, told, lasting)

    def forget(self) -> None:
        self._file.unlink(missing_ok=True)
        marks.forget(self.home, self.name)
        self.done()

    @property
    def _file(self) -> Path:
        return self.folder / "state" / f"{self.name}.json"

    @contextmanager
    def stage(self) -> Iterator[Path]:
        stage = self.folder / "stage" / secrets.token_hex(8)
        stage.mkdir(parents=True)
        try:
            yield stage
        finally:
            shutil.rmtree(stage, ignore_errors=True)

    # What is still to be done

    def mark(self, what: str) -> None:
        self._marked(what).parent.mkdir(parents=True, exist_ok=True)
        self._marked(what).touch()

    def waits(self) -> bool:
        return self._marked("push").is_file()

    def done(self) -> None:
        self._marked("push").unlink(missing_ok=True)

    def is_gone(self) -> bool:
        return self._marked("gone").is_file()

    def not_gone(self) -> None:
        self._marked("gone").unlink(missing_ok=True)

    def _marked(self, what: str) -> Path:
        return self.folder / "todo" / f"{self.name}.{what}"


def stamp(home: Home) -> None:
    """Note of which store this home is a working copy: only of that one it says something that a thing is not there."""
    if made_with(home) != place().address:
        write_json(home.root / "depot" / "store.json", {"address": place().address}, lasting=False)


def made_with(home: Home) -> str | None:
    """The address of the store that this home is a working copy of."""
    try:
        return json.loads((home.root / "depot" / "store.json").read_text("utf-8"))["address"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
