"""The one order of trials from best to worst, used wherever trials are shown or acted upon."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol, TypeVar

from mmsa.interface import Outcome, ReferencePoint, Stage


class Rankable(Protocol):
    """What ranking reads of a trial; see ``TrialCard``."""

    @property
    def number(self) -> int:
        """Number in the study."""

    @property
    def outcome(self) -> Outcome:
        """How it ended."""

    @property
    def stage(self) -> Stage:
        """The stage of the study it belongs to."""

    @property
    def superseded(self) -> bool:
        """Whether it lies outside the space as it is now."""

    @property
    def violation(self) -> float:
        """Sum of the amounts by which it breaks bounds on metrics; 0 if it is feasible."""

    @property
    def values(self) -> tuple[float, ...]:
        """Values of the objectives, in their order."""


Trial = TypeVar("Trial", bound=Rankable)


def ranked(trials: Iterable[Trial], directions: Sequence[str], objective: int = 0) -> list[Trial]:
    """The completed trials in the space as it is now, best first.

    Finalists come before all trials of the search, whose values are not comparable with theirs. Within a
    stage, trials are ordered by violation (so feasible ones come first), by the given objective, by the other
    objectives in their order, and by number.

    Args:
        trials: of one study.
        directions: ``minimize`` or ``maximize``, one for each objective.
        objective: index of the objective that decides first.
    """
    order = [objective, *(other for other in range(len(directions)) if other != objective)]
    signs = [1.0 if direction == "minimize" else -1.0 for direction in directions]

    def place(trial: Trial) -> tuple[float, ...]:
        losses = (signs[index] * trial.values[index] for index in order)
        return (trial.stage != "finalist", trial.violation, *losses, trial.number)

    return sorted((t for t in trials if t.outcome == "completed" and not t.superseded), key=place)


def front_of(trials: Iterable[Trial], directions: Sequence[str]) -> list[Trial]:
    """The Pareto front of the trials that ``ranked`` returns, best first.

    It is the front of the finalists once there are any, and of the feasible trials if there are any. Without
    a feasible trial, the violation is treated as one more objective, before the others.
    """
    order = ranked(trials, directions)
    of_stage = [trial for trial in order if trial.stage == order[0].stage]
    candidates = [trial for trial in of_stage if not trial.violation] or of_stage
    points = [(trial.violation, *trial.values) for trial in candidates]
    return [candidates[place] for place in pareto_front(points, ["minimize", *directions])]


def pareto_front(points: Sequence[Sequence[float]], directions: Sequence[str]) -> list[int]:
    """Indices of the points that no other dominates, best in the first objective first.

    A point dominates another if it is nowhere worse and somewhere better. Of equal points, all are kept.
    """
    signs = [1.0 if direction == "minimize" else -1.0 for direction in directions]
    losses = [[sign * value for sign, value in zip(signs, point, strict=True)] for point in points]
    front: list[int] = []
    # In lexicographic order no point dominates an earlier one, so comparing with the front so far is enough.
    for place in sorted(range(len(points)), key=lambda place: (losses[place], place)):
        if not any(_dominates(losses[other], losses[place]) for other in front):
            front.append(place)
    return front


def _dominates(one: Sequence[float], other: Sequence[float]) -> bool:
    return one != other and all(a <= b for a, b in zip(one, other, strict=True))


def references_ahead(
    references: Iterable[ReferencePoint], metric: str, direction: str, value: float
) -> list[ReferencePoint]:
    """The reference points with a better value than ``value``, the best first, compared by row or not."""
    sign = 1.0 if direction == "minimize" else -1.0
    found = [
        point
        for point in references
        if point.outcome == "completed"
        and metric in point.metrics
        and sign * point.metrics[metric] < sign * value
    ]
    return sorted(found, key=lambda point: sign * point.metrics[metric])
