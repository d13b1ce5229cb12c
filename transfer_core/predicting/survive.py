"""A batch is seen through although the process that answers it may die on the way."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

from transfer_core.errors import Unavailable
from transfer_core.predicting.process import Died, PredictorProcess

DEATHS = 3
"""Ends of the process in a row, with no photo answered in between and none to blame, after which a batch gives up."""
CRASHES = 5
"""Photos of one batch that may each end a process; when there is one more, it is hardly the photos."""
_trying = threading.Lock()
"""One process more at a time is enough to find out which photo it was."""


def answer_all(process: PredictorProcess, folder: Path, model: Path, out: Path) -> None:
    """Have all photos of an upload answered (`folder.answer_folder`), and wait for it.

    When the process dies, the photo it was at is given to a process of its own: the shared one may have died of somebody
    else's. If that dies as well, the photo is to blame, and the others go on without it. Raises `predictor_died` when none
    of this helps, and whatever `StudioError` the process raised.
    """
    what = {"folder": str(folder), "model": str(model), "out": str(out)}
    crashed: list[int] = []
    deaths = 0
    while True:
        begun: list[int] = []
        try:
            process.ask("batch", begun.append, crashed=crashed, **what)
            return
        except Died as died:
            deaths = 1 if len(begun) > 1 else deaths + 1
            if begun and _kills(begun[-1], what):
                crashed.append(begun[-1])
                deaths = 0
            if deaths == DEATHS or len(crashed) > CRASHES:
                raise Unavailable("predictor_died") from died


def _kills(photo: int, what: dict[str, Any]) -> bool:
    """Whether a process that does nothing else dies at this photo. If it does not, the photo is answered by that."""
    with _trying, PredictorProcess() as alone:
        try:
            alone.ask("batch", only=photo, **what)
        except Died:
            return True
    return False
