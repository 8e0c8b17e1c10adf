"""Between a scheduler and its study on one side and Ray Tune on the other."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from ray.tune.experiment import Trial
from ray.tune.schedulers import FIFOScheduler, TrialScheduler

from mmsa.search.definition.search_config import DEFAULTS
from mmsa.search.schedulers import NoScheduler, Scheduler
from mmsa.search.study.study import Study
from mmsa.tracking import Stage

LONGEST_START = 30.0
"""Seconds after which a process that was asked for is waited for no longer: there may be no room for it."""


def scheduler_of(study: Study, stage: Stage) -> Scheduler:
    """The scheduler of a launch, which knows what trials reported in earlier ones.

    Finalists run to their end: they are few, and what is known of the search compares with nothing of theirs.
    Tune stores no scheduler state. Trials that wait at a rung are paused in the study, so that they are not
    handed out as interrupted ones.
    """
    if stage == "finalist":
        return NoScheduler(NoScheduler.Config(), study.config.base.train.epochs, "minimize")
    scheduler = study.config.build_scheduler()
    for trial in study.trials():
        if trial.stage == "search" and not trial.superseded:
            if trial.start == DEFAULTS:
                scheduler.spare(trial.number)  # all others are compared with it
            scheduler.record(trial.number, trial.reported)
            if trial.outcome == "running" and scheduler.set_aside(trial.number):
                study.pause(trial.number)
    return scheduler


class TuneScheduler(FIFOScheduler):  # type: ignore[misc]
    """Lets the study's scheduler decide. For Tune a paused trial is over: it comes back as another one."""

    def __init__(self, scheduler: Scheduler, clock: Callable[[], float] = time.monotonic):
        super().__init__()
        self._scheduler, self._clock = scheduler, clock
        self._waiting: dict[Trial, float] = {}  # since when, the first one first

    def on_trial_result(self, tune_controller: object, trial: Trial, result: dict[str, Any]) -> str:
        """What becomes of a trial after an epoch."""
        goes_on = self._decision(trial, result) == "continue"
        return str(TrialScheduler.CONTINUE if goes_on else TrialScheduler.STOP)

    def on_trial_complete(self, tune_controller: object, trial: Trial, result: dict[str, Any]) -> None:
        """The last epoch counts in comparisons as well."""
        self._decision(trial, result)

    def on_trial_add(self, tune_controller: object, trial: Trial) -> None:
        """A trial waits from here on."""
        self._waiting[trial] = self._clock()

    def choose_trial_to_run(self, tune_controller: object) -> Trial | None:
        """The trial that is given a process which becomes free, though one was asked for for it.

        Tune's own choice would be any that waits, and end the process that starts for it: trials that are
        shorter than such a start would never get more than a few. One for which none starts is not left to
        the end of the search.
        """
        self._waiting = {
            trial: since for trial, since in self._waiting.items() if trial.status == trial.PENDING
        }
        trial, since = next(iter(self._waiting.items()), (None, 0.0))
        return trial if self._clock() - since >= LONGEST_START else None

    def _decision(self, trial: Trial, result: dict[str, Any]) -> str:
        if "value" not in result:
            return "continue"
        number = trial.config["assignment"].number
        if earlier := result["report"].earlier_values:  # of which a dead driver was not told
            self._scheduler.record(number, earlier)
        return self._scheduler.decide(number, result["epoch"], result["value"])
