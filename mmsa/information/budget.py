"""A time limit for a series of tasks."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class TimeBudget:
    """A deadline for tasks of which each begins only if it is expected to end in time.

    Expectations are corrected by the slowest task so far, in relation to what was expected of it. So the
    budget is exceeded only by what a single task takes longer than that.

    Args:
        seconds: From now on; None is no limit.
        clock: Returns seconds.

    Examples:
        >>> time_is = iter([0.0, 0.0, 6.0, 6.0])
        >>> budget = TimeBudget(10.0, clock=lambda: next(time_is))
        >>> with budget.spending(expected=3.0):  # takes 6
        ...     pass
        >>> budget.allows(expected=3.0)  # would end at 12
        False
    """

    def __init__(self, seconds: float | None, clock: Callable[[], float] = time.perf_counter):
        self._clock = clock
        self._deadline = math.inf if seconds is None else clock() + seconds
        self._slowness: float | None = None

    def allows(self, expected: float) -> bool:
        """Return whether a task that is expected to take so many seconds would end in time."""
        slowness = 1.0 if self._slowness is None else self._slowness
        return self._clock() + expected * slowness <= self._deadline

    @contextmanager
    def spending(self, expected: float) -> Iterator[None]:
        """Surround a task that was expected to take so many seconds."""
        started = self._clock()
        yield
        self._slowness = max(self._slowness or 0.0, (self._clock() - started) / expected)
