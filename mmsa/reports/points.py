"""The points of a study's trials as a table: one axis for each choice that a person would name.

Optuna sees a gate beside each coefficient that may be exactly 0, and quantiles in place of shares. People see
one coefficient, whose value 0 is an ablation, and a total with shares of it; so do the axes.

Shapes: N trials, P axes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mmsa.interface import Scalar, short
from mmsa.search.space.parameters import (
    CategoricalParameter,
    FloatParameter,
    IntParameter,
    TiedParameter,
    same,
)
from mmsa.search.space.shares import Coefficient, Division
from mmsa.search.space.space import Space

Floats = NDArray[np.float64]
TERMS = "objective.terms."
"""The block that all terms are in, which is left out where names must be short."""


@dataclass(frozen=True)
class Axis:
    """One choice of a space.

    Attributes:
        name: for people: the setting, or a group of shares, or one share of it.
        paths: the settings that it decides; of a group those of its members.
        choices: words of a categorical one, in order; empty for numbers.
        low: smallest number besides an exact 0.
        high: largest number.
        log: whether numbers are searched by their logarithm.
        step: distance of neighbouring numbers; None without a grid.
        has_zero: whether it may be exactly 0 beside its range.
        group: of shares whose total it is, or of which it is a share; empty for a setting by itself.
        member: the setting whose share of the total it is; empty for all others.
    """

    name: str
    paths: tuple[str, ...]
    choices: tuple[Scalar, ...] = ()
    low: float = 0.0
    high: float = 1.0
    log: bool = False
    step: float | None = None
    has_zero: bool = False
    group: str = ""
    member: str = ""

    @property
    def label(self) -> str:
        """The name without the block that all terms are in."""
        return self.name.removeprefix(TERMS)

    def of(self, point: Mapping[str, Scalar]) -> float:
        """Its value at a point: a number, the index of a choice, or NaN where it does not exist."""
        if self.group:
            present = {path: float(point[path]) for path in self.paths if path in point}
            division = Division.of(present)
            if not self.member:
                return division.total if present else math.nan
            # Without a total there is nothing to have a share of.
            return division.shares.get(self.member, math.nan)
        value = point.get(self.paths[0])
        if value is None:
            return math.nan
        if self.choices:
            return float(next(n for n, choice in enumerate(self.choices) if same(choice, value)))
        return float(value)

    def spoken(self, value: float) -> str:
        """A value for people."""
        if math.isnan(value):
            return "-"
        return str(self.choices[int(value)]) if self.choices else short(float(value))

    def unit(self, value_N: Floats) -> Floats:
        """(N,) in [0, 1] over the range of the axis, NaN for an exact 0 beside it and where absent."""
        inside_N = np.where(self.has_zero & (value_N == 0), np.nan, value_N)
        low, high = self.low, self.high
        if self.log:
            low, high, inside_N = math.log(low), math.log(high), np.log(inside_N)
        return np.clip((inside_N - low) / (high - low), 0.0, 1.0)


def axes_of(space: Space) -> list[Axis]:
    """The axes of a space, in the order of its parameters; what is tied follows others and is none."""
    found: list[Axis] = []
    told: set[str] = set()
    for path, parameter in space.parameters.items():
        if isinstance(parameter, TiedParameter):
            continue
        if isinstance(parameter, Coefficient):
            if parameter.group not in told:
                told.add(parameter.group)
                found += _group(parameter, space)
        elif isinstance(parameter, CategoricalParameter):
            found.append(Axis(path, (path,), parameter.choices))
        else:
            assert isinstance(parameter, FloatParameter | IntParameter)
            zero = isinstance(parameter, FloatParameter) and parameter.zero is not None
            step = parameter.step or (1 if isinstance(parameter, IntParameter) else None)
            found.append(
                Axis(path, (path,), (), parameter.low, parameter.high, parameter.log, step, has_zero=zero)
            )
    return found


def _group(first: Coefficient, space: Space) -> list[Axis]:
    shares, members = space.groups[first.group]
    # The names that ``divisions`` gives to shares, which depend on what their paths have in common.
    _, *names = Division.of(dict.fromkeys(members, 1.0)).entries(first.group)
    axes = []
    for member, name in zip(members, names, strict=True):
        coefficient = space.parameters[member]
        assert isinstance(coefficient, Coefficient)
        zero = coefficient.zero is not None
        axes.append(Axis(name, members, has_zero=zero, group=first.group, member=member))
    if isinstance(total := shares.total, FloatParameter):
        # A total is 0 by itself, or where all of its shares are.
        zero = total.zero is not None or any(axis.has_zero for axis in axes)
        of_total = Axis(first.group, members, (), total.low, total.high, total.log, None, zero, first.group)
        axes.insert(0, of_total)
    return axes


def table_of(axes: Sequence[Axis], points: Sequence[Mapping[str, Scalar]]) -> Floats:
    """(N, P) values of points; NaN where an axis does not exist."""
    return np.array([[axis.of(point) for axis in axes] for point in points]).reshape(len(points), len(axes))


def units_of_choice(space: Space) -> dict[str, tuple[str, ...]]:
    """The settings that move together: shares of a total, and what exists for some values of others.

    By name: that of the shares, or else the setting on which the others depend.
    """
    home: dict[str, str] = {}

    def root(path: str) -> str:
        while home.setdefault(path, path) != path:
            path = home[path]
        return path

    for path, parameter in space.parameters.items():
        root(path)
        beside = space.groups[parameter.group][1][:1] if isinstance(parameter, Coefficient) else ()
        for other in (*sorted(parameter.parents()), *beside):
            home[root(path)] = root(other)
    units: dict[str, list[str]] = {}
    for path in space.parameters:
        units.setdefault(root(path), []).append(path)
    named = {}
    for paths in units.values():
        first = space.parameters[paths[0]]
        named[first.group if isinstance(first, Coefficient) else paths[0]] = tuple(paths)
    return named
