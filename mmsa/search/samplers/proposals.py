"""What the sampler sees of a study: an Optuna study in memory, of the trials that lie in the space as it is.

The durable study may hold trials of earlier versions of the space, whose distributions Optuna cannot mix, and
more trials than a model needs. So the sampler has a study of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler
from optuna.storages import InMemoryStorage
from optuna.trial import FrozenTrial, TrialState

from mmsa.interface import Scalar
from mmsa.search.samplers.base import total_violation
from mmsa.search.space.space import Space

_BEST = 50  # that break bounds the least, then by the first objective, then by the others


CONSTRAINT = "constraints:"
"""Prefix of the notes by which Optuna's samplers know how far a trial breaks a bound on a metric.

It is what ``optuna.Trial.set_constraint`` writes.
"""


@dataclass(frozen=True)
class Proposal:
    """A point of the space that a trial is to run.

    Attributes:
        overrides: the point as configurations have it, by dotted path.
        params: the same as Optuna's parameters.
        distributions: of those parameters.
        notes: what the sampler wrote down with it, for its own later use.
    """

    overrides: dict[str, Scalar]
    params: dict[str, Any]
    distributions: dict[str, BaseDistribution]
    notes: dict[str, Any]


@dataclass(frozen=True)
class PastTrial:
    """What the sampler is told of a trial that it did not propose in this launch.

    Attributes:
        number: in the study.
        params: the point as Optuna's parameters.
        state: how the trial ended, or that it runs.
        values: one for each objective; None unless it completed.
        reported: the first objective by epoch, by which pruned trials are ranked.
        notes: as in ``Proposal``.
    """

    number: int
    params: Mapping[str, Any]
    state: TrialState
    values: Sequence[float] | None
    reported: Mapping[int, float]
    notes: Mapping[str, Any]


class Proposals:
    """Asks the sampler for points, and tells it how they did.

    Args:
        space: the space as it is now.
        directions: of the objectives.
        build: builds the sampler for a study of so many trials.
        memory: how many trials it is shown at most, the best and the latest, within a factor of two.
        notes: what the sampler wrote down of the study in earlier launches.
        past: the study's trials that lie in the space, in their order.
    """

    def __init__(
        self,
        space: Space,
        directions: Sequence[str],
        build: Callable[[int], BaseSampler],
        memory: int | None,
        notes: Mapping[str, Any],
        past: Iterable[PastTrial],
    ):
        self._space, self._directions, self._build, self._memory = space, directions, build, memory
        self._paused: set[int] = set()
        distributions = space.distributions()
        self._fill(notes, [(trial.number, _frozen(trial, distributions)) for trial in past])

    @property
    def notes(self) -> dict[str, Any]:
        """What the sampler wrote down of the study."""
        notes: dict[str, Any] = self._storage.get_study_system_attrs(self._study_id)
        return notes

    def ask(self, number: int, point: Mapping[str, Scalar] | None = None) -> Proposal:
        """Return the point of the study's trial ``number``: the one given, or else the sampler's."""
        if point is not None:
            self._study.enqueue_trial(self._space.encode(point))
        trial = self._study.ask()
        overrides = self._space.suggest(trial)
        if point is not None:
            # A ratio that was written down may lie between those of parameters: it is run as written.
            shared = {path for _, members in self._space.groups.values() for path in members}
            overrides |= {path: value for path, value in point.items() if path in shared}
        self._numbers[trial.number] = number
        self._places[number] = trial.number
        known = self._storage.get_trial(self._id(trial.number))
        return Proposal(overrides, dict(known.params), dict(known.distributions), dict(known.system_attrs))

    def pause(self, number: int, reported: Mapping[int, float]) -> None:
        """Show a trial that waits at a rung as pruned there, until ``tell`` says how it ended."""
        self.tell(number, TrialState.PRUNED, None, reported)
        self._paused.add(number)

    def tell(
        self,
        number: int,
        state: TrialState,
        values: Sequence[float] | None,
        reported: Mapping[int, float],
        excesses: Mapping[str, float] = MappingProxyType({}),
    ) -> dict[str, Any]:
        """Tell the sampler how a trial ended.

        Args:
            excesses: by how much it breaks each bound on a metric, 0 or less where it does not.

        Returns:
            What the sampler has written down with the trial by now.
        """
        if number in self._paused:
            self._paused.remove(number)
            return self._tell_again(number, state, values, reported, excesses)
        place = self._places.pop(number)
        for name, excess in excesses.items():
            self._storage.set_trial_system_attr(self._id(place), CONSTRAINT + name, excess)
        for epoch, value in reported.items():
            self._storage.set_trial_intermediate_value(self._id(place), epoch, value)
        self._study.tell(place, None if values is None else list(values), state=state)
        notes = self._notes_of(place)
        if self._memory is not None and len(self._numbers) >= 2 * self._memory:
            self._forget()
        return notes

    def _fill(self, notes: Mapping[str, Any], trials: Sequence[tuple[int, FrozenTrial]]) -> None:
        self._storage = InMemoryStorage()
        self._study = optuna.create_study(
            storage=self._storage,
            directions=self._directions,
            sampler=self._build(1 + max((number for number, _ in trials), default=-1)),
        )
        self._study_id = self._storage.get_study_id_from_name(self._study.study_name)
        for name, value in notes.items():
            self._storage.set_study_system_attr(self._study_id, name, value)
        shown = self._shown(trials)
        self._study.add_trials(trial for _, trial in shown)
        self._numbers = {place: number for place, (number, _) in enumerate(shown)}
        self._places = {
            number: place for place, (number, trial) in enumerate(shown) if not trial.state.is_finished()
        }

    def _tell_again(
        self,
        number: int,
        state: TrialState,
        values: Sequence[float] | None,
        reported: Mapping[int, float],
        excesses: Mapping[str, float],
    ) -> dict[str, Any]:
        """Change how a trial ended; since Optuna cannot do that, its study is filled anew."""
        place = next((place for place, known in self._numbers.items() if known == number), None)
        if place is None:  # not shown any more
            return {}
        trial = copy(self._study.get_trials(deepcopy=False)[place])
        if state != trial.state or reported != trial.intermediate_values:
            trial.state, trial.intermediate_values = state, dict(reported)
            trial.values = None if values is None else list(values)
            trial.system_attrs = with_excesses(trial.system_attrs, excesses)
            self._forget({place: trial})
        return dict(trial.system_attrs)

    def _forget(self, changed: Mapping[int, FrozenTrial] = MappingProxyType({})) -> None:
        known = self._study.get_trials(deepcopy=False)
        trials = [(self._numbers[t.number], changed.get(t.number, t)) for t in known]
        self._fill(self.notes, trials)

    def _shown(self, trials: Sequence[tuple[int, FrozenTrial]]) -> Sequence[tuple[int, FrozenTrial]]:
        if self._memory is None or len(trials) <= self._memory:
            return trials
        signs = [1.0 if direction == "minimize" else -1.0 for direction in self._directions]

        def rank(place: int) -> list[float]:
            trial = trials[place][1]
            return [
                total_violation(trial),
                *(s * value for s, value in zip(signs, trial.values, strict=True)),
            ]

        completed = [place for place, (_, trial) in enumerate(trials) if trial.state == TrialState.COMPLETE]
        kept = set(sorted(completed, key=rank)[:_BEST])
        kept |= {place for place, (_, trial) in enumerate(trials) if not trial.state.is_finished()}
        kept |= set(range(len(trials) - self._memory + len(kept), len(trials)))
        return [trials[place] for place in sorted(kept)]

    def _notes_of(self, place: int) -> dict[str, Any]:
        return dict(self._storage.get_trial(self._id(place)).system_attrs)

    def _id(self, place: int) -> int:
        found: int = self._storage.get_trial_id_from_study_id_trial_number(self._study_id, place)
        return found


def with_excesses(notes: Mapping[str, Any], excesses: Mapping[str, float]) -> dict[str, Any]:
    """Replace what a trial's notes say of the bounds that it breaks by what is known now."""
    kept = {name: value for name, value in notes.items() if not name.startswith(CONSTRAINT)}
    return kept | {CONSTRAINT + name: excess for name, excess in excesses.items()}


def _frozen(trial: PastTrial, distributions: Mapping[str, BaseDistribution]) -> FrozenTrial:
    """Build Optuna's trial, which is given a number and an identifier when it is added."""
    return optuna.create_trial(
        state=trial.state,
        values=trial.values,
        params=dict(trial.params),
        distributions={name: distributions[name] for name in trial.params},
        intermediate_values=dict(trial.reported),
        system_attrs=dict(trial.notes),
    )
