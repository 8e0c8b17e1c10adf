"""Samplers that breed points from the best ones of a generation: CMA-ES and the genetic algorithms."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from optuna import Study
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.exceptions import ExperimentalWarning
from optuna.samplers import BaseSampler, NSGAIIISampler, NSGAIISampler, RandomSampler
from optuna.samplers.nsgaii import SBXCrossover
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState
from pydantic import Field
from typing_extensions import override

from mmsa.config import Named
from mmsa.errors import Problem
from mmsa.search.samplers.base import (
    SAMPLERS,
    Sampler,
    SamplerContext,
    TurnCounter,
    single_objective_only,
    sometimes_absent,
    total_violation,
)
from mmsa.search.samplers.unit import from_cube, to_unit
from mmsa.search.space.space import Space
from mmsa.seeding import derive_seed

if TYPE_CHECKING:
    import cmaes


@SAMPLERS.register("cmaes")
class CovarianceMatrixAdaptation(Sampler):
    """CMA-ES (Hansen 2016) on the numbers that every point has; everything else is left to chance.

    Only the order of trials matters to it, so pruned and failed ones count, below those that completed.
    """

    class Config(Named):
        """How many trials make a generation."""

        name: Literal["cmaes"] = "cmaes"
        population: Annotated[int, Field(ge=4, le=10_000)] | None = None
        """Trials of a generation; 4 + 3 log(dimensions) without it."""

    @override
    def problems(self, context: SamplerContext) -> Iterator[Problem]:
        yield from single_objective_only("cmaes", context)
        if not _numbers(context.space):
            yield Problem("name", "cmaes", "no number is a part of every point of this space", "Write tpe.")

    @override
    def left_to_chance(self, space: Space) -> tuple[str, ...]:
        return tuple(name for name in space.distributions() if name not in _numbers(space))

    @override
    def build(self, context: SamplerContext, num_trials: int) -> BaseSampler:
        chance = RandomSampler(seed=context.seed_after(num_trials))
        return _EvolutionSampler(
            _numbers(context.space), self.config.population, context.seed, TurnCounter(num_trials), chance
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
        turns: TurnCounter,
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
        import cmaes  # brings all of scipy.stats, which other samplers do without

        size = len(self._numbers)
        strategy = cmaes.CMA(
            mean=np.full(size, 0.5),
            sigma=1 / 6,  # the unit cube is three standard deviations wide either way
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
        # Ranks instead of values: the strategy uses nothing else, and a failed trial has a rank but no value.
        best_first = sorted(trials, key=lambda trial: _standing(trial, direction))
        strategy.tell([(self._point(trial), float(place)) for place, trial in enumerate(best_first)])

    def _point(self, trial: FrozenTrial) -> np.ndarray[Any, Any]:
        return np.array([to_unit(dist, trial.params[name]) for name, dist in self._numbers.items()])


def _standing(trial: FrozenTrial, direction: StudyDirection) -> tuple[float, ...]:
    """Smaller is better: completed and feasible, completed, pruned late, pruned early, failed."""
    sign = 1.0 if direction == StudyDirection.MINIMIZE else -1.0
    if trial.state == TrialState.COMPLETE:
        return (0, total_violation(trial), sign * trial.value)
    if trial.state == TrialState.PRUNED and trial.last_step is not None:
        return (1, -trial.last_step, sign * trial.intermediate_values[trial.last_step])
    return (2,)


class _PopulationSize(Named):
    population: Annotated[int, Field(ge=2, le=10_000)] = 20
    """Completed trials of a generation; the first one is drawn at random."""


class _GenerationsByNumber:
    """Generations are the completed trials in the order of their numbers, a population at a time.

    Optuna's own write the generation into each trial, and lose it where trials are shown without their notes.
    """

    population_size: int

    def get_trial_generation(self, study: Study, trial: FrozenTrial) -> int:
        return len(_completed(study)) // self.population_size

    def get_population(self, study: Study, generation: int) -> list[FrozenTrial]:
        first = generation * self.population_size
        return _completed(study)[first : first + self.population_size]


def _completed(study: Study) -> list[FrozenTrial]:
    trials: list[FrozenTrial] = study.get_trials(deepcopy=False, states=[TrialState.COMPLETE])
    return trials


class _Nsga2Sampler(_GenerationsByNumber, NSGAIISampler):  # type: ignore[misc]
    pass


class _Nsga3Sampler(_GenerationsByNumber, NSGAIIISampler):  # type: ignore[misc]
    pass


class _Genetic(Sampler):
    kind: type[BaseSampler]

    @override
    def build(self, context: SamplerContext, num_trials: int) -> BaseSampler:
        seed = context.seed_after(num_trials)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            return self.kind(seed=seed, population_size=self.config.population, crossover=SBXCrossover())

    @override
    def problems(self, context: SamplerContext) -> Iterator[Problem]:
        if self.config.population >= context.trials:
            rule = (
                f"the first generation alone takes all {context.trials} trials: every one is left to chance"
            )
            yield Problem("population", self.config.population, rule, "Write fewer, or ask for more trials.")

    @override
    def left_to_chance(self, space: Space) -> tuple[str, ...]:
        return sometimes_absent(space)


@SAMPLERS.register("nsga2")
class Nsga2(_Genetic):
    """NSGA-II (Deb et al. 2002); with one objective a plain genetic algorithm.

    Simulated binary crossover; it learns from completed trials only.
    """

    class Config(_PopulationSize):
        """How many trials make a generation."""

        name: Literal["nsga2"] = "nsga2"

    kind = _Nsga2Sampler


@SAMPLERS.register("nsga3")
class Nsga3(_Genetic):
    """NSGA-III (Deb and Jain 2014): spreads along reference lines, for three or more objectives.

    Simulated binary crossover; it learns from completed trials only.
    """

    class Config(_PopulationSize):
        """How many trials make a generation."""

        name: Literal["nsga3"] = "nsga3"

    kind = _Nsga3Sampler

    @override
    def problems(self, context: SamplerContext) -> Iterator[Problem]:
        yield from super().problems(context)
        if len(context.directions) == 1:
            yield Problem("name", "nsga3", "one objective has no reference lines", "Write nsga2.")
