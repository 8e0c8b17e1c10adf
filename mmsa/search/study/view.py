"""A study for reading: everything that is known of it and its trials."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, reduce
from operator import or_
from pathlib import Path
from typing import Any, Protocol

import optuna
from optuna.trial import FrozenTrial, TrialState

from mmsa.config import with_overrides
from mmsa.data.rows import Rows
from mmsa.errors import StudyError, did_you_mean, shortened
from mmsa.experiment import RunConfig
from mmsa.interface import VALID, DataNature, Outcome, ReferencePoint, Scalar, Stage
from mmsa.ranking import front_of, ranked
from mmsa.search.definition.study_config import StudyConfig
from mmsa.search.records import Cost, Suggestion, TrialRecord, TrialTarget
from mmsa.search.samplers.priors import Point
from mmsa.search.schedulers import Replacement
from mmsa.search.study.journal import JOURNAL
from mmsa.search.study.storage import open_storage
from mmsa.search.study.stored import (
    FINALIST_OF,
    PARENT,
    REFERENCE,
    cost_of,
    is_proposed,
    outcome_of,
    record_of,
    reference_of,
    stage_of,
    understood,
)
from mmsa.search.study.versions import Version, point_in, refuse_earlier_format, stored_space, versions_in
from mmsa.training.constants import Constant, best_constants


class Source(Protocol):
    """Source of the facts about a study: its storage, or the memory of its driver."""

    @property
    def attributes(self) -> Mapping[str, Any]:
        """What the study remembers of itself."""

    @property
    def trials(self) -> Sequence[FrozenTrial]:
        """Optuna's trials, by number."""


