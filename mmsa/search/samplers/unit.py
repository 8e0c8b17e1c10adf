"""The unit cube that Optuna's distributions are mapped to, on which they are uniform."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)


def from_unit(distribution: BaseDistribution, u: float) -> Any:
    """Return the value at ``u`` in [0, 1]; equal lengths have equal probabilities."""
    if isinstance(distribution, CategoricalDistribution):
        size = len(distribution.choices)
        return distribution.choices[min(int(u * size), size - 1)]
    low, high = _ends(distribution)
    value = low + u * (high - low)
    value = math.exp(value) if distribution.log else value
    if distribution.step is not None:
        steps = round((distribution.high - distribution.low) / distribution.step)
        step = min(max(round((value - distribution.low) / distribution.step), 0), steps)
        value = distribution.low + step * distribution.step
    value = min(max(value, distribution.low), distribution.high)
    return int(value) if isinstance(distribution, IntDistribution) else value


def from_cube(distributions: Mapping[str, BaseDistribution], point: Iterable[float]) -> dict[str, Any]:
    """Return the parameters at a point of the unit cube, whose axes are the distributions in order."""
    return {
        name: from_unit(distribution, float(u))
        for (name, distribution), u in zip(distributions.items(), point, strict=True)
    }


def to_unit(distribution: FloatDistribution | IntDistribution, value: float) -> float:
    """Invert ``from_unit``; a value on a grid is at the middle of its interval."""
    low, high = _ends(distribution)
    return ((math.log(value) if distribution.log else value) - low) / (high - low)


def _ends(distribution: FloatDistribution | IntDistribution) -> tuple[float, float]:
    half = 0.0 if distribution.step is None else distribution.step / 2
    low, high = distribution.low - half, distribution.high + half
    return (math.log(low), math.log(high)) if distribution.log else (low, high)
