"""A folder of the data home in the object store: objects named by their content, and an index that is written last.

    runs/<id>/index.json      {"files": {"model.onnx": [size, sha256], …}}, sealed
    runs/<id>/<sha256>        one file's bytes

So whoever reads the index finds a whole state, and one that was pushed halfway was not pushed. What this machine knows of a
folder, and who works in it here, so that nothing is fetched over what is made: see `notes`.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import secrets
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from transfer_core.depot.listing import GROWS, INDEX, LONGEST, Index, Wanted, checked, everything, light
from transfer_core.depot.notes import Notes, State
from transfer_core.depot.place import Away, patience, place
from transfer_core.depot.things import FRESH, at_once, key, seal, unseal
from transfer_core.errors import Unavailable
from transfer_core.paths import Home, replacing

KINDS = ("runs", "jobs", "demos", "uploads")
GRACE = 20.0
"""Seconds for which a replaced object stays in the store: four checkpoints of short epochs."""
RESERVE = 500_000_000
"""Free disk that is left alone, as by uploads."""
TRIES = 3
"""Of reading a folder that another machine is replacing."""
UPLOAD = re.compile(r"[0-9a-f]{32}")
_LOGS = ("log.txt", "log.old.txt")
_GROWING = frozenset((".jsonl", ".txt", ".csv"))
"""Endings of files that are appended to in place; all others are replaced whole."""
_mine: list[tuple[Path, str]] = []
"""Folders that this process works in: nothing is fetched there, and nothing is waited for."""
_looked: dict[tuple[Path, str], tuple[float, Index | None]] = {}


@dataclass(frozen=True)
class Kept:
    """What was kept of a folder for a push."""

    stage: Path
    files: dict[str, Path]
    gone: list[str]
    """What lay here before and does not any more."""
    ahead: dict[str, tuple[int, int, str]]
    """What has changed, too, and was pushed already."""


class Folder:
    """`name`: `runs/<id>`, or a folder inside one, `jobs/<id>/fold-0-1`, which is pushed and fetched by itself."""

    def __init__(self, home: Home, name: str) -> None:
        parts = name.split("/")
        if parts[0] not in KINDS or len(parts) < 2:
            raise ValueError(f"no folder of a store: {name!r}")
        self.home, self.name, self._key = home, name, key(home, *parts)
        self.path, self.notes = home.root.joinpath(*parts), Notes(home, "+".join(parts))

    # What is known

    @property
    def known(self) -> bool:
        """Whether this machine has pushed or fetched it."""
        return self.notes.state().index is not None

    def index(self, fresh: float = FRESH) -> Index | None:
        """What the store has now, or had at most so many seconds ago; None when nothing."""
        when, found = _looked.get((self.home.root, self.name), (float("-inf"), None))
        return found if time.monotonic() - when < fresh else self._read()

    def _read(self) -> Index | None:
        name = f"{self._key}/{INDEX}"
        sealed = place().read(name, LONGEST)
        found = None if sealed is None else checked(unseal(sealed, name), name)
        if len(_looked) > 20_000:
            _looked.clear()
        _looked[self.home.root, self.name] = time.monotonic(), found
        return found

    # Fetching

    def look(self, wanted: Wanted = light, fresh: float = FRESH) -> None:
        """Bring what is wanted and newer than what lies here, unless somebody works in it on this machine. A store that is away
        keeps nobody from what is here. Raises `Unavailable` when nothing is."""
        when, found = _looked.get((self.home.root, self.name), (float("-inf"), None))
        if time.monotonic() - when < fresh and (found is None or self._is_here(found, wanted)):
            return
        if (self.home.root, self.name) in _mine:
            return
        lacks = self._lacks(wanted)
        try:
            with patience(0):
                # A push may take minutes: meanwhile what lies here is shown.
                self.bring(wanted, wait=lacks or not self._lying())
        except Away:
            if lacks or not self.path.is_dir():
                raise

    def _lacks(self, wanted: Wanted) -> bool:
        """Whether something is missing that was removed to make room, or never fetched."""
        return any(wanted(path) and not light(path) and not (self.path / path).is_file()
                   for path in self.notes.state().index or ())

    def bring(self, wanted: Wanted = everything, wait: bool = True) -> bool:
        """Bring what is wanted and newer than what lies here. False when somebody works in it, or the store has none."""
        with self.notes.lock(wait) as locked:
            if not locked:
                return False
            with self.notes.quiet() as quiet:
                return quiet and self._bring(wanted)

    def _bring(self, wanted: Wanted, begins: bool = False, beside: bool = False) -> bool:
        """`begins`: for somebody who is to work here. Else what waits to be pushed comes first (`tidying.catch_up`).
        `beside`: somebody works here already."""
        for turn in range(TRIES):
            state, index = self.notes.state(), self._read()
            if index is None:
                return False
            if not begins and index != state.index and self.notes.waits():
                return True
            try:
                self._add(state, index, wanted) if beside else self._take(state, index, wanted)
                return True
            except Unavailable as error:
                if error.code != "artifacts_damaged" or turn == TRIES - 1:
                    raise
        return False

    def _take(self, state: State, index: Index, wanted: Wanted) -> None:
        lying = self._lying()
        before, went_on = state.index or {}, index != state.index

        def is_here(path: str) -> bool:
            if path not in lying:
                return False
            if self._is_same(state, path, lying[path]):
                return state.have[path][2] == index[path][1]
            if path in state.have and not went_on:  # changed here since, and nobody else pushed: still to be pushed
                return state.have[path][2] == index[path][1]
            if lying[path][0] != index[path][0] or _hash(self.path / path) != index[path][1]:
                return False
            state.have[path] = (*lying[path], index[path][1])
            return True

        stale = [path for path in index if not is_here(path)]
        missing = [path for path in stale if wanted(path)]
        self._fetch(index, missing)
        # What another machine removed, or replaced and nobody wants here now. An old one must not be taken for new work.
        for path in [*(path for path in before if path not in index), *(path for path in stale if path not in missing)]:
            if path in lying:
                self._inside(path).unlink(missing_ok=True)
            state.have.pop(path, None)
        lying = self._lying()
        for path in missing:
            state.have[path] = (*lying[path], index[path][1])
        self.notes.note(replace(state, index=index, ahead={}))

    def _add(self, state: State, index: Index, wanted: Wanted) -> None:
        """Only what does not lie here at all and never did: whoever works here may have changed or removed the rest."""
        lying = self._lying()
        self._fetch(index, [path for path in index if wanted(path) and path not in lying and path not in state.have])

    def _fetch(self, index: Index, missing: list[str]) -> None:
        """Bring these files to their places: all of them, or none."""
        need = sum(index[path][0] for path in missing)
        self.path.mkdir(parents=True, exist_ok=True)
        if missing and shutil.disk_usage(self.path).free - need < RESERVE:
            raise Unavailable("disk_full", folder=self.home.told(self.home.shared))
        with self.notes.stage() as stage:
            names = {path: stage / str(number) for number, path in enumerate(missing)}

            def fetch(path: str) -> None:
                size, sha256 = index[path]
                if not place().fetch(f"{self._key}/{sha256}", size, sha256, names[path]):
                    raise Unavailable("artifacts_damaged", name=f"{self.name}/{path}")

            at_once(fetch, missing)
            for path, staged in names.items():  # all of it is here: from now on it takes a moment
                with replacing(self._inside(path)) as part:
                    shutil.move(staged, part)

    def _inside(self, path: str) -> Path:
        """Where a file goes; a link that lies in the folder must not lead it elsewhere."""
        file = self.path / path
        if not file.parent.resolve().is_relative_to(self.path.resolve()):
            raise Unavailable("artifacts_damaged", name=self.name)
        return file

    def _is_here(self, index: Index, wanted: Wanted) -> bool:
        return all((self.path / path).is_file() for path in index if wanted(path))

    # Pushing

    def keep(self) -> Kept:
        """This moment's state of what has changed here, to be pushed while the work goes on."""
        state, lying = self.notes.state(), self._lying()
        changed = [path for path, facts in lying.items() if not self._is_same(state, path, facts)]
        ahead = {path: state.ahead[path] for path in changed if path in state.ahead and state.ahead[path][:2] == lying[path]}
        changed = [path for path in changed if path not in ahead]
        stage = self.notes.folder / "stage" / secrets.token_hex(8)
        stage.mkdir(parents=True)
        files = {path: staged for number, path in enumerate(changed) if (staged := self._keep(path, stage / str(number)))}
        return Kept(stage, files, [path for path in state.have if path not in lying], ahead)

    def push(self, only_mine: bool = True, still: Callable[[], bool] = lambda: True, commit: bool = True,
             kept: Kept | None = None) -> bool:
        """Push what has changed, or what was kept of it; False when nothing had, or it is no more for us to push.

        `only_mine`: whoever calls holds the job: what it made is the truth; else what another machine pushed meanwhile is, and
        only what that lacks is added. `still` is asked last. Without `commit` objects alone are pushed, ahead of their index.
        """
        if not self.path.is_dir():  # thrown away; also while what was kept of it waited for its turn
            if kept is not None:
                shutil.rmtree(kept.stage, ignore_errors=True)
            return False
        with self.notes.lock():
            if commit:  # first: the store may be away for all that follows
                self.notes.mark("push")
            if self.notes.is_gone():  # what it was before; now it is there again
                self.remove_there()
            if commit and self.notes.state().index is not None and self._read() is None:
                # The store was emptied, or put back to an earlier day: what it had of this is pushed again.
                self.notes.note(State())
                kept = kept and shutil.rmtree(kept.stage, ignore_errors=True)
            kept = self.keep() if kept is None else kept
            try:
                return self._push(kept, only_mine, still, commit)
            finally:
                shutil.rmtree(kept.stage, ignore_errors=True)
                if self.notes.is_gone():  # deleted meanwhile, by somebody who did not wait
                    self.forget()
                    with suppress(Away):
                        self.remove_there()

    def _push(self, kept: Kept, only_mine: bool, still: Callable[[], bool], commit: bool) -> bool:
        state = self.notes.state()
        if not kept.files and (not commit or not (kept.ahead or (kept.gone and state.index is not None))):
            if commit:
                self.notes.done()
            return False
        found = {path: (facts.st_size, facts.st_mtime_ns, _hash(staged)) for path, staged in kept.files.items()
                 if (facts := staged.stat()) and (commit or path != GROWS)}
        theirs, base = self._push_objects(kept, found, state, commit), state.index or {}
        if not commit:
            self.notes.note(replace(state, ahead={**state.ahead, **found}))
            return False
        found |= kept.ahead
        if theirs != base and not only_mine:
            found = {path: facts for path, facts in found.items() if path not in theirs}
            kept.gone.clear()
        now = {path: facts for path, facts in theirs.items() if path not in kept.gone}
        have = {path: facts for path, facts in state.have.items() if path not in kept.gone}
        for path, facts in found.items():
            now[path], have[path] = (facts[0], facts[2]), facts
        # What another machine replaced is newer there than here.
        have = {path: facts for path, facts in have.items() if path in found or base.get(path) == now.get(path)}
        if now == theirs:
            self.notes.note(replace(state, have=have))  # touched, and no other: else it would be hashed again each time
            self.notes.done()
            return False
        if self.notes.is_gone() or not still():
            return False
        place().write(f"{self._key}/{INDEX}", seal(json.dumps({"files": now}, ensure_ascii=False).encode()))
        _looked[self.home.root, self.name] = time.monotonic(), now
        # Where only something was added, the rest of theirs is still to be fetched: to be seen by what we knew before.
        replaced = dict.fromkeys({sha256 for _, sha256 in (*base.values(), *theirs.values())}, time.time()) | state.left
        state = State(now if only_mine or theirs == base else state.index, have, left=replaced)
        self.notes.note(state)
        self.notes.done()
        self._sweep(state, now)
        return True

    def _push_objects(self, kept: Kept, found: dict[str, tuple[int, int, str]], state: State, commit: bool) -> Index:
        """All that the store lacks; returns the index that it has when nothing is lacking any more. (One that was looked at
        before may name objects that another machine has replaced since.)"""
        there = {sha256 for *_, sha256 in state.ahead.values()}
        while True:
            theirs = (self._read() or {}) if commit else (state.index or {})
            named = {sha256 for _, sha256 in theirs.values()}
            missing = {sha256: kept.files[path] for path, (*_, sha256) in found.items() if sha256 not in there | named}
            if not missing:
                return theirs
            at_once(lambda sha256, missing=missing: place().push(f"{self._key}/{sha256}", missing[sha256]), list(missing))
            there |= missing.keys()

    def sweep(self) -> None:
        """Remove what was replaced by this machine's pushes a while ago, and that nobody names now."""
        if self.notes.state().left:
            with self.notes.lock(wait=False) as locked:
                if locked:
                    self._sweep(self.notes.state(), self._read() or {})

    def _sweep(self, state: State, now: Index) -> None:
        named, limit = {sha256 for _, sha256 in now.values()}, time.time() - GRACE
        over = [sha256 for sha256, since in state.left.items() if since < limit and sha256 not in named]
        with suppress(Away):  # an object too many costs room and nothing else; it goes with the folder
            place().remove(*(f"{self._key}/{sha256}" for sha256 in over))
            self.notes.note(replace(state, left={sha256: since for sha256, since in state.left.items()
                                                 if sha256 not in named and sha256 not in over}))

    def _keep(self, path: str, to: Path) -> Path | None:
        """This moment's state of a file: what is replaced whole is linked, what is appended to is copied."""
        source = self.path / path
        try:
            if source.suffix in _GROWING:
                shutil.copy2(source, to)
            else:
                try:
                    os.link(source, to)
                except OSError:
                    shutil.copy2(source, to)
        except FileNotFoundError:  # removed meanwhile
            return None
        return to

    def remove(self) -> None:
        """Here and in the store; when that is away, or something is being pushed there, later."""
        if self.home.root.is_dir():
            self.notes.mark("gone")  # first: whoever is killed in between is known to have wanted it
        with self.notes.lock(wait=False) as locked:
            shutil.rmtree(self.path, ignore_errors=True)
            self.forget()
            if locked:  # else whoever is pushing does it afterwards
                with suppress(Away), patience(0):
                    self.remove_there()

    def remove_there(self) -> None:
        place().remove(f"{self._key}/{INDEX}")  # first: without it nobody looks for the others
        place().remove_all(self._key)
        _looked.pop((self.home.root, self.name), None)
        self.notes.not_gone()

    def forget(self) -> None:
        _looked.pop((self.home.root, self.name), None)
        self.notes.forget()

    # Making room

    def heavy(self) -> dict[str, tuple[int, int]]:
        """What lies here and a look at it does not bring: size and time of change in ns."""
        return {path: facts for path, facts in self._lying().items() if not light(path)}

    def spare(self) -> int:
        """Bytes of that which could be fetched again, as far as is known here."""
        state = self.notes.state()
        return 0 if self.notes.waits() else sum(size for size, _ in self._spare(state, state.index or {}).values())

    def there(self) -> tuple[Index, dict[str, int]]:
        """What the store has of it now: the index, and the size of each object."""
        index = self._read() or {}
        return index, {name.rpartition("/")[2]: fact.size for name, fact in place().names(self._key).items()}

    def remove_copies(self, index: Index, objects: Mapping[str, int]) -> int:
        """Remove here what is heavy and lies there as it does here; returns the bytes. Nothing while somebody works in it, or
        while something of it waits to be pushed."""
        with self.notes.lock(wait=False) as locked, ExitStack() as held:
            if not locked or not held.enter_context(self.notes.quiet()) or self.notes.waits() or self.notes.is_gone():
                return 0
            state = self.notes.state()
            going = {path: facts for path, facts in self._spare(state, index).items() if objects.get(index[path][1]) == facts[0]}
            if going:  # first: from now on they count as never fetched
                self.notes.note(replace(state, have={path: facts for path, facts in state.have.items() if path not in going}),
                                lasting=True)
            for path in going:
                self._inside(path).unlink(missing_ok=True)
            return sum(size for size, _ in going.values())

    def _spare(self, state: State, index: Index) -> dict[str, tuple[int, int]]:
        return {path: facts for path, facts in self.heavy().items()
                if path in index and self._is_same(state, path, facts) and index[path] == (facts[0], state.have[path][2])}

    # Who works in it

    @contextmanager
    def at_work(self, bring: Wanted = everything) -> Iterator[None]:
        """Bring it, and nothing any more as long as the block lasts: what is made here is newer."""
        with self.notes.work() as work:
            with self.notes.lock():
                try:
                    fcntl.flock(work, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    self._bring(bring, begins=True)
                except BlockingIOError:  # somebody works in it on this machine, who may have wanted less of it
                    self._bring(bring, begins=True, beside=True)
                fcntl.flock(work, fcntl.LOCK_SH)
            _mine.append((self.home.root, self.name))
            try:
                yield
            finally:
                _mine.remove((self.home.root, self.name))

    @property
    def is_at_work(self) -> bool:
        with self.notes.lock(wait=False) as locked:
            if not locked:
                return True
            with self.notes.quiet() as quiet:
                return not quiet

    # What lies here

    def _lying(self) -> dict[str, tuple[int, int]]:
        found = {}
        for place_, folders, files in os.walk(self.path):
            folders[:] = [name for name in folders if not name.startswith(".")]
            for name in files:
                if not name.startswith(".") and name not in _LOGS:
                    with suppress(FileNotFoundError):
                        facts = os.stat(os.path.join(place_, name), follow_symlinks=False)  # noqa: PTH116, PTH118 — many
                        found[(Path(place_) / name).relative_to(self.path).as_posix()] = (facts.st_size, facts.st_mtime_ns)
        return found

    @staticmethod
    def _is_same(state: State, path: str, facts: tuple[int, int]) -> bool:
        return path in state.have and tuple(state.have[path][:2]) == facts

def todo(home: Home) -> list[tuple[str, Folder]]:
    """What is still to be done: "push" or "gone", and the folder."""
    return [(file.suffix[1:], Folder(home, file.stem.replace("+", "/")))
            for file in sorted((home.root / "depot" / "todo").glob("*+*.*"))]


def states(home: Home) -> list[Folder]:
    """Folders that this machine has pushed or fetched."""
    return [Folder(home, file.stem.replace("+", "/")) for file in sorted((home.root / "depot" / "state").glob("*+*.json"))]


def _hash(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def before_submitting(home: Home, payload: Mapping[str, Any]) -> None:
    """Push the uploads that a job names: whoever takes it may be elsewhere. Raises `Unavailable`."""
    photos = payload.get("photos")
    uploads = [payload.get("upload"), *(each.get("upload") for each in photos or () if isinstance(each, dict))]
    for upload in dict.fromkeys(filter(None, uploads)):
        if UPLOAD.fullmatch(str(upload)):  # it comes from a page
            Folder(home, f"uploads/{upload}").push()
