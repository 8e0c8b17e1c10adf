"""What a random forest makes of a study's trials: response curves, and the way from defaults to best.

A surrogate answers for points that nobody tried, so everything here is a guess with a band: the trees
disagree where trials are few. Steps of the way can be run in earnest (``mmsa.reports.path_runs``).

Shapes: N trials, P axes, D columns, K values, T trees.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from sklearn.ensemble import RandomForestRegressor

from mmsa.interface import Scalar
from mmsa.reports.points import Axis, Floats, table_of, units_of_choice
from mmsa.search.space.space import Space
from mmsa.seeding import derive_seed

FEWEST_POINTS = 10
"""Trials with a result below which a forest is not worth looking at."""
_TREES, _CURVE = 100, 13
_MOST_AVERAGED = 120  # trials over which a response is averaged
_TAILS = (0.1, 0.9)
_ZERO, _ABSENT = -0.3, -0.6  # where a tree finds an exact 0, and what does not exist, below the range


@dataclass(frozen=True)
class Guess:
    """A value by the surrogate.

    Attributes:
        value: mean over the trees.
        low: what a tenth of the trees stay below.
        high: what a tenth of them exceed.
    """

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Response:
    """How a quantity follows one axis, all else as it was in the trials.

    Attributes:
        at: numbers along the range of the axis.
        curve: the guess at each.
        zero: the guess at an exact 0 beside the range; None if the axis has none.
    """

    at: tuple[float, ...]
    curve: tuple[Guess, ...]
    zero: Guess | None


@dataclass(frozen=True)
class Step:
    """One step of an ablation path.

    Attributes:
        name: of the shares that it divides anew, or of the setting on which all that it moves depends.
        paths: the settings that it moves.
        moves: old and new value of each that changes, for people.
        guess: of the objective after it.
    """

    name: str
    paths: tuple[str, ...]
    moves: Mapping[str, tuple[str, str]]
    guess: Guess

    @property
    def choice(self) -> str:
        """What it is called: the only setting that changes, or else what all of them depend on."""
        return next(iter(self.moves)) if len(self.moves) == 1 else self.name


class Forest:
    """A random forest over the axes of a space, fitted to trials that have a result.

    Args:
        axes: the choices.
        value_NP: from ``table_of``.
        result_N: what is to be guessed.
        seed: of the forest.
    """

    def __init__(self, axes: Sequence[Axis], value_NP: Floats, result_N: Floats, seed: int = 0):
        self._axes, self._value_NP = axes, value_NP
        self._trees = RandomForestRegressor(
            _TREES, min_samples_leaf=2, max_features=0.5, random_state=derive_seed("forest", seed), n_jobs=1
        ).fit(self._columns(value_NP), result_N)

    def guesses(self, value_KP: Floats) -> list[Guess]:
        """The guess at each of K points."""
        return _guesses(self._by_tree(value_KP))

    def responses(self, indices: Sequence[int]) -> list[Response]:
        """How the result follows the axes of these indices, which have numbers: partial dependence."""
        asked = [self._asked(index) for index in indices]
        if not asked:
            return []
        # One call for all: a tree answers thousands of points about as fast as one.
        by_tree_TM = self._by_tree(np.vstack([points for _, _, points in asked]))
        found, begin = [], 0
        for at_K, num_trials, points in asked:
            averaged_TK = by_tree_TM[:, begin : begin + len(points)].reshape(_TREES, num_trials, -1).mean(1)
            begin += len(points)
            guesses = _guesses(averaged_TK)
            zero = guesses[-1] if len(guesses) > _CURVE else None
            found.append(Response(tuple(map(float, at_K)), tuple(guesses[:_CURVE]), zero))
        return found

    def _asked(self, index: int) -> tuple[Floats, int, Floats]:
        """Places along an axis, of how many trials, and the points of each of these at each place."""
        axis = self._axes[index]
        has_N = ~np.isnan(self._value_NP[:, index])
        # Every so many trials, not the first ones, which are the best.
        rows = np.flatnonzero(has_N)[:: max(1, math.ceil(has_N.sum() / _MOST_AVERAGED))]
        ends = (math.log(axis.low), math.log(axis.high)) if axis.log else (axis.low, axis.high)
        at_K = np.linspace(*ends, _CURVE)
        at_K = np.exp(at_K) if axis.log else at_K
        asked_K = np.append(at_K, 0.0) if axis.has_zero else at_K
        points_MP = np.repeat(self._value_NP[rows], len(asked_K), axis=0)
        points_MP[:, index] = np.tile(asked_K, len(rows))
        return at_K, len(rows), points_MP

    def _by_tree(self, value_KP: Floats) -> Floats:
        columns = self._columns(value_KP).astype(np.float32)
        by_tree: Floats = np.array([tree.predict(columns) for tree in self._trees.estimators_])
        return by_tree

    def _columns(self, value_KP: Floats) -> Floats:
        """(K, D): a column for a number, one for each word of a choice."""
        columns = []
        for p, axis in enumerate(self._axes):
            value_K = value_KP[:, p]
            if axis.choices:
                columns += [1.0 * (value_K == choice) for choice in range(len(axis.choices))]
            else:
                unit_K = np.nan_to_num(axis.unit(value_K), nan=_ZERO)
                columns.append(np.where(np.isnan(value_K), _ABSENT, unit_K))
        return np.column_stack(columns)


def _guesses(by_tree_TK: Floats) -> list[Guess]:
    low_K, high_K = np.quantile(by_tree_TK, _TAILS, axis=0)
    rows = zip(by_tree_TK.mean(0), low_K, high_K, strict=True)
    return [Guess(*map(float, row)) for row in rows]


def ablation_path(
    forest: Forest,
    axes: Sequence[Axis],
    space: Space,
    start: Mapping[str, Scalar],
    end: Mapping[str, Scalar],
    direction: str,
    silent: Callable[[Mapping[str, Scalar]], tuple[str, ...]] = lambda point: (),
) -> tuple[Guess, list[Step]]:
    """The way from one point to another in which each step takes the choice that helps most, by the forest.

    Fawcett and Hoos (2016), on a surrogate as Biedenkapp et al. (2017). Choices that only exist together move
    together, so that every point of the way can be run. A choice without an effect where it is made waits:
    a forest, which knows it from other points, would guess one. What has none up to the end is no step.

    Args:
        forest: over ``axes``.
        axes: of the space.
        space: of both points.
        start: a complete point, such as the defaults.
        end: another one, such as that of the best trial.
        direction: ``minimize`` or ``maximize``.
        silent: beginnings of settings that have no effect at a point.

    Returns:
        The guess at the start, and the steps in order.
    """
    sign = 1.0 if direction == "minimize" else -1.0
    units = units_of_choice(space)
    left = [name for name, unit in units.items() if any(start.get(path) != end.get(path) for path in unit)]
    here, steps = dict(start), []
    first = forest.guesses(table_of(axes, [here]))[0]
    while left:
        mute = silent(here)
        names = [name for name in left if not all(path.startswith(mute) for path in units[name])]
        if not names:
            break
        candidates = [moved(here, end, units[name]) for name in names]
        guesses = forest.guesses(table_of(axes, candidates))
        best = min(range(len(names)), key=lambda n: sign * guesses[n].value)
        there, name = candidates[best], names[best]
        left.remove(name)
        steps.append(Step(name, units[name], _moves(axes, here, there, units[name]), guesses[best]))
        here = there
    return first, steps


def moved(here: Mapping[str, Scalar], end: Mapping[str, Scalar], unit: Sequence[str]) -> dict[str, Scalar]:
    """A point with the settings of one unit as they are at the end."""
    kept = {path: value for path, value in here.items() if path not in unit}
    return kept | {path: end[path] for path in unit if path in end}


def _moves(
    axes: Sequence[Axis], here: Mapping[str, Scalar], there: Mapping[str, Scalar], unit: Sequence[str]
) -> dict[str, tuple[str, str]]:
    of_unit = [axis for axis in axes if set(axis.paths) <= set(unit)]
    values = {axis.name: (axis.spoken(axis.of(here)), axis.spoken(axis.of(there))) for axis in of_unit}
    return {name: pair for name, pair in values.items() if pair[0] != pair[1]}
