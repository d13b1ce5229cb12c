"""How much one visitor, one address or one key may ask for in a while, and how long a guess at a key waits."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from ipaddress import ip_address, ip_network

from transfer_core.errors import BadInput, Busy

KNOWN = 20_000
"""Visitors that are remembered; the one who asked longest ago is forgotten, whose bucket is full again anyway."""


def asker(host: str | None) -> str:
    """By what name an address is counted. A visitor with IPv6 has 2⁶⁴ addresses to ask from: they count as one (the /64 that a
    connection is given, RFC 6177). `host`: as the server has it from the proxies it trusts; None counts as one asker, too."""
    try:
        address = ip_address((host or "").partition("%")[0])
    except ValueError:
        return host or ""
    if address.version == 4:
        return str(address)
    return str(address.ipv4_mapped or ip_network((address, 64), strict=False))


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


class Guesses:
    """How many seconds a try at a key waits before it is looked at. None is refused, so that nobody who guesses keeps out who
    knows the key: from an address that has not guessed, a try waits `MOST_ANYWHERE` at most, whatever others do.

    Tries are counted when they begin, and forgotten one by one. An address has a few for nothing; then each waits longer, until
    as many are made as are forgotten: ten a minute. Who holds n sessions open at the same time gets n looks a minute at most.
    """

    FREE, STEP, FORGOTTEN, MOST = 5, 2.0, 6.0, 60.0
    """Tries for nothing; seconds that each further one adds; seconds in which one is forgotten; longest wait."""
    FREE_ANYWHERE, STEP_ANYWHERE, FORGOTTEN_ANYWHERE, MOST_ANYWHERE = 60, 0.1, 1.0, 5.0
    """The same, of all addresses together."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._tries: OrderedDict[str, tuple[float, float]] = OrderedDict()
        self._all = (0.0, now())

    def begin(self, who: str) -> float:
        """One more try by `who`: the seconds until it may be looked at."""
        now = self._now()
        count, since = self._tries.pop(who, (0.0, now))
        count = max(0.0, count - (now - since) / self.FORGOTTEN) + 1
        self._tries[who] = (count, now)
        while len(self._tries) > KNOWN:
            self._tries.popitem(last=False)
        total = max(0.0, self._all[0] - (now - self._all[1]) / self.FORGOTTEN_ANYWHERE) + 1
        self._all = (total, now)
        alone = min(self.MOST, self.STEP * max(0.0, count - self.FREE))
        return max(alone, min(self.MOST_ANYWHERE, self.STEP_ANYWHERE * max(0.0, total - self.FREE_ANYWHERE)))
