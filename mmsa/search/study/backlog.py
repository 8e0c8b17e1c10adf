"""What a driver does before it asks the sampler: trials that a dead one left, then starts, then retries."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from mmsa.search.definition.search_config import DEFAULTS
from mmsa.search.records import TrialRecord
from mmsa.search.space.scalars import Scalar
from mmsa.search.study.stored import PARENT
from mmsa.search.study.view import StudyView
from mmsa.tracking import Stage


@dataclass(frozen=True)
class Due:
    """A trial to be begun: its point, or None for the sampler's; what the study remembers it for."""

    point: Mapping[str, Scalar] | None = None
    attributes: Mapping[str, Any] = field(default_factory=dict)


class Backlog:
    """What there is to be done when a driver opens a study.

    Args:
        study: as it was left, without running trials that do not lie in the space as it is now.
        starts: the points to begin with; the first one is the base.
    """

    def __init__(self, study: StudyView, starts: Iterable[Mapping[str, Scalar]]):
        trials = study.trials()
        self._orphans = {trial.number: trial.stage for trial in trials if trial.outcome == "running"}
        self._due = deque([*_starts(study, trials, starts), *_retries(study, trials)])

    def orphan(self, stage: Stage) -> int | None:
        """The number of a trial of that stage which was left running; each is handed out once."""
        for number, stage_of_it in self._orphans.items():
            if stage_of_it == stage:
                self.adopt(number)
                return number
        return None

    def leave(self, number: int, stage: Stage = "search") -> None:
        """A trial has begun that is to be handed out as if it was left running."""
        self._orphans[number] = stage

    def adopt(self, number: int) -> None:
        """That trial is seen to; it is not handed out if it was left running."""
        self._orphans.pop(number, None)

    def due(self) -> Due:
        """The next trial to be begun."""
        return self._due.popleft() if self._due else Due()

    def retry(self, study: StudyView, failed: Iterable[TrialRecord]) -> None:
        """Try failed trials of the search again; finalists are found by their searched trials."""
        self._due.extend(_retry(study, trial) for trial in failed if trial.stage == "search")


def _starts(
    study: StudyView, trials: Iterable[TrialRecord], starts: Iterable[Mapping[str, Scalar]]
) -> Iterator[Due]:
    tried = [study.point(trial) for trial in trials if trial.start and not trial.superseded]
    for position, point in enumerate(starts):
        if point not in tried:
            yield Due(point, {"start": DEFAULTS if position == 0 else f"start {position}"})


def _retries(study: StudyView, trials: Iterable[TrialRecord]) -> Iterator[Due]:
    begun = {trial.retry_of for trial in trials}
    for number in study.retried:
        trial = study.trial(number)
        if number not in begun and not trial.superseded and trial.stage == "search":
            yield _retry(study, trial)


def _retry(study: StudyView, trial: TrialRecord) -> Due:
    on_its_way = {} if trial.parent is None else {PARENT: trial.parent, "course": list(trial.course)}
    return Due(study.point(trial), {"retry_of": trial.number, **on_its_way})