class StudyView:
    """A study as it stands, for reading.

    Attributes:
        config: of its latest launch.
        name: of the study.
    """

    def __init__(self, source: Source, config: StudyConfig):
        self.config = config
        self.name = config.study
        self._source = source

    @property
    def attributes(self) -> Mapping[str, Any]:
        """What the study remembers of itself.

        ``identity``, ``corpus_digest``, ``git_commit``, ``git_dirty``, ``versions``, ``threads``, ``code``
        (of each launch that ran other code), ``space`` (YAML), and what the properties below read.
        """
        return self._source.attributes

    @property
    def seen(self) -> Rows | None:
        """The rows that the study trained or chose on, and those of the studies it learned from.

        None for a study that is older than this record.
        """
        own, of_priors = self.attributes.get("seen"), self.attributes.get("seen_by_priors", ())
        return own and reduce(or_, map(Rows.from_dict, [own, *filter(None, of_priors)]))

    @property
    def tested(self) -> list[str]:
        """A line for each start, and each earlier study it draws from, that had seen test when it entered."""
        return list(self.attributes.get("tested", {}).get("lines", ()))

    @cached_property
    def space_versions(self) -> list[Version]:
        """The versions of the space, the latest last."""
        return versions_in(self.attributes)

    @property
    def asked(self) -> int:
        """How many trials the study shall have, finalists included."""
        finalists = self.config.search.finalists
        begun = sum(stage_of(trial) == "finalist" for trial in self._source.trials)
        if finalists is None:
            return self._searches_asked + begun
        chosen = not self.outstanding("search")
        at_most = finalists.top + finalists.defaults
        expected = begun + len(self.finalists_due()) if chosen else max(begun, at_most)
        return self._searches_asked + expected

    @property
    def retried(self) -> list[int]:
        """The numbers of the failed trials that are to be tried again."""
        return list(self.attributes.get("retried", ()))

    @property
    def replacements(self) -> list[Replacement]:
        """The replacements of trials by others that continue from better weights, in order."""
        return [Replacement(**known) for known in self.attributes.get("replacements", ())]

    @property
    def _target(self) -> TrialTarget:
        return TrialTarget(**self.attributes["target"])

    @property
    def _searches_asked(self) -> int:
        """Trials of the search: those asked for, and one more for each retry and each replacement."""
        trials = self._source.trials
        retried = sum(stage_of(trials[number]) == "search" for number in self.retried)
        return self._target.asked + retried + len(self.replacements)

    def outstanding(self, stage: Stage) -> int:
        """How many trials of a stage have not ended; 0 for finalists that are not chosen yet."""
        of_stage = [trial for trial in self._source.trials if stage_of(trial) == stage]
        asked = self._searches_asked if stage == "search" else len(of_stage) + len(self.finalists_due())
        ended = sum(bool(trial.state.is_finished()) for trial in of_stage)
        return max(0, asked - ended)

    @property
    def finished(self) -> int:
        """How many trials have ended, with whatever outcome."""
        return sum(trial.state.is_finished() for trial in self._source.trials)

    @property
    def remaining(self) -> int:
        """How many of the trials asked for have not ended."""
        return max(0, self.asked - self.finished)

    def counts(self) -> dict[Outcome, int]:
        """Trials that have begun, by outcome."""
        return dict(Counter(map(outcome_of, self._source.trials)))

    def cost(self) -> Cost:
        """Cost of all trials so far."""
        return sum((cost_of(trial) for trial in self._source.trials), Cost())

    def trials(self) -> list[TrialRecord]:
        """Every trial that has begun, by number."""
        return [self._record(trial) for trial in self._source.trials]

    def trial(self, number: int) -> TrialRecord:
        """A trial that has begun, by its number."""
        return self._record(self._source.trials[number])

    def completed(self, stage: Stage) -> list[TrialRecord]:
        """The completed trials of a stage that lie in the space as it is now, best first."""
        trials = self._source.trials
        completed = (t for t in trials if t.state == TrialState.COMPLETE and stage_of(t) == stage)
        return self.ranked(map(self._record, completed))

    def completed_points(self) -> list[TrialRecord]:
        """Completed trials of the search, best first, that did not continue from another trial's weights."""
        return [trial for trial in self.completed("search") if trial.parent is None]

    def best(self) -> TrialRecord | None:
        """The best completed trial in the space as it is now, which is a finalist if there is one."""
        return next(iter([*self.completed("finalist"), *self.completed("search")]), None)

    @property
    def stopped(self) -> str:
        """Why ``search.stop`` ended the search; empty if it did not."""
        return self._target.stopped

    def finalists_due(self) -> list[int]:
        """The searched trials that still have to begin as finalists, best first."""
        finalists = self.config.search.finalists
        if finalists is None or self.outstanding("search"):
            return []
        begun = {
            trial.user_attrs[FINALIST_OF]
            for trial in self._source.trials
            if stage_of(trial) == "finalist"
            and not self._superseded(trial)
            and trial.number not in self.retried
        }
        ranked = self.completed_points()
        chosen = [trial.number for trial in ranked[: finalists.top]]
        if finalists.defaults and (defaults := self.defaults()):
            others = [trial.number for trial in ranked[finalists.top :]]
            chosen += [defaults.number] if defaults.number in others else []
        return [number for number in chosen if number not in begun]

    def defaults(self) -> TrialRecord | None:
        """The trial that runs the base as it is now; a completed one if there are several."""
        point = self.config.complete({})
        candidates = (t for t in self._source.trials if is_proposed(t) and not self._superseded(t))
        found = [record for record in map(self._record, candidates) if self.point(record) == point]
        return min(found, key=lambda record: record.outcome != "completed", default=None)

    @property
    def directions(self) -> list[str]:
        """``minimize`` or ``maximize``, one for each objective."""
        return [objective.direction for objective in self.config.search.objectives]

    def ranked(self, trials: Iterable[TrialRecord]) -> list[TrialRecord]:
        """Those of the trials that have a rank, best first; see ``mmsa.ranking``."""
        return ranked(trials, self.directions)

    def broken(self, completed: TrialRecord) -> str:
        """Say which bounds on metrics, as they are now, a completed trial breaks; empty if it is feasible."""
        return self.config.broken_bounds(completed.metrics)

    def front(self) -> list[TrialRecord]:
        """The Pareto front, best in the first objective first.

        It is that of the finalists once there are any. Trials that break a bound are on it only if all do.
        """
        trials = (trial for trial in self._source.trials if trial.state == TrialState.COMPLETE)
        return front_of(map(self._record, trials), self.directions)

    def references(self) -> list[ReferencePoint]:
        """Its reference points so far, as ``search.references`` wants them: ridges first.

        What earlier launches measured stays known when the setting asks for less, and is not shown then.
        """
        wanted = self.config.search.references
        if wanted in ("none", "constant"):
            return []
        stored = [value for name, value in self.attributes.items() if name.startswith(REFERENCE) and value]
        points = sorted(map(reference_of, stored), key=lambda point: point.trained)
        return [point for point in points if wanted == "all" or not point.trained]

    def constant(self, metric: str) -> Constant | None:
        """The best constant predictor by a metric of valid; None if none is known, or none is wanted."""
        return self.constants().get(metric.removeprefix(VALID))

    def constants(self) -> Mapping[str, Constant]:
        """The best constant predictor by each metric of valid, without its prefix; empty likewise."""
        if self.config.search.references == "none":
            return {}
        return best_constants(self.attributes.get("constants", {}))

    @property
    def nature(self) -> DataNature:
        """Of the data; of a study that does not know it, what most data are."""
        known = self.attributes.get("nature")
        return DataNature() if known is None else DataNature(**known)

    @property
    def priors(self) -> Mapping[str, list[Point]]:
        """The best points of earlier studies, by study, as they were when this study named them."""
        points: Mapping[str, list[Point]] = self.attributes.get("priors", {})
        return points

    def point(self, trial: TrialRecord) -> Mapping[str, Scalar]:
        """The point of the space as it is now that stands for a trial which lies in it."""
        latest = self.space_versions[-1]
        if trial.version == latest.number:
            return trial.overrides
        point = point_in(latest.config, self.space_versions[trial.version - 1].config, trial.overrides)
        assert point is not None
        return point

    def divided(self, trial: Suggestion | TrialRecord) -> dict[str, Scalar]:
        """The totals that a trial's point divides, and the shares of them, by name."""
        space = self.space_versions[trial.version - 1].config.space
        entries: dict[str, Scalar] = {}
        for name, division in space.divisions(trial.overrides).items():
            entries |= division.entries(name)
        return entries

    def trial_config(self, trial: Suggestion | TrialRecord) -> RunConfig:
        """The complete configuration of a trial: what it runs, what export writes, what retrain repeats.

        Threads are always pinned to the number that the study began with.
        """
        base = self.space_versions[trial.version - 1].config.base
        pinned: dict[str, Any] = {"train.threads": self.attributes["threads"]}
        if trial.course:
            pinned["course"] = list(trial.course)
        return with_overrides(base, {**pinned, **trial.overrides})

    def _superseded(self, trial: FrozenTrial) -> bool:
        """Whether a trial lies outside the space as it is now.

        A finalist does if its searched trial does, or if other settings are changed for finalists now. A
        trial that continued from another trial's weights does if that one does.
        """
        latest = self.space_versions[-1]
        if PARENT in trial.user_attrs:
            return self._superseded(self._source.trials[trial.user_attrs[PARENT]])
        if stage_of(trial) == "finalist":
            finalists = self.config.search.finalists
            kept = finalists is not None and dict(finalists.set) == trial.user_attrs["set"]
            return not kept or self._superseded(self._source.trials[trial.user_attrs[FINALIST_OF]])
        return trial.user_attrs["version"] != latest.number and trial.number not in latest.carried

    def _record(self, trial: FrozenTrial) -> TrialRecord:
        record = record_of(trial, self._superseded(trial))
        if record.outcome != "completed" or not self.config.metric_bounds:
            return record
        return replace(record, violation=self.config.violation(record.metrics))


