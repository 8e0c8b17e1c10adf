"""What earlier studies know of a space: their best points, as a density that a new study draws from.

Coefficients are normalised, so a good value in one study means the same in another. Whether it is good there
as well is checked while the study runs: see ``PriorSampler``.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from optuna import Study
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.samplers import BaseSampler
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState
from typing_extensions import override

from mmsa.interface import Scalar
from mmsa.search.samplers.base import SamplerWrapper, total_violation
from mmsa.search.samplers.unit import from_unit, to_unit
from mmsa.search.space.parameters import GATE, CategoricalParameter, Parameter
from mmsa.search.space.shares import QUANTILE, Coefficient
from mmsa.search.space.space import Space
from mmsa.seeding import derive_seed

Point = Mapping[str, Scalar]

FIRST_SHARE = 0.5
"""Part of the first trials that is drawn from the prior."""
HALF_LIFE = 20
"""Trials in which this part halves."""
ORIGIN = "origin"
"""Note of a trial that says where its point came from: ``prior`` or ``sampler``."""

_NUMERIC = (FloatDistribution, IntDistribution)
# Of a kernel: equal points of an earlier study do not mean that the optimum is exactly there.
_NARROWEST = 0.02


class Density:
    """A Parzen estimate of where good points of a space lie, from points of other spaces.

    The kernel is a product: a normal distribution truncated to [0, 1] for numbers (on the logarithm where the
    space has it) with Scott's bandwidth ``sd n^(-1 / (d + 4))``; for choices and for whether a value is
    exactly 0, the point's own with probability n / (n + 1), else any, which is add-one smoothing of counts.

    Args:
        space: the space that points are drawn for.
        points: points of other spaces. A parameter counts where the dotted path is the same and the value can
            be had; numbers outside the range are moved to its nearest end. Of shares, the coefficients that a
            point has count by their ratio, whether or not they were searched as shares there.
    """

    def __init__(self, space: Space, points: Sequence[Point]):
        self._space = space
        self._centres = [centre for point in points if (centre := _centre(space, point))]
        self._distributions = space.distributions()
        self._widths = {name: self._width(name) for name in {n for c in self._centres for n in c}}

    @property
    def covered(self) -> list[str]:
        """The parameters of the space that some earlier point has a value for."""
        names = (GATE, QUANTILE, "")
        return [p for p in self._space.parameters if {p + suffix for suffix in names} & self._widths.keys()]

    def draw(self, name: str, distribution: BaseDistribution, seed: int) -> Any:
        """Draw a value of the Optuna parameter ``name``; all parameters of a point share one ``seed``."""
        random = np.random.default_rng((seed, derive_seed(name)))
        centre = self._centres[seed % len(self._centres)].get(name)
        from scipy.stats import truncnorm

        zero = self._space.zero_below(name) if name.endswith((GATE, QUANTILE)) else 0.0
        discrete = isinstance(distribution, CategoricalDistribution) or zero > 0
        if centre is None or (discrete and random.random() < 1 / (len(self._centres) + 1)):
            return from_unit(distribution, random.random())
        if isinstance(distribution, CategoricalDistribution):
            return centre
        if zero and centre < zero:
            return random.uniform(0.0, zero)
        if name.endswith(GATE):
            return random.uniform(zero, 1.0)
        assert isinstance(distribution, _NUMERIC)
        position, width = to_unit(distribution, centre), self._widths[name]
        bounds = (zero - position) / width, (1 - position) / width
        return from_unit(distribution, float(truncnorm.rvs(*bounds, position, width, random_state=random)))

    def _width(self, name: str) -> float:
        distribution = self._distributions[name]
        if not isinstance(distribution, _NUMERIC):
            return 0.0
        positions = [to_unit(distribution, centre[name]) for centre in self._centres if name in centre]
        shrink = len(positions) ** (-1 / (len(self._distributions) + 4))
        return max(_NARROWEST, float(np.std(positions) * shrink))


def _centre(space: Space, point: Point) -> dict[str, Any]:
    """Translate a point of another space into Optuna's parameters of this one."""
    centre: dict[str, Any] = {}
    for name, (shares, members) in space.groups.items():
        known = {path: point[path] for path in members if path in point}
        taken = {path: float(value) for path, value in known.items() if space.parameters[path].takes(value)}
        if taken:
            centre |= shares.encode(name, taken)
    for path, parameter in space.parameters.items():
        if isinstance(parameter, Coefficient):
            continue
        if path in point and (value := _nearest(parameter, point[path])) is not None:
            centre |= parameter.encode(path, value)
    return centre


