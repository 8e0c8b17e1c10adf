"""Between Ray Tune and the study: Tune asks here for trials, and tells here what became of them.

Tune's own Optuna searcher calls stopped trials complete, never sees the last result of a trial, and leaves a
trial running for ever after a NaN. Here the searcher only asks, and everything is told through Tune's
callbacks, which see every result.
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ray.tune import Callback, Stopper
from ray.tune.experiment import Trial
from ray.tune.search import Searcher

from mmsa.config import dump_yaml
from mmsa.errors import StudyError
from mmsa.search.cards import trial_config
from mmsa.search.memory import Room
from mmsa.search.records import Ending, Metrics, Suggestion, TrialRecord
from mmsa.search.schedulers import Scheduler
from mmsa.search.search_config import DEFAULTS
from mmsa.search.study import Study
from mmsa.search.trial import CHECKPOINT, PEAK_MEMORY, Assignment, Report
from mmsa.search.watch import Watch
from mmsa.tracking import Observer, Outcome, Stage

MOST_FAILURES_IN_A_ROW = 5
"""Failed trials after one another at which a search stops: more of the same would teach nothing."""

_OUT_OF_MEMORY = "running low on memory"  # what Ray says of a process that it killed for its size


class StudySearcher(Searcher):  # type: ignore[misc]
    """Hands out the study's trials: those that were paused and shall go on, then those the study asks for."""

    def __init__(self, study: Study, stage: Stage, scheduler: Scheduler, room: Room, stop: StopRequest):
        super().__init__()
        self._study, self._stage, self._scheduler, self._stop = study, stage, scheduler, stop
        self._room = room
        self._live: set[str] = set()

    def suggest(self, trial_id: str) -> dict[str, Assignment] | str | None:
        """The next trial, that there is none, or None for none before another report."""
        if len(self._live) >= self._room.count:
            return None
        suggestion = None
        with self._stop.on_study_error():
            suggestion = self._promoted() or self._study.ask(self._stage) or self._promoted(closing=True)
        if suggestion is None:
            return None if self._waits() else str(Searcher.FINISHED)
        if suggestion.start == DEFAULTS:
            self._scheduler.spare(suggestion.number)  # all others are compared with it
        config = trial_config(self._study, suggestion)
        folder = trial_folder(self._study, suggestion.number)
        self._live.add(trial_id)
        return {"assignment": Assignment(suggestion.number, config, suggestion.overrides, folder)}

    def _promoted(self, closing: bool = False) -> Suggestion | None:
        if closing and self._num_running():
            return None
        number = self._scheduler.promote(closing)
        return None if number is None else self._study.resume(number)

    def _waits(self) -> bool:
        """Whether a report may still let a paused trial go on."""
        return bool(self._scheduler.pauses) and self._num_running() > 0 and not self._stop.stop_all()

    def _num_running(self) -> int:
        return self._study.counts().get("running", 0) - len(self._scheduler.paused)

    def on_trial_complete(self, trial_id: str, result: object = None, error: bool = False) -> None:
        """There is room for another; ``StudyCallback`` is told more."""
        self._live.discard(trial_id)

    def save(self, checkpoint_path: str) -> None:
        """Nothing: the study is durable."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing: every launch is a fresh Tune run."""


