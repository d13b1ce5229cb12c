"""How much one visitor or one key may ask for in a while."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable

from transfer_core.errors import BadInput, Busy

KNOWN = 20_000
"""Visitors that are remembered; the one who asked longest ago is forgotten, whose bucket is full again anyway."""


class Limit:
    """A bucket for each asker: it holds `burst` and fills with `per_minute` (token bucket)."""

    def __init__(self, per_minute: float, burst: float | None = None, now: Callable[[], float] = time.monotonic) -> None:
        self.rate, self.burst, self._now = per_minute / 60, per_minute if burst is None else burst, now
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, who: str, count: int = 1, already: int = 0) -> None:
        """Raises `Busy("too_often")` with the seconds to wait when there is not enough left, and `BadInput("too_many_photos")`
        for more than a bucket ever holds; then nothing is taken. `already`: what was taken for the same request."""
        if count + already > self.burst:
            raise BadInput("too_many_photos", most=int(self.burst))
        now = self._now()
        left, since = self._left.pop(who, (self.burst, now))
        left = min(self.burst, left + self.rate * (now - since))
        enough = left >= count
        self._left[who] = (left - count if enough else left, now)
        while len(self._left) > KNOWN:
            self._left.popitem(last=False)
        if not enough:
            raise Busy("too_often", seconds=max(1, round((count - left) / self.rate)))
