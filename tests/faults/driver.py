"""``launch/search.py`` with a checkpoint after every epoch, and a clock that SIGUSR2 sets back, then on."""

from __future__ import annotations

import runpy
import signal
import time
from datetime import datetime, timedelta
from functools import partial
from itertools import cycle
from pathlib import Path

import optuna.storages.journal._storage as journal

from mmsa.search.execution import executor
from mmsa.search.study import trial_store

_SEARCH = Path(__file__).parents[2] / "launch" / "search.py"
_real_time = time.time
_steps = cycle([-86_400.0, 2 * 86_400.0])
_offset = 0.0


class SteppedClock(datetime):
    """The clock that trials are recorded by."""

    @classmethod
    def now(cls, tz: object = None) -> datetime:
        """The time by a clock that was set."""
        return datetime.now(tz) + timedelta(seconds=_offset)  # type: ignore[arg-type]


def step(*_: object) -> None:
    """Somebody sets the clock."""
    global _offset
    _offset += next(_steps)


if __name__ == "__main__":
    signal.signal(signal.SIGUSR2, step)
    time.time = lambda: _real_time() + _offset
    trial_store.datetime = journal.datetime = SteppedClock  # type: ignore[attr-defined,misc]
    executor.SearchOptions = partial(executor.SearchOptions, checkpoint_seconds=0.0)  # type: ignore[assignment,misc]
    runpy.run_path(str(_SEARCH), run_name="__main__")
