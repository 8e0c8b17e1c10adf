"""The trials that a driver runs before it asks the sampler: interrupted ones, then starts, then retries."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from mmsa.interface import Scalar, Stage
from mmsa.search.definition.search_config import DEFAULTS
from mmsa.search.records import TrialRecord
from mmsa.search.study.stored import PARENT
from mmsa.search.study.view import StudyView


@dataclass(frozen=True)
class PendingTrial:
    """A trial that has not begun.

    Attributes:
        point: of the space; None leaves it to the sampler.
        attributes: what the study remembers the trial with.
    """

    point: Mapping[str, Scalar] | None = None
    attributes: Mapping[str, Any] = field(default_factory=dict)


class Backlog:
    """The work that a driver finds when it opens a study.

    Args:
        study: as it was left, without running trials that lie outside the space as it is now.
        starts: the points to begin with; the first one is the base.
    """

    def __init__(self, study: StudyView, starts: Iterable[Mapping[str, Scalar]]):
        trials = study.trials()
        self._interrupted = {trial.number: trial.stage for trial in trials if trial.outcome == "running"}
        self._pending = deque([*_starts(study, trials, starts), *_retries(study, trials)])

    def next_interrupted(self, stage: Stage) -> int | None:
        """The number of an interrupted trial of ``stage``, each returned once; None if there is no other."""
        for number, stage_of_it in self._interrupted.items():
            if stage_of_it == stage:
                self.adopt(number)
                return number
        return None

    def requeue(self, number: int, stage: Stage = "search") -> None:
        """Return a trial that has begun from ``next_interrupted`` again."""
        self._interrupted[number] = stage

    def adopt(self, number: int) -> None:
        """Take an interrupted trial off the list: somebody else sees to it."""
        self._interrupted.pop(number, None)

    def next_pending(self) -> PendingTrial:
        """The next trial to begin; its point is left to the sampler if no start or retry is left."""
        return self._pending.popleft() if self._pending else PendingTrial()

    def retry(self, study: StudyView, failed: Iterable[TrialRecord]) -> None:
        """Try failed trials of the search again. Finalists are not listed: they are chosen by their searched
        trials, again and again until one has run.
        """
        self._pending.extend(_retry(study, trial) for trial in failed if trial.stage == "search")


def _starts(
    study: StudyView, trials: Iterable[TrialRecord], starts: Iterable[Mapping[str, Scalar]]
) -> Iterator[PendingTrial]:
    tried = [study.point(trial) for trial in trials if trial.start and not trial.superseded]
    for position, point in enumerate(starts):
        if point not in tried:
            yield PendingTrial(point, {"start": DEFAULTS if position == 0 else f"start {position}"})


def _retries(study: StudyView, trials: Iterable[TrialRecord]) -> Iterator[PendingTrial]:
    begun = {trial.retry_of for trial in trials}
    for number in study.retried:
        trial = study.trial(number)
        if number not in begun and not trial.superseded and trial.stage == "search":
            yield _retry(study, trial)


def _retry(study: StudyView, trial: TrialRecord) -> PendingTrial:
    on_its_way = {} if trial.parent is None else {PARENT: trial.parent, "course": list(trial.course)}
    return PendingTrial(study.point(trial), {"retry_of": trial.number, **on_its_way})
