"""A study in MLflow: a parent run and a child run per trial, which are found again by their tags."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from mmsa.interface import ReferencePoint, StudyCard, TrialCard, signed
from mmsa.masking import masked_message
from mmsa.ranking import front_of, ranked
from mmsa.tracking.abandoned import end_abandoned
from mmsa.tracking.artifacts import (
    count_outcomes,
    epochs_csv,
    front_csv,
    front_figure,
    log_information,
    references_csv,
    trials_csv,
)
from mmsa.tracking.inputs import log_splits
from mmsa.tracking.location import Location, all_pages
from mmsa.tracking.names import chosen_curves, of_best, of_epoch, of_information
from mmsa.tracking.notes import changed_note, experiment_note, study_note, verdict, write_experiment_note
from mmsa.tracking.views import save, study_views, trials_page

if TYPE_CHECKING:
    from mlflow.entities import Metric, Param, Run

_PARENT = "mlflow.parentRunId"
_REFERENCE = "reference"
_TAG_LENGTH = 1000
_STATUS = {"completed": "FINISHED", "pruned": "FINISHED"}
"""MLflow marks other states with a red cross. What became of a trial is in the tag ``mmsa.outcome``."""
_PARAMS_IN_A_REQUEST = 100
_LONGEST_PARAM = 6000  # characters
_STUDIES_IN_NOTE = 20


@dataclass
class _TrialRun:
    """What MLflow is known to hold of a trial.

    Attributes:
        run_id: of its run.
        described: whether its configuration was logged.
        ended: the tags written at its end; empty while it runs.
        num_epochs: number of logged epochs, if the trial has ended.
        epochs: the logged epochs; None if they have not been read yet.
    """

    run_id: str
    described: bool
    ended: Mapping[str, str] = field(default_factory=dict)
    num_epochs: int = 0
    epochs: set[int] | None = None


class StudyRuns:
    """Writer of trials into MLflow. Every write is idempotent: what is there already is left alone.

    If a trial has several runs, as after somebody restored a deleted one, the most complete one is kept.

    Args:
        location: the store.
        study: to write.

    Attributes:
        study: as given.
        parent: id of the study's own run.
        pages: addresses of what to look at, by name; the first one is the answer.
        notices: what could not be written though everything else is, for the user.

    Raises:
        Exception: from every method, whatever MLflow raises; callers decide what it means.
    """

    def __init__(self, location: Location, study: StudyCard):
        self.study = study
        self._client = location.connect()
        self._filter = f"tags.`mmsa.identity` = '{study.identity}'"
        self._experiment = location.experiment(self._client, study.data_set, self._filter)
        self._tags = {"mmsa.study": study.name, "mmsa.identity": study.identity}
        self._tags |= {f"mmsa.{name}": value for name, value in study.tags.items()}
        self._references: dict[str, str] = {}
        runs = self._existing()
        parent = runs.pop(None, None)
        self.parent = parent.info.run_id if parent else self._create(study.name, {"mmsa.role": "study"})
        self.notices: list[str] = []
        self.pages = self._write_views(location)
        self._location = location
        self._counted = 0
        self._describe_study(parent.data.params if parent else {})
        for run in runs.values():  # a parent that was deleted left them alone
            if run.data.tags.get(_PARENT) != self.parent:
                self._client.set_tag(run.info.run_id, _PARENT, self.parent)
        self._trials = {number: _trial_run(run) for number, run in runs.items() if number is not None}
        self._client.log_text(self.parent, study.space_yaml, "space.yaml")

    def _write_views(self, location: Location) -> dict[str, str]:
        """Write the views of the study; returns the addresses of its pages.

        A view is written in a form that MLflow does not promise to keep: if it is refused, only the view is
        lost, and the page that opens is MLflow's own.
        """
        pages: dict[str, str] = {}
        try:
            for view in study_views(self.study):
                save(self._client, self._experiment, view)
                pages[view.title] = view.address(location.origin, self._experiment)
        except Exception as error:
            said = masked_message(error, location.uri).splitlines()[0][:200]
            self.notices.append(f"MLflow shows this study without a view of its own ({said})")
        pages["the study"] = location.run_page(self._experiment, self.parent)
        pages["report"] = location.run_page(self._experiment, f"{self.parent}/artifacts/report.html")
        return pages

    def _describe_study(self, known: Mapping[str, str]) -> None:
        """Log what all trials have in common: the data, and the settings that are not searched.

        A parameter cannot be changed in MLflow, so after an edit of the base it stays as the study began.
        """
        from mlflow.entities import Param

        log_splits(self._client, self.parent, self.study.data_set, self.study.splits)
        lacking = [
            Param(name, str(value)[:_LONGEST_PARAM])
            for name, value in self.study.fixed.items()
            if name not in known
        ]
        for start in range(0, len(lacking), _PARAMS_IN_A_REQUEST):
            self._client.log_batch(self.parent, params=lacking[start : start + _PARAMS_IN_A_REQUEST])

    def _existing(self) -> dict[int | None, Run]:
        """Runs by the number of their trial; the parent run is under None."""
        found: dict[int | None, Run] = {}
        for run in self._search():
            tags = run.data.tags
            if tags["mmsa.role"] == _REFERENCE:
                self._references[tags["mmsa.reference"]] = run.info.run_id
                continue
            number = int(tags["mmsa.trial"]) if tags["mmsa.role"] == "trial" else None
            kept = found.setdefault(number, run)
            if kept is not run:
                one, other = sorted((kept, run), key=_completeness, reverse=True)
                found[number] = one
                self._client.delete_run(other.info.run_id)
        return found

    def _search(self) -> list[Run]:
        """All runs of the study, oldest first."""
        oldest_first = ["attributes.start_time ASC"]
        runs = all_pages(self._client.search_runs, [self._experiment], self._filter, order_by=oldest_first)
        return [run for run in runs if run.data.tags.get("mmsa.role") in ("trial", "study", _REFERENCE)]

    def _create(self, name: str, tags: dict[str, str], started: float | None = None) -> str:
        milliseconds = int(1000 * (started or time.time()))
        run = self._client.create_run(self._experiment, milliseconds, self._tags | tags, name)
        return str(run.info.run_id)

    def write_trial(self, trial: TrialCard) -> bool:
        """Update the run of a trial; returns whether anything had to be written."""
        run = self._trials.get(trial.number)
        if run is None:
            tags = {
                "mmsa.role": "trial",
                "mmsa.trial": str(trial.number),
                "mmsa.stage": trial.stage,
                _PARENT: self.parent,
            }
            run_id = self._create(f"trial {trial.number}", tags, trial.started)
            run = self._trials[trial.number] = _TrialRun(run_id, described=False, epochs=set())
        said = _said_at_the_end(trial)
        # Most trials of a study that continues are complete in MLflow: no request is made for them.
        if said and run.ended.items() >= said.items() and run.num_epochs >= len(trial.epochs):
            return False
        params = self._describe(run, trial)
        metrics = self._missing_metrics(run, trial)
        if said:
            self._finish(run, trial, params, metrics)
        elif params or metrics:
            self._client.log_batch(run.run_id, params=params, metrics=metrics)
        run.described = True
        assert run.epochs is not None
        run.epochs |= set(trial.epochs)
        run.num_epochs = len(run.epochs)
        run.ended = said
        return True

    def _describe(self, run: _TrialRun, trial: TrialCard) -> list[Param]:
        """Log the configuration if MLflow lacks it; returns the parameters that remain to be logged."""
        from mlflow.entities import Param

        if run.described:
            return []
        self._client.log_text(run.run_id, trial.config_yaml, "config.yaml")
        return [Param(name, str(value)) for name, value in trial.params.items()]

    def _missing_metrics(self, run: _TrialRun, trial: TrialCard) -> list[Metric]:
        chosen = chosen_curves(trial.epochs, self.study.metrics)
        if run.epochs is None:
            logged = (self._client.get_metric_history(run.run_id, name) for name in chosen[:1])
            run.epochs = {metric.step for history in logged for metric in history}
        return [
            metric(name, value, epoch)
            for epoch in sorted(set(trial.epochs) - run.epochs)
            for name, value in of_epoch(trial.epochs[epoch], chosen).items()
        ]

    def _finish(self, run: _TrialRun, trial: TrialCard, params: list[Param], metrics: list[Metric]) -> None:
        from mlflow.entities import RunTag

        num_epochs = len((run.epochs or set()) | set(trial.epochs))
        tags = {**_said_at_the_end(trial), "mmsa.epochs": str(num_epochs)}
        log_information(self._client, run.run_id, trial.information)
        if trial.epochs:
            self._client.log_text(run.run_id, epochs_csv(trial.epochs), "epochs.csv")
        # In this order: the value by which a trial counts is the one that its study remembers.
        last = of_information(trial.information) | of_best(trial.best(self.study.metrics))
        measured = [metric(name, value, num_epochs) for name, value in last.items()]
        # One request, with the tags that say the trial has ended: a run has all of its numbers, or is written
        # again by the next launch.
        self._client.log_batch(
            run.run_id,
            params=params,
            metrics=metrics + measured,
            tags=[RunTag(name, value) for name, value in tags.items()],
        )
        self._end(run.run_id, _STATUS.get(trial.outcome, "FAILED"), trial.finished)

    def _end(self, run_id: str, status: str, finished: float | None = None) -> None:
        self._client.set_terminated(run_id, status, int(1000 * (finished or time.time())))

    def write_summary(self, trials: Sequence[TrialCard]) -> None:
        """Write the table of all trials, counts by outcome, and the best trial with its configuration."""
        from mlflow.entities import RunTag

        tags = {f"mmsa.num_{outcome}": str(count) for outcome, count in count_outcomes(trials).items()}
        measured: dict[str, float] = {}
        for index, name in reversed(list(enumerate(self.study.metrics))):
            best = next(iter(ranked(trials, self.study.directions, index)), None)
            tags[f"mmsa.best_trial/{name}"] = "" if best is None else str(best.number)
            tags[f"mmsa.best_trial_breaks/{name}"] = _broken(best)
            if best is not None:
                measured[name] = best.values[index]
            if best is not None and index == 0:
                measured = {**best.best(self.study.metrics), **measured}
                self._client.log_text(self.parent, best.config_yaml, "best.yaml")
        metrics = [metric(name, value, len(trials)) for name, value in of_best(measured).items()]
        tags["mmsa.verdict"] = verdict(self.study, trials).replace("*", "")
        note = study_note(self.study, trials, self.pages)
        tags |= changed_note(self._client.get_run(self.parent).data.tags, note)
        self._client.log_text(self.parent, trials_csv(self.study, trials), "trials.csv")
        if len(self.study.metrics) > 1 and (front := front_of(trials, self.study.directions)):
            self._client.log_text(self.parent, front_csv(self.study, front), "front.csv")
            self._client.log_figure(self.parent, front_figure(self.study, trials), "front.png")
        self._client.log_batch(
            self.parent, metrics=metrics, tags=[RunTag(name, value) for name, value in tags.items()]
        )
        if len(trials) >= 2 * self._counted:
            self._location.take_stock()
            self._counted = len(trials)

    def write_references(self, references: Sequence[ReferencePoint]) -> None:
        """Write reference points: a run and metrics of the parent for each, and a table of all.

        Their runs have a role of their own, so that no table or chart of trials has them.
        """
        from mlflow.entities import RunTag

        for point in references:
            run_id = self._references.get(point.name)
            if run_id is None:
                tags = {"mmsa.role": _REFERENCE, "mmsa.reference": point.name, _PARENT: self.parent}
                run_id = self._references[point.name] = self._create(f"reference {point.name}", tags)
            if point.trained:
                self._client.log_text(run_id, point.basis, "config.yaml")
            # The parent of an earlier launch may have been deleted.
            said = {_PARENT: self.parent, "mmsa.outcome": point.outcome}
            said["mmsa.reason"] = point.reason[:_TAG_LENGTH]
            first = self.study.metrics[0]
            if (gain := point.gains.get(first)) is not None:
                said["mmsa.gain"] = f"{signed(gain.value)} [{signed(gain.low)}, {signed(gain.high)}]"
            known = {name: point.metrics[name] for name in self.study.metrics if name in point.metrics}
            measured = of_best({**known, **point.metrics})
            self._client.log_batch(
                run_id,
                metrics=[metric(name, value, 0) for name, value in measured.items()],
                tags=[RunTag(name, value) for name, value in said.items()],
            )
            self._end(run_id, _STATUS.get(point.outcome, "FAILED"))
        if references:
            self.study = replace(self.study, references=tuple(references))
            self._client.log_text(self.parent, references_csv(references), "references.csv")

    def set_status(self, *, running: bool, complete: bool) -> None:
        """Set the state of the parent run: running, finished with all trials, or stopped before."""
        if running:
            self._client.update_run(self.parent, "RUNNING")
        else:
            self._end(self.parent, "FINISHED" if complete else "KILLED")
        self._write_experiment_note()

    def end_abandoned(self) -> None:
        """Say of retrainings of the same data whose process is gone that they have ended."""
        end_abandoned(self._client, self._experiment)

    def _write_experiment_note(self) -> None:
        latest_first = ["attributes.start_time DESC"]
        parents = self._client.search_runs(
            [self._experiment], "tags.`mmsa.role` = 'study'", 1, _STUDIES_IN_NOTE, latest_first
        )
        studies: dict[str, tuple[str, str]] = {}
        for tags in (run.data.tags for run in parents):
            page = trials_page(self._location.origin, self._experiment, tags["mmsa.identity"])
            studies.setdefault(tags["mmsa.study"], (page, tags.get("mmsa.verdict", "nothing yet")))
        text = experiment_note(self.study.data_set, studies)
        write_experiment_note(self._client, self._experiment, text)


def _said_at_the_end(trial: TrialCard) -> dict[str, str]:
    """Tags of a trial that has ended; none while it runs."""
    if trial.outcome == "running":
        return {}
    return {
        "mmsa.outcome": trial.outcome,
        "mmsa.reason": trial.reason[:_TAG_LENGTH],
        "mmsa.best_epoch": "" if trial.best_epoch is None else str(trial.best_epoch),
        "mmsa.feasible": str(not trial.violation) if trial.outcome == "completed" else "",
        "mmsa.superseded": str(trial.superseded),
    }


def _broken(best: TrialCard | None) -> str:
    return best.reason[:_TAG_LENGTH] if best is not None and best.violation else ""


def _trial_run(run: Run) -> _TrialRun:
    """What an earlier launch wrote; a run that it did not end is described again, its epochs read."""
    if not _has_ended(run):
        return _TrialRun(run.info.run_id, described=False)
    return _TrialRun(run.info.run_id, True, run.data.tags, int(run.data.tags["mmsa.epochs"]))


def _has_ended(run: Run) -> bool:
    return run.info.status != "RUNNING" and "mmsa.outcome" in run.data.tags


def _completeness(run: Run) -> tuple[bool, int]:
    """Sort key: larger for the run that holds more of the same trial."""
    return _has_ended(run), int(run.data.tags.get("mmsa.epochs", 0))


def metric(name: str, value: float, step: int) -> Metric:
    """A point of a metric's curve, with the present time."""
    from mlflow.entities import Metric

    return Metric(name, float(value), int(1000 * time.time()), step)
