"""Where Ray Tune asks for trials and for decisions: the searcher and the scheduler that it is given.

Both are adapters: what runs, and what becomes of it, is decided by the study and by its scheduler. Every
launch is a fresh Tune run.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

from ray.tune.experiment import Trial
from ray.tune.schedulers import FIFOScheduler, TrialScheduler
from ray.tune.search import Searcher

from mmsa.config import with_overrides
from mmsa.experiment import RunConfig
from mmsa.interface import Stage
from mmsa.search.definition.search_config import DEFAULTS
from mmsa.search.execution.memory import ConcurrencyLimit
from mmsa.search.execution.stop_request import StopRequest
from mmsa.search.execution.trial import Assignment, ReferenceRuns
from mmsa.search.records import Suggestion, shown_params
from mmsa.search.schedulers import NoScheduler, Replacement, Scheduler
from mmsa.search.study.study import Study

LONGEST_START = 30.0
"""Seconds after which a requested process is no longer waited for: the cluster may have no room for it."""


class StudySearcher(Searcher):  # type: ignore[misc]
    """Suggests the study's trials: promoted ones that were paused, then those that the study asks for.

    Args:
        study: whose trials are run.
        stage: of the study that is run.
        scheduler: promotes paused trials.
        limit: on the number of trials at once.
        stop: ends the search.
        replace: called with the trials that the scheduler wants replaced.
        references: reference points that run beside the trials.
    """

    def __init__(
        self,
        study: Study,
        stage: Stage,
        scheduler: Scheduler,
        limit: ConcurrencyLimit,
        stop: StopRequest,
        replace: Callable[[Sequence[Replacement]], None],
        references: ReferenceRuns | None = None,
    ):
        super().__init__()
        self._references = references
        self._replace = replace
        self._study, self._stage, self._scheduler, self._stop = study, stage, scheduler, stop
        self._limit = limit
        self._live: set[str] = set()

    def suggest(self, trial_id: str) -> dict[str, Assignment] | str | None:
        """Next trial; FINISHED if none are left; None to wait for the next report."""
        if len(self._live) >= self._limit.count:
            return None
        suggestion = None
        with self._stop.on_study_error():
            # Reference points as soon as the defaults have ended, so that they are known when a budget ends
            # the search. They are few.
            if (reference := self._reference(trial_id)) is not None:
                return reference
            # Promoted trials first, as they are closer to a result. Closing comes last: rungs are only
            # complete when the study has nothing more to add.
            suggestion = self._promoted() or self._study.ask(self._stage) or self._promoted(closing=True)
            if suggestion is None and (reference := self._reference(trial_id, anyway=True)) is not None:
                return reference
        if suggestion is None:
            return None if self._waits() else str(Searcher.FINISHED)
        if suggestion.start == DEFAULTS:
            self._scheduler.spare(suggestion.number)  # all others are compared with it
        config = self._study.trial_config(suggestion)
        if suggestion.finalist_of is not None:
            config = _decomposed(config)
        self._live.add(trial_id)
        assignment = Assignment(
            suggestion.number,
            config,
            shown_params(suggestion, self._study.divided(suggestion)),
            self._study.trial_folder(suggestion.number),
            known=max(self._study.trial(suggestion.number).epochs, default=0),
            inherited=max((change["after"] for change in suggestion.course), default=0),
        )
        return {"assignment": assignment}

    def _reference(self, trial_id: str, *, anyway: bool = False) -> dict[str, Assignment] | None:
        assignment = None if self._references is None else self._references.next(anyway=anyway)
        if assignment is None:
            return None
        self._live.add(trial_id)
        return {"assignment": assignment}

    def _promoted(self, closing: bool = False) -> Suggestion | None:
        if closing:
            if self._num_running():
                return None
            self._replace(self._scheduler.replacements())
        number = self._scheduler.promote(closing)
        return None if number is None else self._study.resume(number)

    def _waits(self) -> bool:
        """Whether a live trial may still lead to another one.

        Its report may promote a paused trial, or its process may die, so that it is suggested again.
        """
        return bool(self._live) and not self._stop.stop_all()

    def _num_running(self) -> int:
        return self._study.counts().get("running", 0) - len(self._scheduler.paused)

    def on_trial_complete(self, trial_id: str, result: object = None, error: bool = False) -> None:
        """Make room for another trial; everything else is for ``StudyCallback``."""
        self._live.discard(trial_id)

    def save(self, checkpoint_path: str) -> None:
        """Do nothing: the study is durable."""

    def restore(self, checkpoint_path: str) -> None:
        """Do nothing: every launch is a fresh Tune run."""


def scheduler_of(study: Study, stage: Stage) -> Scheduler:
    """The scheduler of a launch, which has seen what trials reported in earlier launches.

    Tune stores no scheduler state: it is rebuilt from the study's reports. Trials that wait at a rung are
    paused in the study, so that they do not count as interrupted. Finalists run to their end: they are few,
    and the values of the search do not compare with theirs.
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
    """Lets the study's scheduler decide. To Tune a paused trial is over: it comes back as another trial."""

    def __init__(self, scheduler: Scheduler, clock: Callable[[], float] = time.monotonic):
        super().__init__()
        self._scheduler, self._clock = scheduler, clock
        self._waiting: dict[Trial, float] = {}  # since when, the first one first

    def on_trial_result(self, tune_controller: object, trial: Trial, result: dict[str, Any]) -> str:
        """Continue or stop a trial after an epoch."""
        goes_on = self._decision(trial, result) == "continue"
        return str(TrialScheduler.CONTINUE if goes_on else TrialScheduler.STOP)

    def on_trial_complete(self, tune_controller: object, trial: Trial, result: dict[str, Any]) -> None:
        """Count the last epoch in comparisons as well."""
        self._decision(trial, result)

    def on_trial_add(self, tune_controller: object, trial: Trial) -> None:
        """Note since when a trial waits for a process."""
        self._waiting[trial] = self._clock()

    def choose_trial_to_run(self, tune_controller: object) -> Trial | None:
        """The trial that gets a free process although one was requested for it; None for none.

        Tune would choose any waiting trial and cancel the process that starts for it. With trials that are
        shorter than such a start, the search would never get more than a few processes. So a trial waits for
        its own process, up to ``LONGEST_START``.
        """
        self._waiting = {
            trial: since for trial, since in self._waiting.items() if trial.status == trial.PENDING
        }
        trial, since = next(iter(self._waiting.items()), (None, 0.0))
        return trial if self._clock() - since >= LONGEST_START else None

    def _decision(self, trial: Trial, result: dict[str, Any]) -> str:
        if "value" not in result or trial.config["assignment"].reference:
            return "continue"
        number = trial.config["assignment"].number
        if earlier := result["report"].earlier_values:  # that a dead driver was not told of
            self._scheduler.record(number, earlier)
        return self._scheduler.decide(number, result["epoch"], result["value"])


def _decomposed(config: RunConfig) -> RunConfig:
    """The configuration of a finalist, which also decomposes its information about the label.

    Finalists are few, and one of them is the result; what they train is as it is, and so is what is exported.
    """
    asked = config.information.quantities
    if not asked or "decomposition" in asked:
        return config
    return with_overrides(config, {"information.quantities": [*asked, "decomposition"]})
