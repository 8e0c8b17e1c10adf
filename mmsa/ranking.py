"""Which trial is better: the one order of a study, wherever it is shown or acted upon."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol, TypeVar

from mmsa.interface import Outcome, Stage


class Rankable(Protocol):
    """A trial, as far as its rank goes; the attributes are those of ``TrialCard``."""

    @property
    def number(self) -> int:
        """In the study."""

    @property
    def outcome(self) -> Outcome:
        """How it ended."""

    @property
    def stage(self) -> Stage:
        """Which part of the study it belongs to."""

    @property
    def superseded(self) -> bool:
        """Whether it does not lie in the space as it is now."""

    @property
    def violation(self) -> float:
        """By how much it breaks the bounds on metrics as they are now, summed; 0 for a feasible one."""

    @property
    def values(self) -> tuple[float, ...]:
        """Of the objectives in order."""


Trial = TypeVar("Trial", bound=Rankable)


def ranked(trials: Iterable[Trial], directions: Sequence[str], objective: int = 0) -> list[Trial]:
    """The completed trials that lie in the space as it is now, best first.

    A finalist comes before every trial of the search, whose values are of another task; then the one that
    breaks its bounds by less, so that a feasible one comes before all others; then the better one by the
    given objective, then by the others in their order; then the earlier one.

    Args:
        directions: ``minimize`` or ``maximize``, one for each objective.
        objective: which one decides first.
    """
    order = [objective, *(other for other in range(len(directions)) if other != objective)]
    signs = [1.0 if direction == "minimize" else -1.0 for direction in directions]

    def place(trial: Trial) -> tuple[float, ...]:
        losses = (signs[index] * trial.values[index] for index in order)
        return (trial.stage != "finalist", trial.violation, *losses, trial.number)

    return sorted((t for t in trials if t.outcome == "completed" and not t.superseded), key=place)


def front_of(trials: Iterable[Trial], directions: Sequence[str]) -> list[Trial]:
    """Of the trials that ``ranked`` knows those that no other beats in everything, the best one first.

    Of the finalists once there is one. Where all of them break bounds, to break them by less is one objective
    more, and the first.
    """
    order = ranked(trials, directions)
    of_stage = [trial for trial in order if trial.stage == order[0].stage]
    candidates = [trial for trial in of_stage if not trial.violation] or of_stage
    points = [(trial.violation, *trial.values) for trial in candidates]
    return [candidates[place] for place in pareto_front(points, ["minimize", *directions])]


def pareto_front(points: Sequence[Sequence[float]], directions: Sequence[str]) -> list[int]:
    """The places of the points that no other dominates, best in the first objective first.

    A point dominates another when it is nowhere worse and somewhere better.
    """
    signs = [1.0 if direction == "minimize" else -1.0 for direction in directions]
    losses = [[sign * value for sign, value in zip(signs, point, strict=True)] for point in points]
    front: list[int] = []
    # One that comes later in this order dominates none before it, so the front decides alone.
    for place in sorted(range(len(points)), key=lambda place: (losses[place], place)):
        if not any(_dominates(losses[other], losses[place]) for other in front):
            front.append(place)
    return front


def _dominates(one: Sequence[float], other: Sequence[float]) -> bool:
    return one != other and all(a <= b for a, b in zip(one, other, strict=True))
