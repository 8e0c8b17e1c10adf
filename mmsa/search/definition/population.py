"""What ``pbt`` needs of a study: a space whose settings can change during a run, and how they do."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from mmsa.errors import Problem
from mmsa.experiment import CONTINUABLE, RunConfig, continuable
from mmsa.search.definition.search_config import SearchConfig
from mmsa.search.schedulers import PopulationBased
from mmsa.search.space.parameters import FloatParameter, TiedParameter
from mmsa.search.space.scalars import Scalar
from mmsa.search.space.shares import Shares
from mmsa.search.space.space import Space

_FACTORS = (0.8, 1.2)  # of the paper
_TRIES = 10


def population_problems(search: SearchConfig, base: RunConfig) -> Iterator[Problem]:
    """Why a study cannot use ``pbt``, if it does."""
    scheduler: Any = search.scheduler
    if not isinstance(scheduler, PopulationBased.Config):
        return
    advice = f"Write it in `base`, or take another scheduler. Those that can: {CONTINUABLE}."
    for path, parameter in search.parameters.items():
        tied = isinstance(parameter, TiedParameter)
        if isinstance(parameter, Shares):
            rule = "pbt moves one setting at a time, and shares only move together"
            once = "Search the coefficients as floats, or take another scheduler."
            yield Problem(f"search.parameters.{path}.type", parameter.type, rule, once)
        elif not continuable(path):
            rule = "cannot change during a run, as it has to with the scheduler pbt"
            yield Problem(f"search.parameters.{path}", path, rule, advice)
        elif not tied and (not isinstance(parameter, FloatParameter) or parameter.step is not None):
            rule = "pbt multiplies by a little, and so needs a float without a step"
            yield Problem(
                f"search.parameters.{path}", path, rule, "Write {type: float, low: ..., high: ...}."
            )
    if not search.parameters:
        rule = "has nothing to change"
        yield Problem("search.scheduler.name", "pbt", rule, "Search a parameter, or write another scheduler.")
    if scheduler.interval >= base.train.epochs:
        rule = f"no generation ends before the last epoch, train.epochs is {base.train.epochs}"
        yield Problem("search.scheduler.interval", scheduler.interval, rule, "Write a smaller one.")
    if base.course:
        advice = "Remove one of the two."
        yield Problem("base.course", len(base.course), "the course of a run is what pbt searches", advice)
    yield from _point_problems(search)


def _point_problems(search: SearchConfig) -> Iterator[Problem]:
    """What reads a trial as a point of the space, where it is a way through it."""
    stop: Any = search.stop
    rule = "needs trials that are points of the space; with the scheduler pbt they are ways through it"
    if search.finalists is not None:
        yield Problem("search.finalists", search.finalists.top, rule, "Leave it out.")
    if stop.name != "never":
        yield Problem("search.stop.name", stop.name, rule, "Leave it out.")


def explored(
    values: Mapping[str, Scalar], space: Space, allows: Callable[[Mapping[str, Scalar]], bool], seed: int
) -> dict[str, float]:
    """Settings a little off those of a good trial: each a fifth more or less, within its range.

    An exact 0 stays. Where ``allows`` refuses try after try, all stay.
    """
    random = np.random.default_rng(seed)
    free = {path: float(value) for path, value in values.items() if path not in space.tied()}
    for _ in range(_TRIES):
        changed = space.with_ties({path: _moved(space, path, free[path], random) for path in free})
        if allows(changed):
            return {path: float(value) for path, value in changed.items()}
    return {path: float(value) for path, value in values.items()}


def _moved(space: Space, path: str, value: float, random: np.random.Generator) -> float:
    factor = float(random.choice(_FACTORS))
    if value == 0:
        return value
    parameter = space.parameters[path]
    assert isinstance(parameter, FloatParameter)
    return min(max(factor * value, parameter.low), parameter.high)
