"""What a sampler is told of the study it samples for, and what it answers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import optuna
from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial

from mmsa.config import Block
from mmsa.errors import Problem
from mmsa.registry import Registry
from mmsa.search.space.space import Space
from mmsa.seeding import derive_seed

optuna.logging.set_verbosity(optuna.logging.WARNING)

SAMPLERS: Registry[Sampler] = Registry("sampler")


@dataclass(frozen=True)
class Setting:
    """The study that is sampled for.

    space: of one point. directions: ``minimize`` or ``maximize``, one for each objective. trials: how many
    the study shall have. seed: the study's own, the same in every launch.
    """

    space: Space
    directions: tuple[str, ...]
    trials: int
    seed: int

    def seed_after(self, num_trials: int) -> int:
        """The seed of a sampler whose state dies with its launch, in a study of ``num_trials`` trials.

        Made anew with the same seed it would repeat its first points.
        """
        return derive_seed(self.seed, num_trials)


class Sampler:
    """A way to choose the next point of a space, by the settings of its ``Config``.

    proposals: how often it is asked for a trial whose points may not be tried. memory: how many trials it is
    shown, the best and the latest, where its work grows with their number.
    """

    proposals = 10
    memory: int | None = None

    def __init__(self, config: Block):
        self.config: Any = config

    def problems(self, setting: Setting) -> Iterator[Problem]:
        """Why it does not fit the study; paths are relative to its block."""
        yield from ()

    def left_to_chance(self, space: Space) -> tuple[str, ...]:
        """Optuna parameters that it draws at random, whatever it has learned."""
        return ()

    def build(self, setting: Setting, num_trials: int) -> BaseSampler:
        """The Optuna sampler, to go on with a study that has ``num_trials`` trials."""
        raise NotImplementedError


class Turns:
    """Counts the trials that a sampler was asked for, over all launches of a study.

    The trial's number alone would do, but the study that a sampler is shown may leave trials out.
    """

    def __init__(self, num_trials: int):
        self._before = num_trials
        self._asked: Counter[int] = Counter()

    def next(self, trial: FrozenTrial) -> tuple[int, int]:
        """The turn of the trial, and how often the sampler was asked for it before."""
        self._asked[trial.number] += 1
        return max(trial.number, self._before + len(self._asked) - 1), self._asked[trial.number] - 1


def violation(trial: FrozenTrial) -> float:
    """By how much a trial breaks the bounds on metrics that it was told of, summed; 0 for a feasible one."""
    excesses: dict[str, float] = trial.constraints
    return sum(max(0.0, excess) for excess in excesses.values())


def sometimes_absent(space: Space) -> tuple[str, ...]:
    """The Optuna parameters that not every point has."""
    return tuple(name for name in space.distributions() if name not in space.always())


def single_objective_only(name: str, setting: Setting) -> Iterator[Problem]:
    """The problem of a sampler that cannot weigh objectives against each other."""
    if len(setting.directions) > 1:
        rule = f"has no notion of {len(setting.directions)} objectives at once"
        yield Problem("name", name, rule, "Write tpe, gp, nsga2 or nsga3, or keep one objective.")
