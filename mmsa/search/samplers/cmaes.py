"""Evolution strategy with covariance adaptation."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated, Any, Literal

import cmaes
import numpy as np
from optuna import Study
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.samplers import BaseSampler, RandomSampler
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState
from pydantic import Field
from typing_extensions import override

from mmsa.config import Named
from mmsa.errors import Problem
from mmsa.search.samplers.base import SAMPLERS, Sampler, Setting, Turns, single_objective_only, violation
from mmsa.search.samplers.unit import from_cube, to_unit
from mmsa.search.space.space import Space
from mmsa.seeding import derive_seed


@SAMPLERS.register("cmaes")
class CovarianceMatrixAdaptation(Sampler):
    """CMA-ES (Hansen 2016) on the numbers that every point has; all else is left to chance.

    Only the order of trials matters to it, so pruned and failed ones count, below those that completed.
    """

    class Config(Named):
        """How many trials make a generation."""

        name: Literal["cmaes"] = "cmaes"
        population: Annotated[int, Field(ge=4, le=10_000)] | None = None
        """Trials of a generation; 4 + 3 log(dimensions) without it."""

    @override
    def problems(self, setting: Setting) -> Iterator[Problem]:
        yield from single_objective_only("cmaes", setting)
        if not _numbers(setting.space):
            yield Problem("name", "cmaes", "no number is a part of every point of this space", "Write tpe.")

    @override
    def left_to_chance(self, space: Space) -> tuple[str, ...]:
        return tuple(name for name in space.distributions() if name not in _numbers(space))

    @override
    def build(self, setting: Setting, num_trials: int) -> BaseSampler:
        chance = RandomSampler(seed=setting.seed_after(num_trials))
        return _EvolutionSampler(
            _numbers(setting.space), self.config.population, setting.seed, Turns(num_trials), chance
        )


def _numbers(space: Space) -> dict[str, BaseDistribution]:
    return {
        name: distribution
        for name, distribution in space.always().items()
        if not isinstance(distribution, CategoricalDistribution)
    }


class _EvolutionSampler(BaseSampler):  # type: ignore[misc]
    """Replays the study's trials, a population at a time in the order of their numbers, which is cheap.

    Optuna's own sampler pickles its state into the study, and would run what a study from elsewhere holds.
    """

    def __init__(
        self,
        numbers: dict[str, BaseDistribution],
        population: int | None,
        seed: int,
        turns: Turns,
        chance: BaseSampler,
    ):
        self._numbers, self._population, self._seed = numbers, population, seed
        self._turns, self._chance = turns, chance

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        return self._numbers

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        point = self._replayed(study, derive_seed(self._seed, *self._turns.next(trial))).ask()
        return from_cube(search_space, point)

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        return self._chance.sample_independent(study, trial, param_name, param_distribution)

    def _replayed(self, study: Study, seed: int) -> cmaes.CMA:
        """The strategy after all trials so far; ``seed`` is for the points it is asked for."""
        size = len(self._numbers)
        strategy = cmaes.CMA(
            mean=np.full(size, 0.5),
            sigma=1 / 6,
            bounds=np.tile([0.0, 1.0], (size, 1)),
            seed=seed,
            population_size=self._population,
        )
        ended = [trial for trial in study.get_trials(deepcopy=False) if self._counts(trial)]
        for start in range(0, len(ended) - strategy.population_size + 1, strategy.population_size):
            self._tell(strategy, ended[start : start + strategy.population_size], study.direction)
        return strategy

    def _counts(self, trial: FrozenTrial) -> bool:
        return bool(trial.state.is_finished()) and self._numbers.keys() <= trial.params.keys()

    def _tell(self, strategy: cmaes.CMA, trials: Sequence[FrozenTrial], direction: StudyDirection) -> None:
        best_first = sorted(trials, key=lambda trial: _standing(trial, direction))
        strategy.tell([(self._point(trial), float(place)) for place, trial in enumerate(best_first)])

    def _point(self, trial: FrozenTrial) -> np.ndarray[Any, Any]:
        return np.array([to_unit(dist, trial.params[name]) for name, dist in self._numbers.items()])


def _standing(trial: FrozenTrial, direction: StudyDirection) -> tuple[float, ...]:
    """Smaller is better: completed and feasible, completed, pruned late, pruned early, failed."""
    sign = 1.0 if direction == StudyDirection.MINIMIZE else -1.0
    if trial.state == TrialState.COMPLETE:
        return (0, violation(trial), sign * trial.value)
    if trial.state == TrialState.PRUNED and trial.last_step is not None:
        return (1, -trial.last_step, sign * trial.intermediate_values[trial.last_step])
    return (2,)
