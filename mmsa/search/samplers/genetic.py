"""Genetic algorithms for several objectives."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Annotated, Literal

from optuna import Study
from optuna.exceptions import ExperimentalWarning
from optuna.samplers import BaseSampler, NSGAIIISampler, NSGAIISampler
from optuna.samplers.nsgaii import SBXCrossover
from optuna.trial import FrozenTrial, TrialState
from pydantic import Field
from typing_extensions import override

from mmsa.config import Named
from mmsa.errors import Problem
from mmsa.search.samplers.base import SAMPLERS, Sampler, Setting, sometimes_absent
from mmsa.search.space.space import Space


class _Generations(Named):
    population: Annotated[int, Field(ge=2, le=10_000)] = 20
    """Completed trials of a generation; the first one is drawn at random."""


class _InOrder:
    """Generations are the completed trials in the order of their numbers, a population at a time.

    Optuna's own write them into the trials, and lose them where those are shown without.
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


class _Nsga2(_InOrder, NSGAIISampler):  # type: ignore[misc]
    pass


class _Nsga3(_InOrder, NSGAIIISampler):  # type: ignore[misc]
    pass


class _Genetic(Sampler):
    kind: type[BaseSampler]

    @override
    def build(self, setting: Setting, num_trials: int) -> BaseSampler:
        seed = setting.seed_after(num_trials)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            return self.kind(seed=seed, population_size=self.config.population, crossover=SBXCrossover())

    @override
    def problems(self, setting: Setting) -> Iterator[Problem]:
        if self.config.population >= setting.trials:
            rule = (
                f"the first generation alone takes all {setting.trials} trials: every one is left to chance"
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

    class Config(_Generations):
        """How many trials make a generation."""

        name: Literal["nsga2"] = "nsga2"

    kind = _Nsga2


@SAMPLERS.register("nsga3")
class Nsga3(_Genetic):
    """NSGA-III (Deb and Jain 2014): keeps its distance along reference lines, for three or more objectives.

    Simulated binary crossover; it learns from completed trials only.
    """

    class Config(_Generations):
        """How many trials make a generation."""

        name: Literal["nsga3"] = "nsga3"

    kind = _Nsga3

    @override
    def problems(self, setting: Setting) -> Iterator[Problem]:
        yield from super().problems(setting)
        if len(setting.directions) == 1:
            yield Problem("name", "nsga3", "one objective has no reference lines", "Write nsga2.")
