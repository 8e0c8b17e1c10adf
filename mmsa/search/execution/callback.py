"""What happens to trials under Ray Tune, reported to the study and the observers.

This is a callback because Tune's callbacks see every result. Its Optuna searcher calls stopped trials
complete, never sees a trial's last result, and leaves a trial running for ever after a NaN.
"""

from __future__ import annotations

import math
import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from ray.tune import Callback
from ray.tune.experiment import Trial

from mmsa.errors import StudyError
from mmsa.experiment import RunConfig
from mmsa.interface import BestEpoch, Metrics, Observer, Outcome, Scalar, Stage
from mmsa.search.execution.crashes import Watch, cause_of, plain
from mmsa.search.execution.local_ray import refuse_dead_ray
from mmsa.search.execution.memory import ConcurrencyLimit
from mmsa.search.execution.nodes import OTHER_CODE
from mmsa.search.execution.stop_request import StopRequest
from mmsa.search.execution.trial import CHECKPOINT, PEAK_MEMORY, Assignment, ReferenceRuns, Report
from mmsa.search.execution.tune_trials import StudyTrial
from mmsa.search.records import Ending, TrialRecord, shown_params
from mmsa.search.schedulers import Replacement, Scheduler
from mmsa.search.study.cards import standard_error
from mmsa.search.study.study import Study

MOST_CRASHES = 2
"""How often a trial is restarted after its process died."""
MOST_FAILURES_IN_A_ROW = 5
"""Number of consecutive failed trials after which a search stops: more of the same would teach nothing."""

_OUT_OF_MEMORY = "running low on memory"  # in Ray's message about a process that it killed for its size