def _nearest(parameter: Parameter, value: Scalar) -> Scalar | None:
    """Return the nearest value that the parameter can have; None for a value of another kind."""
    if parameter.takes(value):
        return value
    if isinstance(parameter, CategoricalParameter) or isinstance(value, bool | str):
        return None
    distribution = parameter.distribution()
    inside = min(max(value, distribution.low), distribution.high)
    nearest: Scalar = from_unit(distribution, to_unit(distribution, inside))
    return nearest


class PriorSampler(SamplerWrapper):
    """Draws some trials from a prior, the others from a sampler, which learns from all of them.

    Of the t-th chosen trial, the probability to be drawn from the prior is

        FIRST_SHARE * 2 ** (-t / HALF_LIFE) * min(1, 2 P)

    P is the p-value of the one-sided Mann-Whitney test that values of the prior's trials are worse than those
    of the sampler's; what did not complete, or breaks a bound, is worse than all else. Chance alone leaves P
    near 1/2, so a prior is trusted until it is seen to mislead, and a few trials are enough to see that. With
    several objectives the first is compared.

    All of this is derived from the study: a driver that goes on with it decides as the first would have done.
    """

    def __init__(self, sampler: BaseSampler, density: Density, seed: int):
        super().__init__(sampler)
        self._density, self._seed = density, seed
        self._attempts: Counter[int] = Counter()

    @override
    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        if ORIGIN not in trial.system_attrs and "fixed_params" not in trial.system_attrs:
            chance = np.random.default_rng(derive_seed("origin", self._seed, trial.number)).random()
            origin = "prior" if chance < self.share(study) else "sampler"
            study._storage.set_trial_system_attr(trial._trial_id, ORIGIN, origin)
            trial.system_attrs[ORIGIN] = origin  # in Optuna's copy, which the methods below are given
        super().before_trial(study, trial)

    def share(self, study: Study) -> float:
        """The probability that the next trial is drawn from the prior."""
        values: dict[str, list[float]] = {"prior": [], "sampler": []}
        chosen = 0
        for trial in study.get_trials(deepcopy=False):
            if origin := trial.system_attrs.get(ORIGIN):
                chosen += 1
                if trial.state.is_finished():
                    values[origin].append(_badness(study, trial))
        return FIRST_SHARE * math.exp2(-chosen / HALF_LIFE) * trust(values["prior"], values["sampler"])

    @override
    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        if trial.system_attrs.get(ORIGIN) == "prior":
            self._attempts[trial.number] += 1  # a point that breaks a constraint is not drawn again
            return {}
        return super().sample_relative(study, trial, search_space)

    @override
    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        if trial.system_attrs.get(ORIGIN) == "prior":
            seed = derive_seed("prior", self._seed, trial.number, self._attempts[trial.number])
            return self._density.draw(param_name, param_distribution, seed)
        return super().sample_independent(study, trial, param_name, param_distribution)


def trust(prior: Sequence[float], sampler: Sequence[float]) -> float:
    """``min(1, 2 P)`` of ``PriorSampler`` for values of which smaller ones are better."""
    from scipy.stats import mannwhitneyu

    if not prior or not sampler or len({*prior, *sampler}) == 1:
        return 1.0
    worse = mannwhitneyu(prior, sampler, alternative="greater", method="asymptotic").pvalue
    return min(1.0, 2.0 * float(worse))


def _badness(study: Study, trial: FrozenTrial) -> float:
    if trial.state != TrialState.COMPLETE or total_violation(trial):
        return math.inf
    value = float(trial.values[0])
    return value if study.directions[0] == StudyDirection.MINIMIZE else -value
