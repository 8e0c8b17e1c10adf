"""A study in MLflow: a parent run, and a child run per trial, found again by their tags."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mmsa.information.panel import metrics as information_metrics
from mmsa.tracking.front import front_csv, front_figure, front_of
from mmsa.tracking.information import log_information
from mmsa.tracking.location import Location
from mmsa.tracking.observer import StudyCard, TrialCard
from mmsa.tracking.summary import count_outcomes, ranked, trials_csv

if TYPE_CHECKING:
    from mlflow.entities import Metric, Param, Run

_PAGE = 1000
_TAG_LENGTH = 1000
_STATUS = {"completed": "FINISHED", "pruned": "KILLED"}


@dataclass
class _TrialRun:
    """What MLflow holds of a trial. epochs: those logged, None where that is not known yet."""

    run_id: str
    described: bool
    outcome: str = "running"
    num_epochs: int = 0
    epochs: set[int] | None = None


class StudyRuns:
    """Writes trials into MLflow. Every write is idempotent: what is there already is left alone.

    Raises:
        Exception: whatever MLflow raises, from every method; the callers decide what that means.
    """

    def __init__(self, location: Location, study: StudyCard):
        self.study = study
        self._client = location.connect()
        self._experiment = location.experiment(self._client, study.data_set)
        self._tags = {"mmsa.study": study.name, "mmsa.identity": study.identity}
        self._tags |= {f"mmsa.{name}": value for name, value in study.tags.items()}
        self._trials: dict[int, _TrialRun] = {}
        parent: str | None = None
        for run in self._existing():
            if run.data.tags["mmsa.role"] == "trial":
                self._trials[int(run.data.tags["mmsa.trial"])] = _trial_run(run)
            elif run.data.tags["mmsa.role"] == "study":
                parent = run.info.run_id
        self.parent = parent or self._create(study.name, {"mmsa.role": "study"})
        self._client.log_text(self.parent, study.space_yaml, "space.yaml")

    def _existing(self) -> list[Run]:
        """All runs of the study, oldest first."""
        runs: list[Run] = []
        token = None
        while True:
            page = self._client.search_runs(
                [self._experiment],
                f"tags.`mmsa.identity` = '{self.study.identity}'",
                max_results=_PAGE,
                order_by=["attributes.start_time ASC"],
                page_token=token,
            )
            runs += page
            token = page.token
            if not token:
                return runs

    def _create(self, name: str, tags: dict[str, str], started: float | None = None) -> str:
        milliseconds = int(1000 * (started or time.time()))
        run = self._client.create_run(self._experiment, milliseconds, self._tags | tags, name)
        return str(run.info.run_id)

    def write_trial(self, trial: TrialCard) -> bool:
        """Bring the run of a trial up to what ``trial`` says; True where anything had to be written."""
        run = self._trials.get(trial.number)
        if run is None:
            tags = {
                "mmsa.role": "trial",
                "mmsa.trial": str(trial.number),
                "mmsa.stage": trial.stage,
                "mlflow.parentRunId": self.parent,
            }
            run_id = self._create(f"trial {trial.number}", tags, trial.started)
            run = self._trials[trial.number] = _TrialRun(run_id, described=False, epochs=set())
        ended = trial.outcome != "running"
        if ended and run.outcome == trial.outcome and run.num_epochs >= len(trial.epochs):
            return False
        params = self._describe(run, trial)
        metrics = self._missing_metrics(run, trial)
        if ended:
            self._finish(run, trial, params, metrics)
        elif params or metrics:
            self._client.log_batch(run.run_id, params=params, metrics=metrics)
        run.described = True
        assert run.epochs is not None
        run.epochs |= set(trial.epochs)
        run.num_epochs = len(run.epochs)
        run.outcome = trial.outcome
        return True

    def _describe(self, run: _TrialRun, trial: TrialCard) -> list[Param]:
        """Log its configuration where MLflow lacks it; the parameters that are to be logged."""
        from mlflow.entities import Param

        if run.described:
            return []
        self._client.log_text(run.run_id, trial.config_yaml, "config.yaml")
        return [Param(name, str(value)) for name, value in trial.params.items()]

    def _missing_metrics(self, run: _TrialRun, trial: TrialCard) -> list[Metric]:
        if run.epochs is None:
            history = self._client.get_metric_history(run.run_id, self.study.metrics[0])
            run.epochs = {metric.step for metric in history}
        return [
            metric(name, value, epoch)
            for epoch in sorted(set(trial.epochs) - run.epochs)
            for name, value in trial.epochs[epoch].items()
        ]

    def _finish(self, run: _TrialRun, trial: TrialCard, params: list[Param], metrics: list[Metric]) -> None:
        from mlflow.entities import RunTag

        best = [
            metric(f"best/{name}", value, 0)
            for name, value in zip(self.study.metrics, trial.values, strict=False)
        ]
        num_epochs = len((run.epochs or set()) | set(trial.epochs))
        tags = {"mmsa.reason": trial.reason[:_TAG_LENGTH], "mmsa.epochs": str(num_epochs)}
        tags["mmsa.outcome"] = trial.outcome
        log_information(self._client, run.run_id, trial.information)
        measured = [
            metric(name, value, num_epochs) for name, value in information_metrics(trial.information).items()
        ]
        self._client.log_batch(
            run.run_id,
            params=params,
            metrics=metrics + best + measured,
            tags=[RunTag(name, value) for name, value in tags.items()],
        )
        self._end(run.run_id, _STATUS.get(trial.outcome, "FAILED"), trial.finished)

    def _end(self, run_id: str, status: str, finished: float | None = None) -> None:
        self._client.set_terminated(run_id, status, int(1000 * (finished or time.time())))

    def write_summary(self, trials: Sequence[TrialCard]) -> None:
        """The table of all trials, counts by outcome, the best so far with its configuration."""
        from mlflow.entities import RunTag

        counts = count_outcomes(trials)
        tags = {f"mmsa.num_{outcome}": str(count) for outcome, count in counts.items()}
        metrics = []
        for index, name in enumerate(self.study.metrics):
            order = ranked(self.study, trials, index)
            if order:
                metrics.append(metric(f"best/{name}", order[0].values[index], len(trials)))
                tags[f"mmsa.best_trial/{name}"] = str(order[0].number)
                if index == 0:
                    self._client.log_text(self.parent, order[0].config_yaml, "best.yaml")
        self._client.log_text(self.parent, trials_csv(self.study, trials), "trials.csv")
        if len(self.study.metrics) > 1 and (front := front_of(self.study, trials)):
            self._client.log_text(self.parent, front_csv(self.study, front), "front.csv")
            self._client.log_figure(self.parent, front_figure(self.study, trials), "front.png")
        self._client.log_batch(
            self.parent, metrics=metrics, tags=[RunTag(name, value) for name, value in tags.items()]
        )

    def set_status(self, *, running: bool, complete: bool) -> None:
        """The state of the parent run: running, finished with all its trials, or stopped before."""
        if running:
            self._client.update_run(self.parent, "RUNNING")
        else:
            self._end(self.parent, "FINISHED" if complete else "KILLED")


def _trial_run(run: Run) -> _TrialRun:
    """What an earlier launch wrote; a run that it did not end is described and read again."""
    tags = run.data.tags
    ended = run.info.status != "RUNNING" and "mmsa.outcome" in tags
    if not ended:
        return _TrialRun(run.info.run_id, described=False)
    return _TrialRun(run.info.run_id, True, tags["mmsa.outcome"], int(tags["mmsa.epochs"]))


def metric(name: str, value: float, step: int) -> Metric:
    """A point of a curve, as of now."""
    from mlflow.entities import Metric

    return Metric(name, float(value), int(1000 * time.time()), step)
