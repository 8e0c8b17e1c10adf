"""What a report reads of a study: its trials as tables, with what is missing or not comparable left out.

Shapes: N trials, P axes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from scipy.stats import ttest_ind

from mmsa.config import with_overrides
from mmsa.data.corpus import MODALITIES
from mmsa.interface import VALID, ReferencePoint, Scalar
from mmsa.measurement import ABSENT
from mmsa.ranking import references_ahead
from mmsa.reports.importance import Importance, ImportanceTable
from mmsa.reports.points import TERMS, Axis, Floats, axes_of, table_of
from mmsa.reports.surrogate import FEWEST_POINTS, Forest, Guess, Step, ablation_path
from mmsa.search.definition.levels import searched_coefficients
from mmsa.search.records import STANDARD_ERRORS, TrialRecord
from mmsa.search.study.view import StudyView

SCORED = ("target/", "fusion/", "invariant/", "mimrl/")
"""Families of information that coefficients are held against: numbers that every trial may have."""
_UNUSABLE = (*ABSENT, "disagree", "incoherent")
_NOT_AMONG_THE_BEST = ("pruned", "diverged")
_FEWEST_OF_A_SIDE = 4  # of an ablation
_MOST_TRIALS = 1000  # that a forest is fitted to


@dataclass(frozen=True)
class AblationPath:
    """The way from the defaults to the best trial.

    Attributes:
        start: the point of the defaults.
        end: the point of the best trial.
        first: the guess at the start.
        steps: in order; none if the best trial runs the defaults.
    """

    start: Mapping[str, Scalar]
    end: Mapping[str, Scalar]
    first: Guess
    steps: Sequence[Step]


@dataclass(frozen=True)
class Ablation:
    """A coefficient at exactly 0 against above it, in the completed trials of the search.

    Attributes:
        axis: the coefficient.
        off: results with 0.
        on: results with more.
        low: lower end of the interval of the difference, of 95 % for all ablations together; infinite without
            a test.
        high: upper end.
        told: what the interval says: ``0 is better``, ``above 0 is better`` or ``not told apart``.
    """

    axis: Axis
    off: Floats
    on: Floats
    low: float
    high: float
    told: str


class Evidence:
    """A study as reports read it, at one moment.

    Args:
        study: to report on.
        runs: its folder of runs.

    Attributes:
        study: likewise.
        runs: likewise.
        metric: the first objective.
        sign: 1 where smaller values of it are better, otherwise -1.
        trials: all that have begun, by number.
        completed: of the search, each a point of the space as it is now, best first.
        axes: of the space as it is now.
    """

    def __init__(self, study: StudyView, runs: Path):
        self.study, self.runs = study, runs
        self.metric = study.config.search.objectives[0].metric
        self.sign = 1.0 if study.directions[0] == "minimize" else -1.0
        self.trials = study.trials()
        self.completed = study.completed_points()
        self.best = study.best()
        self.axes = axes_of(study.space_versions[-1].config.space)

    @cached_property
    def others(self) -> list[TrialRecord]:
        """Trials of the search that were not among the best, whatever they would have become."""
        return [
            trial
            for trial in self.trials
            if trial.outcome in _NOT_AMONG_THE_BEST
            and trial.stage == "search"
            and trial.parent is None
            and not trial.superseded
        ]

    @cached_property
    def points(self) -> Floats:
        """(N, P) of the completed trials, then of the others."""
        return table_of(self.axes, [self.study.point(trial) for trial in (*self.completed, *self.others)])

    @cached_property
    def values(self) -> Floats:
        """(N,) the first objective of the completed trials, best first."""
        return np.array([trial.values[0] for trial in self.completed])

    @cached_property
    def quantities(self) -> Mapping[str, Floats]:
        """(N,) measured information of the completed trials by name, in nats; NaN where it has no number."""
        names = dict.fromkeys(
            name for trial in self.completed for name in trial.information if name.startswith(SCORED)
        )
        return {name: np.array([_number(trial, name) for trial in self.completed]) for name in names}

    @cached_property
    def importance(self) -> list[Importance]:
        """Of each axis for the first objective; none with too few trials."""
        # Places, since violations come first in the ranking, and only the order counts. Equal results share
        # one: a trial is not among the best because it began first.
        results = [(trial.violation, *trial.values) for trial in self.completed]
        place = {result: number for number, result in reversed([*enumerate(results)])}
        place_N = np.array([place[result] for result in results], np.float64)
        return self._table.importances(np.append(place_N, np.full(len(self.others), math.inf)))

    @cached_property
    def importance_of_information(self) -> Mapping[str, list[Importance]]:
        """Of each axis for having much of each quantity; those without enough trials are left out."""
        unknown_N = np.full(len(self.others), math.nan)
        found = {
            name: self._table.importances(np.append(-value_N, unknown_N))
            for name, value_N in self.quantities.items()
        }
        return {name: of_axes for name, of_axes in found.items() if of_axes}

    @cached_property
    def _table(self) -> ImportanceTable:
        return ImportanceTable(self.axes, self.points)

    def forest(self, result_N: Floats) -> Forest | None:
        """A surrogate of a result of the completed trials; None with too few of them, or no axis."""
        known = np.flatnonzero(~np.isnan(result_N))
        known = known[:: max(1, math.ceil(len(known) / _MOST_TRIALS))]
        if len(known) < FEWEST_POINTS or not self.axes:
            return None
        return Forest(self.axes, self.points[known], result_N[known])

    def standard_error(self, trial: TrialRecord) -> float | None:
        """Of the first objective of a completed trial; None if its version of mmsa did not measure it."""
        error: float | None = trial.notes.get(STANDARD_ERRORS, {}).get(self.metric)
        return error

    @cached_property
    def tied(self) -> list[TrialRecord]:
        """The completed trials of the best one's stage that are within its standard error, the best first."""
        if self.best is None:
            return []
        error = self.standard_error(self.best) or 0.0
        rivals = self.study.completed(self.best.stage)
        bound = self.sign * self.best.values[0] + error
        return [
            trial
            for trial in rivals
            if self.sign * trial.values[0] <= bound and trial.violation <= self.best.violation
        ]

    @cached_property
    def path(self) -> AblationPath | None:
        """The way from the defaults to the best trial; None with too few trials for a surrogate."""
        if self.best is None or (forest := self.forest(self.values)) is None:
            return None
        study = self.study
        best = self.best if self.best.finalist_of is None else study.trial(self.best.finalist_of)
        config = study.space_versions[-1].config
        start, end = config.complete({}), study.point(best)
        first, steps = ablation_path(
            forest, self.axes, config.space, start, end, study.directions[0], self.silent
        )
        return AblationPath(start, end, first, steps)

    def silent(self, point: Mapping[str, Scalar]) -> tuple[str, ...]:
        """The settings at a point that change nothing: those of terms that are 0, or have no coefficient."""
        objective = with_overrides(self.study.space_versions[-1].config.base, point).objective
        built, found = objective.built(), []
        for name, term in objective.terms.items():
            if name in built:
                continue
            heard = {"weight"}  # what can build the term
            if term.weight:
                coefficients = objective.kind_of(name).coefficients(term, MODALITIES)
                heard |= {coefficient.path.partition(".")[0] for coefficient in coefficients}
            found += [
                f"{TERMS}{name}.{setting}" for setting in type(term).model_fields if setting not in heard
            ]
        return tuple(found)

    @cached_property
    def coefficient_axes(self) -> list[int]:
        """The axes that are coefficients of information, shares of them, or weights of terms."""
        config = self.study.space_versions[-1].config
        found = searched_coefficients(config, getattr(config.base.data, "modalities", MODALITIES))
        paths = {path for c in found for path in (c.path, c.weight_path)}
        paths |= {f"{TERMS}{name}.weight" for name in config.base.objective.terms}
        return [p for p, axis in enumerate(self.axes) if not axis.choices and paths.issuperset(axis.paths)]

    @property
    def metric_name(self) -> str:
        """The first objective without the name of the split."""
        return self.metric.removeprefix(VALID)

    @cached_property
    def ablations(self) -> list[Ablation]:
        """All coefficients that were tried at exactly 0 and above it."""
        sides: list[tuple[Axis, Floats, Floats]] = []
        for p, axis in enumerate(self.axes):
            of_N = self.points[: len(self.values), p]
            off_N, on_N = self.values[of_N == 0], self.values[(of_N != 0) & ~np.isnan(of_N)]
            if axis.has_zero and len(off_N) > 1 and len(on_N) > 1:
                sides.append((axis, off_N, on_N))
        # Of fifteen coefficients without an effect, each with 95 % to itself, one is told in six of ten
        # studies. Two or three trials have little spread by chance.
        tested = [
            axis for axis, *both in sides if all(len(of) >= _FEWEST_OF_A_SIDE and np.ptp(of) for of in both)
        ]
        found = []
        for axis, off_N, on_N in sides:
            low, high = -math.inf, math.inf
            if axis in tested:
                interval = ttest_ind(on_N, off_N, equal_var=False).confidence_interval
                low, high = interval(1.0 - 0.05 / len(tested))
            # The difference as a loss: below 0 if more than 0 is better.
            best, worst = sorted((self.sign * low, self.sign * high))
            told = "above 0 is better" if worst < 0 else "0 is better" if best > 0 else "not told apart"
            found.append(Ablation(axis, off_N, on_N, low, high, told))
        return found

    @property
    def ahead(self) -> list[ReferencePoint]:
        """Reference points with a better value than the best trial's, the best first."""
        if self.best is None:
            return []
        direction, value = self.study.directions[0], self.best.values[0]
        return references_ahead(self.study.references(), self.metric, direction, value)


def _number(trial: TrialRecord, name: str) -> float:
    measured = trial.information.get(name)
    if measured is None or measured.value is None or measured.status in _UNUSABLE:
        return math.nan
    return measured.ceiling if measured.status == "saturated" else measured.value