class StudyCallback(Callback):  # type: ignore[misc]
    """Tells study and observers what happens to trials, and cleans up behind them."""

    def __init__(
        self,
        study: Study,
        scheduler: Scheduler,
        room: Room,
        observers: Sequence[Observer],
        stop: StopRequest,
    ):
        self._study, self._scheduler, self._room = study, scheduler, room
        self._observers, self._stop = observers, stop
        self._objective = study.config.search.objectives[0].metric
        self._failures_in_a_row = 0
        self._checkpoints = Checkpoints(study)
        self._started: set[int] = set()
        self._watch = Watch(60 * study.config.resources.silent_minutes)

    def on_step_begin(self, iteration: int, trials: list[Trial], **info: Any) -> None:
        """Many times a second."""
        self._watch.look(trials)

    def on_trial_start(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        """A trial starts, or starts again after its process died."""
        self._watch.heard(trial)
        self._start(trial)

    def _start(self, trial: Trial) -> None:
        assignment = _assignment(trial)
        self._started.add(assignment.number)
        config_yaml = dump_yaml(assignment.config.model_dump(mode="json"))
        stage = self._study.trial(assignment.number).stage
        for observer in self._observers:
            observer.trial_started(assignment.number, assignment.overrides, config_yaml, stage)

    def on_trial_result(
        self, iteration: int, trials: list[Trial], trial: Trial, result: dict[str, Any], **info: Any
    ) -> None:
        """An epoch is over, or the trial ended by itself."""
        self._watch.heard(trial)
        report: Report = result["report"]
        number = _assignment(trial).number
        self._room.saw(report.notes.get(PEAK_MEMORY, 0))
        if report.outcome in ("running", "completed"):
            for epoch, metrics in report.earlier.items():
                self._tell_epoch(number, epoch, metrics, math.nan, 0.0)
            value = report.best.get(self._objective, math.nan)
            self._tell_epoch(number, report.epoch, report.metrics, value, report.seconds)
        if report.outcome != "running":
            self._finish(number, report.ending())

    def on_trial_complete(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        """Tune is done with a trial: one that has not ended by itself was paused or stopped at a rung."""
        report: Report = trial.last_result["report"]
        number = _assignment(trial).number
        if report.outcome != "running":
            return
        if self._scheduler.let_go(number):
            self._study.pause(number)
        else:
            reason = f"not among the best after epoch {report.epoch}"
            self._finish(number, report.ending("pruned", reason))

    def end_paused(self) -> None:
        """At the end of a search nothing waits any more."""
        for number, epoch in self._scheduler.paused.items():
            reason = f"not among the best after epoch {epoch}"
            self._finish(number, self._study.ending_of_paused(number, reason))
        self._scheduler.paused.clear()

    def on_trial_error(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        """Its process died more often than it is started again."""
        report: Report | None = (trial.last_result or {}).get("report")
        crashes = Path(trial.error_file).read_text(encoding="utf-8").strip()
        outcome: Outcome = "out_of_memory" if _OUT_OF_MEMORY in crashes else "failed"
        reason = f"{crashes}\nits process died {trial.num_failures} times"
        ending = report.ending(outcome, reason) if report else Ending(outcome, reason=reason)
        number = _assignment(trial).number
        if number not in self._started:  # its process died before it was up
            self._start(trial)
        self._finish(number, ending)

    def _tell_epoch(self, number: int, epoch: int, metrics: Metrics, value: float, seconds: float) -> None:
        with self._stop.on_study_error():
            self._study.report(number, epoch, metrics, value, seconds)
            for observer in self._observers:
                observer.trial_epoch(number, epoch, metrics)

    def _finish(self, number: int, ending: Ending) -> None:
        with self._stop.on_study_error():
            self._tell_end(number, ending)

    def _tell_end(self, number: int, ending: Ending) -> None:
        outcome = self._study.finish(number, ending)
        record = self._study.trial(number)
        for observer in self._observers:
            if record.information:
                observer.trial_measured(number, record.information)
            observer.trial_finished(number, outcome, record.values, record.reason)
        self._failures_in_a_row = self._failures_in_a_row + 1 if outcome == "failed" else 0
        if self._failures_in_a_row == MOST_FAILURES_IN_A_ROW:
            self._stop.because(f"{MOST_FAILURES_IN_A_ROW} trials in a row failed; the last: {record.reason}")
        self._checkpoints.ended(record)


class Checkpoints:
    """Of all trials that have ended, only the best one's checkpoint stays on disk."""

    def __init__(self, study: Study):
        self._study = study
        self._best: TrialRecord | None = None
        for trial in study.trials():
            if trial.outcome != "running":
                self.ended(trial)

    def ended(self, trial: TrialRecord) -> None:
        """Delete the checkpoint that is not needed any more now."""
        loser: TrialRecord | None = trial
        if trial.outcome == "completed" and (
            self._best is None or self._study.rank(trial) < self._study.rank(self._best)
        ):
            loser, self._best = self._best, trial
        if loser is not None:
            shutil.rmtree(trial_folder(self._study, loser.number) / CHECKPOINT, ignore_errors=True)


def trial_folder(study: Study, number: int) -> Path:
    """What belongs to one trial only."""
    return (study.folder / "trials" / str(number)).resolve()


class StopRequest(Stopper):  # type: ignore[misc]
    """Ends a search between two steps; trials that run stay as they are, for the next launch.

    Args:
        limit: asked between steps; says which budget is spent, or nothing.

    ``reason`` is why a stop was asked for, ``spent`` what the limit said, ``error`` that of a study which
    cannot be written any more.
    """

    def __init__(self, limit: Callable[[], str] = lambda: "") -> None:
        self.reason = self.spent = ""
        self.error: StudyError | None = None
        self._limit = limit

    def because(self, reason: str) -> None:
        """Stop now."""
        self.reason = reason

    def __reduce__(self) -> tuple[type[StopRequest], tuple[()]]:
        """Tune writes it into files that are never read; what it holds belongs to this process."""
        return StopRequest, ()

    @contextmanager
    def on_study_error(self) -> Iterator[None]:
        """Stop when the study cannot be written. Tune would wrap the error, and call back all the same.

        What the workers hand in from then on is not told to anybody: the next launch adopts those trials.
        """
        try:
            yield
        except StudyError as error:
            self.error = self.error or error

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        """No single trial is stopped."""
        return False

    def stop_all(self) -> bool:
        """Whether a stop was asked for, or a limit is reached."""
        self.spent = self.spent or self._limit()
        return bool(self.reason or self.spent or self.error)


def _assignment(trial: Trial) -> Assignment:
    assignment: Assignment = trial.config["assignment"]
    return assignment