class StudyCallback(Callback):  # type: ignore[misc]
    """Reports what happens to trials to the study and the observers, and cleans up after them."""

    def __init__(
        self,
        study: Study,
        scheduler: Scheduler,
        limit: ConcurrencyLimit,
        observers: Sequence[Observer],
        stop: StopRequest,
        references: ReferenceRuns | None = None,
    ):
        self._references = references
        self._study, self._scheduler, self._limit = study, scheduler, limit
        self._observers, self._stop = observers, stop
        self._objective = study.config.search.objectives[0].metric
        self._failures_in_a_row = 0
        self._checkpoints = Checkpoints(study)
        self._started: set[int] = set()
        self._crashes: Counter[int | str] = Counter()  # by number, or by name of a reference point
        self._ended: list[StudyTrial] = []
        self._watch = Watch(60 * study.config.resources.silent_minutes)

    def on_step_begin(self, iteration: int, trials: list[Trial], **info: Any) -> None:
        """Look for dead and hanging processes; called many times a second."""
        with self._stop.on_study_error():
            refuse_dead_ray()
        self._watch.look(trials)
        for trial in [trial for trial in self._ended if trial.is_finished()]:
            trial.forget()
            self._ended.remove(trial)

    def on_trial_start(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        """A trial starts, or restarts after its process died."""
        self._watch.heard(trial)
        given = _assignment(trial)
        if given.reference:
            return
        stage = self._study.trial(given.number).stage
        self._tell_start(given.number, given.overrides, given.config, stage)

    def _tell_start(
        self, number: int, overrides: Mapping[str, Scalar], config: RunConfig, stage: Stage
    ) -> None:
        self._started.add(number)
        values = config.model_dump(mode="json")
        for observer in self._observers:
            observer.trial_started(number, overrides, values, stage)

    def on_trial_result(
        self, iteration: int, trials: list[Trial], trial: Trial, result: dict[str, Any], **info: Any
    ) -> None:
        """An epoch is over, or the trial has ended by itself."""
        self._watch.heard(trial)
        report: Report = result["report"]
        number, reference = _assignment(trial).number, _assignment(trial).reference
        self._limit.saw(report.notes.get(PEAK_MEMORY, 0))
        if reference:
            if report.outcome != "running":
                self._end_reference(reference, report)
            return
        if report.outcome in ("running", "completed"):
            for epoch, metrics in report.earlier.items():
                value = report.earlier_values.get(epoch, math.nan)
                self._tell_epoch(number, epoch, metrics, value, 0.0)
            value = report.best.get(self._objective, math.nan)
            self._tell_epoch(number, report.epoch, report.metrics, value, report.seconds)
        if report.outcome != "running":
            self._finish(number, report.ending())

    def on_trial_complete(self, iteration: int, trials: list[Trial], trial: StudyTrial, **info: Any) -> None:
        """Tune is done with a trial. One that has not ended by itself was paused or stopped at a rung."""
        self._ended.append(trial)
        report: Report = trial.last_result["report"]
        number = _assignment(trial).number
        if report.outcome != "running" or _assignment(trial).reference:
            return
        if self._scheduler.let_go(number):
            self._study.pause(number)
            for observer in self._observers:
                observer.trial_paused(number)
        else:
            reason = f"not among the best after epoch {report.epoch}"
            self._finish(number, report.ending("pruned", reason))

    def replace(self, replacements: Sequence[Replacement]) -> None:
        """End trials in favour of others that continue from the weights of better ones."""
        if not replacements:
            return
        for replacement, number in zip(replacements, self._study.replace(replacements), strict=True):
            with suppress(OSError):  # without a checkpoint the new trial repeats its parent's epochs
                shutil.copytree(
                    self._study.trial_folder(replacement.parent) / CHECKPOINT,
                    self._study.trial_folder(number) / CHECKPOINT,
                )
            ending = self._study.ending_of_paused(replacement.loser, replacement.reason)
            self._finish(replacement.loser, ending)

    def end_paused(self) -> None:
        """End all paused trials; called when the search is over."""
        for number, epoch in self._scheduler.paused.items():
            reason = f"not among the best after epoch {epoch}"
            self._finish(number, self._study.ending_of_paused(number, reason))
        self._scheduler.paused.clear()

    def on_trial_error(self, iteration: int, trials: list[Trial], trial: StudyTrial, **info: Any) -> None:
        """The process of a trial died: restart the trial from its checkpoint, unless it died too often.

        Tune could restart it as well, but counts a death twice if it was about to reuse the process.
        """
        self._ended.append(trial)
        number, reference = _assignment(trial).number, _assignment(trial).reference
        crash = plain(Path(trial.error_file).read_text(encoding="utf-8")) if trial.error_file else ""
        refusal = next((line for line in crash.splitlines() if OTHER_CODE in line), "")
        if refusal:
            self._stop.because_of(StudyError(refusal.rpartition("StudyError: ")[2]))
        self._crashes[reference or number] += 1
        if refusal or self._crashes[reference or number] <= MOST_CRASHES:
            if reference:
                self._beside.requeue(reference)
            else:
                self._study.requeue(number)
            return
        report: Report | None = (trial.last_result or {}).get("report")
        outcome: Outcome = "out_of_memory" if _OUT_OF_MEMORY in crash else "failed"
        died = self._crashes[reference or number]
        reason = f"{crash}\nits process died {died} times: {cause_of(crash)}"
        if reference:
            self._end_reference(reference, Report(outcome, 0, reason=reason))
            return
        ending = report.ending(outcome, reason) if report else Ending(outcome, reason=reason)
        self._finish(number, ending)

    @property
    def _beside(self) -> ReferenceRuns:
        assert self._references is not None
        return self._references

    def _end_reference(self, name: str, report: Report) -> None:
        with self._stop.on_study_error():
            self._beside.ended(name, report)

    def _tell_epoch(self, number: int, epoch: int, metrics: Metrics, value: float, seconds: float) -> None:
        with self._stop.on_study_error():
            self._study.report(number, epoch, metrics, value, seconds)
            for observer in self._observers:
                observer.trial_epoch(number, epoch, metrics)

    def _finish(self, number: int, ending: Ending) -> None:
        with self._stop.on_study_error():
            if number not in self._started:
                self._introduce(self._study.trial(number))
            self._tell_end(number, ending)

    def _introduce(self, trial: TrialRecord) -> None:
        """Introduce a trial that ends without having started in this launch: it waited, or died too early."""
        chosen = shown_params(trial, self._study.divided(trial))
        self._tell_start(trial.number, chosen, self._study.trial_config(trial), trial.stage)
        for epoch, metrics in trial.epochs.items():
            for observer in self._observers:
                observer.trial_epoch(trial.number, epoch, metrics)

    def _tell_end(self, number: int, ending: Ending) -> None:
        outcome = self._study.finish(number, ending)
        record = self._study.trial(number)
        error = standard_error(self._study, record)
        best = BestEpoch(record.best_epoch, record.metrics, record.violation, error)
        for observer in self._observers:
            if record.information:
                observer.trial_measured(number, record.information)
            observer.trial_finished(number, outcome, record.values, record.reason, best)
        # In a row and "failed" only: divergence and lack of memory are results, and a search may seek their
        # edge.
        self._failures_in_a_row = self._failures_in_a_row + 1 if outcome == "failed" else 0
        if self._failures_in_a_row == MOST_FAILURES_IN_A_ROW:
            self._stop.because(f"{MOST_FAILURES_IN_A_ROW} trials in a row failed; the last: {record.reason}")
        self._checkpoints.ended(record)


class Checkpoints:
    """Keeps the checkpoint of the best finished trial on disk, and of no other finished one."""

    def __init__(self, study: Study):
        self._study = study
        self._best: TrialRecord | None = None
        for trial in study.trials():
            if trial.outcome != "running":
                self.ended(trial)

    def ended(self, trial: TrialRecord) -> None:
        """Delete the checkpoint that is no longer needed: the finished trial's, or the best one's so far."""
        loser: TrialRecord | None = trial
        known = [trial] if self._best is None else [self._best, trial]
        if self._study.ranked(known)[:1] == [trial]:
            loser, self._best = self._best, trial
        if loser is not None:
            shutil.rmtree(self._study.trial_folder(loser.number) / CHECKPOINT, ignore_errors=True)


def _assignment(trial: Trial) -> Assignment:
    assignment: Assignment = trial.config["assignment"]
    return assignment
