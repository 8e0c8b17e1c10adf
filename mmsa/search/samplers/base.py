"""What a sampler is: what it is told of the study it samples for, and what it answers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import optuna
from optuna import Study
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial, TrialState

from mmsa.config import Named
from mmsa.errors import Problem
from mmsa.registry import Registry
from mmsa.search.space.space import Space
from mmsa.seeding import derive_seed

optuna.logging.set_verbosity(optuna.logging.WARNING)


@dataclass(frozen=True)
class SamplerContext:
    """The study that is sampled for.

    Attributes:
        space: the space of its points.
        directions: ``minimize`` or ``maximize``, one for each objective.
        trials: how many trials the study shall have.
        seed: the study's own seed, the same in every launch.
    """

    space: Space
    directions: tuple[str, ...]
    trials: int
    seed: int

    def seed_after(self, num_trials: int) -> int:
        """Return the seed of a sampler whose state dies with its launch, after ``num_trials`` trials.

        Built again with the same seed, such a sampler would repeat its first points.
        """
        return derive_seed(self.seed, num_trials)


class Sampler:
    """A way to choose the next point of a space, by the settings of its ``Config``.

    Attributes:
        proposals: how often it is asked for one trial, while its points may not be tried.
        memory: how many trials it is shown, the best and the latest; None for all of them.
    """

    Config: ClassVar[type[Named]]
    proposals = 10
    memory: int | None = None

    def __init__(self, config: Named):
        self.config: Any = config

    def problems(self, context: SamplerContext) -> Iterator[Problem]:
        """Why the sampler does not fit the study; paths are relative to its block."""
        yield from ()

    def left_to_chance(self, space: Space) -> tuple[str, ...]:
        """Optuna parameters that it draws at random, whatever it has learned."""
        return ()

    def build(self, context: SamplerContext, num_trials: int) -> BaseSampler:
        """Build the Optuna sampler that continues a study which has ``num_trials`` trials."""
        raise NotImplementedError


SAMPLERS: Registry[Sampler] = Registry("sampler", "mmsa.samplers")


class SamplerWrapper(BaseSampler):  # type: ignore[misc]
    """Passes everything on to ``inner``; subclasses change some of it."""

    def __init__(self, inner: BaseSampler):
        self._inner = inner

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """The parameters that are chosen together."""
        space: dict[str, BaseDistribution] = self._inner.infer_relative_search_space(study, trial)
        return space

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Values of the parameters that are chosen together."""
        params: dict[str, Any] = self._inner.sample_relative(study, trial, search_space)
        return params

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """The value of a parameter that is chosen by itself."""
        return self._inner.sample_independent(study, trial, param_name, param_distribution)

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        """Called when a trial begins."""
        self._inner.before_trial(study, trial)

    def after_trial(
        self, study: Study, trial: FrozenTrial, state: TrialState, values: Sequence[float] | None
    ) -> None:
        """Called when a trial has ended."""
        self._inner.after_trial(study, trial, state, values)

    def reseed_rng(self) -> None:
        """Draw other numbers from here on."""
        self._inner.reseed_rng()


class TurnCounter:
    """Counts the trials that a sampler was asked for, over all launches of a study."""

    def __init__(self, num_trials: int):
        self._before = num_trials
        self._asked: Counter[int] = Counter()

    def next(self, trial: FrozenTrial) -> tuple[int, int]:
        """Return the turn of the trial, and how often the sampler was asked for it before."""
        self._asked[trial.number] += 1
        # The trial's number alone would do, but the study that a sampler is shown may leave trials out.
        return max(trial.number, self._before + len(self._asked) - 1), self._asked[trial.number] - 1


def total_violation(trial: FrozenTrial) -> float:
    """By how much a trial breaks the bounds on metrics that it was told of, summed; 0 for a feasible one."""
    excesses: dict[str, float] = trial.constraints
    return sum(max(0.0, excess) for excess in excesses.values())


def sometimes_absent(space: Space) -> tuple[str, ...]:
    """The Optuna parameters that not every point has."""
    return tuple(name for name in space.distributions() if name not in space.always())


def single_objective_only(name: str, context: SamplerContext) -> Iterator[Problem]:
    """The problem of a sampler that cannot weigh objectives against each other."""
    if len(context.directions) > 1:
        rule = f"has no notion of {len(context.directions)} objectives at once"
        yield Problem("name", name, rule, "Write tpe, gp, nsga2 or nsga3, or keep one objective.")
