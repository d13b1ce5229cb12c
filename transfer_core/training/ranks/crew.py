"""Rank 0's view of who may help: helpers that say they are ready, and the rounds in which they do.

All of it lies as small files in one folder that all processes see, so no port has to be open for strangers to find each other:

    ready-<name>.json   written by a helper: {"facts", "after": the last round it was in}
    round.json          written by rank 0:   {"round", "names": rank 1, rank 2, …}; {"over": true} at the end
    round-<number>      where the processes of a round exchange their addresses
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from transfer_core.events import Event, Note, Progressed
from transfer_core.paths import write_json
from transfer_core.training.ranks.sharing import why_alone
from transfer_core.training.ranks.team import RankLost, Team
from transfer_core.words import message

if TYPE_CHECKING:
    from transfer_core.training.loop import Training

log = logging.getLogger(__name__)
LOOK, SAY = 0.1, 1.0
"""Seconds between two looks for helpers, and between two signs of life meanwhile."""
SETTLE = 10.0
"""Seconds that helpers of a broken round have to say that they are still there."""
TRIES = 3
"""Rounds that may break off one after another without a whole epoch in between. A helper that is seen in the folder and cannot be
reached would have each epoch begun again for ever."""


@dataclass
class Crew:
    """`folder`: seen by all processes, and of this attempt alone. `address`: where they reach this one. `hire` has so many
    helpers started; `coming` says how many of them may still become ready soon; `release` lets go of all."""

    folder: Path
    address: str
    wanted: int
    """Helpers, beside this process."""
    hire: Callable[[int], None]
    coming: Callable[[], int]
    release: Callable[[], None] = lambda: None
    _team: Team | None = None
    _names: list[str] = field(default_factory=list)
    """Of the helpers in the team."""
    _round: int = 0
    _last: dict[str, int] = field(default_factory=dict)
    """Helper → the last round it was in."""
    _facts: dict[str, Any] | None = None
    _known: set[str] = field(default_factory=set)
    """Helpers that cannot be taken, and were spoken of."""
    _told: int = -1
    _broken: int = 0
    """Rounds that broke off since the last whole epoch."""

    def team(self, training: Training) -> Generator[Event, None, Team | None]:
        """Those who help in the next epoch, None where nobody does. The first time helpers are hired and waited for; later ones
        may come and go. Raises `RankLost` where one has gone that had just said it was ready."""
        if self._facts is None:
            self._facts = facts(training)
            if reason := why_alone(training):
                yield Note(level="warning", message=reason)
                self.wanted = 0
            if self.wanted:
                self.folder.mkdir(parents=True, exist_ok=True)
                self.hire(self.wanted)
                yield from self._wait(lambda: self.coming() > 0)
        elif self._team is not None and not self._team.fresh:
            self._broken = 0
        elif self._broken >= TRIES:
            self._end()
            self.wanted, self._names = 0, []
            yield Note(level="warning", message=message("fit.nobody_helps"))
        elif self._team is None and self._names:
            until, left = time.monotonic() + SETTLE, len(self._names)
            yield from self._wait(lambda: time.monotonic() < until, left)
        if not self.wanted:
            return None
        ready, strange = self._ready(), self._known.copy()
        for name in self._strange() - strange:
            self._known.add(name)
            yield Note(level="warning", message=message("fit.rank_other"))
        names = sorted({*ready, *(self._names if self._team else ())})[:training.recipe.batch_size - 1]
        if names != self._names or (names and self._team is None):
            self._leave(regroup=bool(names))
            self._meet(names, training)
        if len(names) != self._told:
            self._told = len(names)
            yield Note(message=message("fit.shared", count=1 + len(names), helpers=len(names)) if names
                       else message("fit.nobody_helps"), level="info" if names else "warning")
        return self._team

    def start_over(self) -> None:
        """The epoch is begun again from the last checkpoint."""
        if self._team is not None and not self._team.broken:
            self._team.fresh = True
            return
        self._broken += bool(self._names)  # also where they never met
        self._leave()

    def close(self) -> None:
        """Nobody is needed any more."""
        if self._facts is None or not self.wanted:
            return
        self._leave()
        self._end()

    def _end(self) -> None:
        write_json(self.folder / "round.json", {"over": True}, lasting=False)
        self.release()

    def _meet(self, names: list[str], training: Training) -> None:
        if not names:
            self._names = []
            return
        self._round += 1
        self._names = names
        self._last |= dict.fromkeys(names, self._round)
        write_json(self.folder / "round.json", {"round": self._round, "names": names}, lasting=False)
        self._team = Team(self.folder, self._round, 0, 1 + len(names), self.address, training.device)

    def _leave(self, regroup: bool = False) -> None:
        if self._team is not None:
            self._team.close(regroup)
        self._team = None

    def _wait(self, longer: Callable[[], bool], count: int | None = None) -> Generator[Event, None, None]:
        spoken, count = float("-inf"), self.wanted if count is None else count
        while len(self._ready()) < count and longer():
            if time.monotonic() - spoken > SAY:
                spoken = time.monotonic()
                yield Progressed(stage="gathering", done=len(self._ready()), total=count)
            time.sleep(LOOK)

    def _ready(self) -> list[str]:
        """Names of helpers that wait for a round, and may be in one."""
        return [name for name, told in self._said() if told["facts"] == self._facts and told["after"] >= self._last.get(name, 0)]

    def _strange(self) -> set[str]:
        return {name for name, told in self._said() if told["facts"] != self._facts}

    def _said(self) -> list[tuple[str, dict[str, Any]]]:
        found = []
        for file in sorted(self.folder.glob("ready-*.json")):
            try:
                told = json.loads(file.read_text("utf-8"))
            except (OSError, ValueError):
                continue
            if isinstance(told, dict) and {"facts", "after"} <= told.keys():
                found.append((file.stem.removeprefix("ready-"), told))
        return found


def facts(training: Training) -> dict[str, Any]:
    """What must be the same in all processes, or they would not train the same thing: what is run and on what, with how many
    digits, what learns, and the versions of what computes it."""
    from transfer_core.training.fit import versions

    return {"inputs": [[type(split).__name__, len(split.labels)] for split in (training.train, training.validation)],
            "network": type(training.network).__name__, "teacher": training.objective.source is not None and (
                training.objective.source.teacher is not None),
            "precision": training.precision.name, "device": training.device.type,
            "learns": [list(weight.shape) for group in training.optimizer.param_groups for weight in group["params"]],
            "versions": versions()}


__all__ = ["Crew", "RankLost", "facts"]
