"""Processes of trials that died or hang: what they died of, and an end to those that hang.

A process that waits for something that never comes, or that was stopped, does not die, so Ray has nothing to
report. Killed from here it counts as crashed, and its trial continues from its checkpoint.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence

import ray
from ray.tune.experiment import Trial
from rich.text import Text

_OF_A_DEATH = re.compile(r"Worker exit detail: (.*?)(?: Some common causes include|$)", re.DOTALL)
_PLACE = '  File "'  # begins the line of each call in a traceback
_LONGEST_LOOK = 1.0  # seconds


def plain(text: str) -> str:
    """The text without the colours that Ray gives names."""
    return Text.from_ansi(text).plain.strip()


def cause_of(crash: str) -> str:
    """The cause of a crash in one line: the error that a traceback ends with, or how the process ended."""
    lines = crash.splitlines()
    places = [number for number, line in enumerate(lines) if line.startswith(_PLACE)]
    error = lines[places[-1] + 1 :] if places else []
    while error and (not error[0] or error[0][0].isspace()):  # the source line, and marks below it
        error.pop(0)
    death = _OF_A_DEATH.search(crash)
    cause = "\n".join(error) or (death[1] if death else lines[-1] if lines else "")
    return " ".join(cause.split())


class Watch:
    """Kills the process of each trial that has reported nothing for too long.

    Args:
        patience: seconds of silence, by ``clock``, after which a trial counts as hanging.
        end: kills the process behind an actor.
        clock: in seconds.
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
        """Note that a trial started or finished an epoch."""
        self._silent[trial] = 0.0

    def look(self, trials: Sequence[Trial]) -> None:
        """Add up each trial's silence; called once a step of Tune with all trials, in order of arrival."""
        # Silence is added up step by step, each counted for a second at most: while the driver itself waits
        # for its storage, reports queue up, and no trial is to blame for that time.
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
