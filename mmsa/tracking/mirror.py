"""The mirror of a search in MLflow, written by a background thread that the search never waits for.

The mirror holds the state that MLflow should show, and writes the difference. Writing is idempotent, so the
same code serves a first launch, a study that continues, a server that comes back, and ``rebuild``.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from mmsa.config import dump_yaml
from mmsa.errors import TrackingError
from mmsa.interface import NOTHING, BestEpoch, Outcome, ReferencePoint, Scalar, Stage, StudyCard, TrialCard
from mmsa.masking import masked_message
from mmsa.measurement import Measurement
from mmsa.tracking.location import Location
from mmsa.tracking.study_runs import StudyRuns
from mmsa.tracking.system import monitor_node


class Mirror:
    """Observer that keeps MLflow in step with the study.

    A store that is away, slow or broken costs the search nothing: up to ``capacity`` trials wait in memory,
    and one line tells the user how to fill the gap.

    Args:
        location: the MLflow store.
        say: is given lines for the user, from the background thread.
        show: is given the address of the page to look at, once it is there.
        monitors: whether the load of this machine is logged as well.
        interval: seconds between rounds of writing, and before the next try after a failure.
        capacity: number of unwritten trials kept, besides earlier ones; those beyond it appear in the table
            of the parent run only.
        patience: seconds that ``close`` waits for the last round.
        clock: time of the present event, in seconds since 1970.
    """

    def __init__(
        self,
        location: Location,
        say: Callable[[str], None],
        *,
        interval: float = 5.0,
        capacity: int = 1000,
        patience: float = 30.0,
        clock: Callable[[], float] = time.time,
        show: Callable[[str], None] = lambda page: None,
        monitors: bool = False,
    ):
        self._monitors = monitors
        self._location, self._say, self._clock, self._show = location, say, clock, show
        self._interval, self._capacity, self._patience = interval, capacity, patience
        self._lock = threading.Lock()
        self._trials: dict[int, TrialCard] = {}
        self._unwritten: dict[int, None] = {}  # a set in order of arrival
        self._references: dict[str, ReferencePoint] = {}
        self._references_due = False
        self._dropped = 0
        self._summary_due = False
        self._warned = self._shown = False
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None

    def start_study(self, study: StudyCard, earlier: Sequence[TrialCard]) -> None:
        """Start writing, beginning with ``earlier`` trials that MLflow lacks."""
        self._study = study
        self._capacity += len(earlier)
        for reference in study.references:
            self.reference_known(reference)
        for trial in earlier:
            self._update(trial)
        self._thread = threading.Thread(target=self._write, name="mlflow-mirror", daemon=True)
        self._thread.start()

    def trial_started(
        self, number: int, params: Mapping[str, Scalar], config: Mapping[str, Any], stage: Stage = "search"
    ) -> None:
        """A trial starts, or starts again from its checkpoint."""
        config_yaml = dump_yaml(config)
        fresh = TrialCard(number, "running", params, config_yaml, started=self._clock(), stage=stage)
        known = self._trials.get(number, fresh)
        self._update(replace(known, outcome="running", values=(), reason="", finished=None))

    def trial_epoch(self, number: int, epoch: int, metrics: Mapping[str, float]) -> None:
        """An epoch is over; if it is reported again after a crash, the first report stays."""
        trial = self._trials[number]
        self._update(replace(trial, epochs={epoch: dict(metrics)} | dict(trial.epochs)))

    def trial_paused(self, number: int) -> None:
        """Do nothing: in MLflow, a paused trial is running until it ends."""

    def trial_measured(self, number: int, information: Mapping[str, Measurement]) -> None:
        """Information was measured on the best epoch of a trial."""
        self._update(replace(self._trials[number], information=dict(information)))

    def trial_finished(
        self,
        number: int,
        outcome: Outcome,
        values: Sequence[float],
        reason: str,
        best: BestEpoch = NOTHING,
    ) -> None:
        """A trial ended."""
        trial = self._trials[number]
        finished = max(self._clock(), trial.started or 0.0)  # a clock may be set back meanwhile
        ended = replace(trial, outcome=outcome, values=tuple(values), reason=reason, finished=finished)
        ended = replace(ended, violation=best.violation, standard_error=best.standard_error)
        self._update(replace(ended, best_epoch=best.number, metrics=best.metrics))

    def reference_known(self, reference: ReferencePoint) -> None:
        """A reference point was measured or compared anew."""
        with self._lock:
            self._references[reference.name] = reference
            self._references_due = True

    def close(self) -> None:
        """Write what is left, within ``patience``, and say what could not be written."""
        self._closing.set()
        if self._thread is not None:
            self._thread.join(self._patience)
            if self.unwritten or self._thread.is_alive():
                lacking = f"up to {self.unwritten} trials" if self.unwritten else "the table of all trials"
                self._say(f"MLflow lacks {lacking}. {advice(self._study.name, self._location)}")

    @property
    def unwritten(self) -> int:
        """Number of trials that MLflow is not known to show as they are."""
        return len(self._unwritten) + self._dropped

    def _update(self, trial: TrialCard) -> None:
        with self._lock:
            self._trials[trial.number] = trial
            self._unwritten[trial.number] = None
            if len(self._unwritten) > self._capacity:
                self._forget(next(iter(self._unwritten)))
                self._dropped += 1

    def _forget(self, number: int) -> None:
        """Free the memory of a trial that is written: only what the table of trials needs is kept."""
        self._unwritten.pop(number, None)
        if self._trials[number].outcome != "running":
            self._trials[number] = replace(self._trials[number], epochs={}, information={})

    def _write(self) -> None:
        runs: StudyRuns | None = None
        while True:
            closing = self._closing.is_set()
            try:
                if runs is None:
                    runs = StudyRuns(self._location, self._study)
                    runs.set_status(running=True, complete=False)
                    self._show_once(runs)
                self._write_round(runs)
                if closing:
                    runs.set_status(running=False, complete=self._complete())
            except Exception as error:
                runs = None  # whether the last request arrived is not known: look again
                self._warn(error)
            if closing:
                return
            self._closing.wait(self._interval)

    def _write_round(self, runs: StudyRuns) -> None:
        with self._lock:
            batch = [self._trials[number] for number in self._unwritten]
        for trial in batch:
            with self._lock:
                # To the end of the queue first: a trial that MLflow refuses must not hold up the others.
                self._unwritten.pop(trial.number, None)
                self._unwritten[trial.number] = None
            self._summary_due = True
            runs.write_trial(trial)
            with self._lock:
                if self._trials[trial.number] is trial:  # else it has changed while it was written
                    self._forget(trial.number)
        if self._references_due:
            with self._lock:
                # Before they are written: what arrives meanwhile belongs to the next round.
                self._references_due, references = False, list(self._references.values())
            try:
                runs.write_references(references)
            except Exception:
                self._references_due = True
                raise
        if self._summary_due:
            with self._lock:
                trials = list(self._trials.values())
            runs.write_summary(trials)
            self._summary_due = False

    def _show_once(self, runs: StudyRuns) -> None:
        if not self._shown:
            self._show(next(iter(runs.pages.values())))
            for notice in runs.notices:
                self._say(notice)
            self._shown = True
            if self._monitors:
                monitor_node(self._location, runs.parent)

    def _complete(self) -> bool:
        return sum(trial.outcome != "running" for trial in self._trials.values()) >= self._study.num_trials

    def _warn(self, error: Exception) -> None:
        if not self._warned:
            cause = masked_message(error, self._location.uri).splitlines()[0][:200]
            lacking = advice(self._study.name, self._location)
            self._say(f"MLflow cannot be written ({cause}); the search goes on. {lacking}")
            self._warned = True


def advice(study: str, location: Location) -> str:
    """Advice for a user whose MLflow lacks something."""
    return f"To fill the gap: python launch/report.py --study {study} --rebuild{location.options}"


def rebuild(
    location: Location,
    study: StudyCard,
    trials: Sequence[TrialCard],
    show: Callable[[str], None] = lambda page: None,
) -> int:
    """Write into MLflow what it lacks of the ended ``trials``; ``show`` gets the address to look at.

    Returns:
        The number of trials of which something was lacking.

    Raises:
        TrackingError: when the store cannot be reached.
    """
    ended = [trial for trial in trials if trial.outcome != "running"]
    with location.in_use():
        runs = StudyRuns(location, study)
        written = sum(runs.write_trial(trial) for trial in ended)
        runs.write_references(study.references)
        runs.write_summary(trials)
        runs.end_abandoned()
        if len(ended) == len(trials):
            runs.set_status(running=False, complete=len(ended) >= study.num_trials)
    show(next(iter(runs.pages.values())))
    return written


def log_study_files(location: Location, study: StudyCard, files: Mapping[str, str]) -> None:
    """Put texts beside the tables of a study's run, which the mirror has made.

    Args:
        location: the MLflow store.
        study: whose run it is.
        files: text by name.

    Raises:
        TrackingError: when the store cannot be written, or has no run of the study.
    """
    with location.in_use():
        client = location.connect()
        of_study = f"tags.`mmsa.identity` = '{study.identity}'"
        experiment = location.experiment(client, study.data_set, of_study)
        found = client.search_runs([experiment], f"{of_study} AND tags.`mmsa.role` = 'study'", max_results=1)
        if not found:
            raise TrackingError(f"{location.shown}: has no run of the study. {advice(study.name, location)}")
        for name, text in files.items():
            client.log_text(found[0].info.run_id, text, name)
