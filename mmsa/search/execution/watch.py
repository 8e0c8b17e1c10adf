"""Trials that hang: their processes are ended, as nothing else would do it.

A process that waits for something that never comes, or that was stopped, does not die, so Ray has nothing to
tell. Ended from here it counts as crashed, and its trial goes on from its checkpoint.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import ray
from ray.tune.experiment import Trial

_LONGEST_LOOK = 1.0
"""Seconds between two looks that count at most: reports wait while the driver waits for its storage."""


class Watch:
    """Ends the process of each trial that has said nothing for too long.

    Args:
        patience: seconds of silence, by ``clock``, that mean that a trial hangs.
        end: ends the process behind an actor.
    """

    def __init__(
        self,
        patience: float,
        end: Callable[[object], None] = ray.kill,
        clock: Callable[[], float] = time.monotonic,
    ):
        self._patience, self._end, self._clock = patience, end, clock
        self._looked = clock()
        self._seen = 0
        self._silent: dict[Trial, float] = {}

    def heard(self, trial: Trial) -> None:
        """It started, or an epoch of it is over."""
        self._silent[trial] = 0.0

    def look(self, trials: Sequence[Trial]) -> None:
        """Once a step of Tune, with all trials it has had so far in order of arrival."""
        passed = min(self._clock() - self._looked, _LONGEST_LOOK)
        self._looked = self._clock()
        self._silent |= dict.fromkeys(trials[self._seen :], 0.0)
        self._seen = len(trials)
        for trial, silent in list(self._silent.items()):
            actor = trial.temporary_state.ray_actor
            if trial.is_finished():
                del self._silent[trial]
            elif actor is None:  # waits for a process
                self._silent[trial] = 0.0
            elif silent + passed < self._patience:
                self._silent[trial] = silent + passed
            else:
                self._end(actor)
                self._silent[trial] = 0.0