@dataclass(frozen=True)
class _Stored:
    """A study in its storage, read anew on every access."""

    study: optuna.Study

    @property
    def attributes(self) -> dict[str, Any]:
        attributes: dict[str, Any] = self.study.user_attrs
        return attributes

    @property
    def trials(self) -> list[FrozenTrial]:
        trials: list[FrozenTrial] = self.study.get_trials(deepcopy=False)
        return trials


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # a name that is too long, say
        return False


def read_study(name: str, runs: Path, storage: str | None = None) -> StudyView:
    """Open a study for reading, even while a driver searches it.

    Raises:
        StudyError: if there is no study of that name, or it cannot be read.
    """
    folder = runs / name
    if storage is None and not _exists(folder / JOURNAL):
        if not _exists(runs / "."):
            raise StudyError(f"there is no folder {runs}; give the --runs of the search")
        studies = [path.parent.name for path in runs.glob(f"*/{JOURNAL}")]
        raise StudyError(f"no study {shortened(name)!r} in {runs}. {did_you_mean(name, studies)}")
    try:
        study = _Stored(optuna.load_study(study_name=name, storage=open_storage(folder, storage)))
    except KeyError:
        raise StudyError(f"no study {name!r} in this storage") from None
    if "space" not in study.attributes:
        raise StudyError(f"study {name!r} has not begun; run launch/search.py first")
    refuse_earlier_format(name, study.attributes)
    with understood(name):
        view = StudyView(study, stored_space(study.attributes["space"], f"study {name}"))
        # Read all once, so that damage shows here and not later.
        view.trials(), view.asked, view.best(), view.references()
    return view
