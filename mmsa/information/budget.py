"""Time for a series of tasks: each begins only if, as slow as the slowest before it, it ends in time."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class TimeBudget:
    """A deadline, and how this machine compares with what was expected of it.

    More than the budget is spent only by what a single task takes longer than the slowest one before it did,
    both in relation to what was expected of them.

    Args:
        seconds: from now on; None is no limit.
        clock: gives seconds.
    """

    def __init__(self, seconds: float | None, clock: Callable[[], float] = time.perf_counter):
        self._clock = clock
        self._deadline = math.inf if seconds is None else clock() + seconds
        self._slowness: float | None = None

    def allows(self, expected: float) -> bool:
        """Whether a task that is expected to take so many seconds would end in time."""
        slowness = 1.0 if self._slowness is None else self._slowness
        return self._clock() + expected * slowness <= self._deadline

    @contextmanager
    def spending(self, expected: float) -> Iterator[None]:
        """Around a task that was expected to take so many seconds."""
        started = self._clock()
        yield
        self._slowness = max(self._slowness or 0.0, (self._clock() - started) / expected)
