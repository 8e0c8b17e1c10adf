"""Between a scheduler and its study on one side and Ray Tune on the other."""

from __future__ import annotations

from typing import Any

from ray.tune.experiment import Trial
from ray.tune.schedulers import FIFOScheduler, TrialScheduler

from mmsa.search.definition.search_config import DEFAULTS
from mmsa.search.schedulers import NoScheduler, Scheduler
from mmsa.search.study.study import Study
from mmsa.tracking import Stage


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

    def __init__(self, scheduler: Scheduler):
        super().__init__()
        self._scheduler = scheduler

    def on_trial_result(self, tune_controller: object, trial: Trial, result: dict[str, Any]) -> str:
        """What becomes of a trial after an epoch."""
        goes_on = self._decision(trial, result) == "continue"
        return str(TrialScheduler.CONTINUE if goes_on else TrialScheduler.STOP)

    def on_trial_complete(self, tune_controller: object, trial: Trial, result: dict[str, Any]) -> None:
        """The last epoch counts in comparisons as well."""
        self._decision(trial, result)

    def choose_trial_to_run(self, tune_controller: object) -> None:
        """None before the others: Tune starts what waits, in order.

        Tune's own choice, the first trial that waits, looks at all trials there ever were. It also gives a
        process that has become free to a trial whose own process is starting, which is then ended: trials
        that are shorter than the start of a process never get more than a few.
        """

    def _decision(self, trial: Trial, result: dict[str, Any]) -> str:
        if "value" not in result:
            return "continue"
        return self._scheduler.decide(trial.config["assignment"].number, result["epoch"], result["value"])
