"""The time a person gives a training (`Recipe.minutes`): how much of it is spent, and what that means for the learning rate.

The learning rate follows the planned epochs as ever, until the last fifth of the time: there it falls in a straight line to zero
(a cooldown; Hägele et al. 2024, arXiv:2405.18392), unless it is lower anyway. What was tried instead is in docs/decisions.md.
Whoever has time for all epochs gets the curve of no limit.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from transfer_core.events import Progressed

COOLING = 0.2
"""Share of the time in which the learning rate falls to zero."""
LEAST = 0.1
"""Share of the time after which the speed of storing is believed."""
MOST = 0.9
"""Share of the time that storing may take: behind it, epochs take a fraction of what they would."""


@dataclass
class Budget:
    """Seconds are those of the training itself, over all its resumes: storing what frozen layers say, steps, validation. What was
    done between the last checkpoint and a kill is not counted."""

    seconds: float | None
    """In all; None is no limit."""
    clock: Callable[[], float]
    before: float = 0.0
    """Spent by `since`."""
    since: float = 0.0
    begun: float = 0.0
    """Spent before the first step of all."""
    looking: float = 0.0
    """What a look at the validation images takes: the steps end that much earlier."""

    @property
    def spent(self) -> float:
        return self.before + self.clock() - self.since

    @property
    def over(self) -> bool:
        """Whether no further step fits."""
        return self.seconds is not None and self.spent >= self.seconds - self.looking

    @property
    def highest(self) -> float:
        """What the base learning rates may be multiplied by at most, now."""
        return min(1.0, (1.0 - self.share) / COOLING)

    @property
    def share(self) -> float:
        """How much of the time for steps is spent, 0 to 1; 0 without a limit."""
        if self.seconds is None:
            return 0.0
        whole = self.seconds - self.looking - self.begun
        return min(1.0, max(0.0, self.spent - self.begun) / whole) if whole > 0 else 1.0

    def left(self, wanted: float) -> float:
        """Of so many seconds, those that there will be."""
        return wanted if self.seconds is None else max(0.0, min(wanted, self.seconds - self.spent))

    def hopeless(self, event: Progressed) -> bool:
        """Whether storing would take (nearly) all of the time, by how far it is."""
        if self.seconds is None or not event.total or not event.done or self.spent < LEAST * self.seconds:
            return False
        return event.done < event.total and self.spent * event.total / event.done > MOST * self.seconds
