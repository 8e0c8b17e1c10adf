"""Points that may be tried: new ones, which fulfil the constraints of the space."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from typing import Any

from optuna import Study
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.samplers import BaseSampler, RandomSampler
from optuna.trial import FrozenTrial

from mmsa.interface import Scalar
from mmsa.search.samplers.base import SamplerWrapper
from mmsa.search.space.constraints import PointConstraints
from mmsa.search.space.expressions import Expression
from mmsa.search.space.space import Space, setting_of

DRAWS = 300
"""Uniform draws before the values of the defaults, which fulfil all constraints, are taken."""
_FIXED = "fixed_params"  # where Optuna keeps the point of a trial that was enqueued


class AcceptedPoints(SamplerWrapper):
    """Asks another sampler again while its point breaks a constraint or was tried before.

    A trial that repeats another, seed and all, teaches nothing. After ``proposals`` attempts the parameters
    of broken constraints are drawn uniformly beside what the sampler chose for the others; all of them where
    the point is not new. As a last resort those parameters are as in the defaults. In a space with no new
    point left, an old one is repeated.

    Args:
        inner: the sampler.
        space: the space of the points.
        constraints: on those points.
        defaults: a complete point that fulfils the constraints.
        proposals: how often the sampler is asked before chance decides what stands in the way.
        seed: of the draws.
    """

    def __init__(
        self,
        inner: BaseSampler,
        space: Space,
        constraints: PointConstraints,
        defaults: Mapping[str, Scalar],
        proposals: int,
        seed: int,
    ):
        super().__init__(inner)
        self._proposals = proposals
        self._space, self._constraints, self._defaults = space, constraints, defaults
        self._chance = RandomSampler(seed=seed)
        self._tried: set[tuple[tuple[str, Scalar], ...]] = set()
        self._known = 0

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """All parameters: a point is accepted or refused as a whole."""
        return self._space.distributions()

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Values of all parameters of an accepted point."""
        modelled = self._inner.infer_relative_search_space(study, trial)
        if not search_space or _FIXED in trial.system_attrs or trial.params:
            # Its point is known, or begun: there is no choice, but the sampler may count its trials.
            params: dict[str, Any] = self._inner.sample_relative(study, trial, modelled)
            return params
        self._remember(study)
        params = self._chosen(study, trial, modelled)
        self._tried.add(_key(self._space.decode(params)))
        return params

    def _chosen(
        self, study: Study, trial: FrozenTrial, modelled: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        broken: list[Expression] = []
        wish: dict[str, Any] = {}
        for _ in range(self._proposals):
            proposed = self._inner.sample_relative(study, trial, modelled)
            wish = self._completed(study, trial, proposed, self._inner)
            point = self._space.decode(wish)
            broken = self._constraints.broken(point)
            if not broken and _key(point) not in self._tried:
                return wish
        free = self._constraints.involved(broken) if broken else set(self._space.parameters)
        kept = self._without(wish, free)
        for _ in range(DRAWS):
            params = self._completed(study, trial, kept, self._chance)
            point = self._space.decode(params)
            if _key(point) not in self._tried and not self._constraints.broken(point):
                return params
        if not broken:
            return wish
        decisive = self._constraints.involved(self._constraints.expressions)
        defaults = self._space.encode(self._defaults)
        others = self._without(defaults, decisive)
        fixed = {name: value for name, value in defaults.items() if name not in others}
        return self._completed(study, trial, self._without(wish, decisive) | fixed, self._chance)

    def _without(self, params: Mapping[str, Any], paths: Collection[str]) -> dict[str, Any]:
        """The parameters of other settings; a total goes with the coefficients that share it."""
        groups = {name for name, (_, members) in self._space.groups.items() if set(members) & set(paths)}
        return {name: value for name, value in params.items() if setting_of(name) not in {*paths, *groups}}

    def _completed(
        self, study: Study, trial: FrozenTrial, known: Mapping[str, Any], sampler: BaseSampler
    ) -> dict[str, Any]:
        """Complete what is known of a point with draws of ``sampler``."""
        draft = _Draft(
            known, lambda name, distribution: sampler.sample_independent(study, trial, name, distribution)
        )
        self._space.suggest(draft)
        return draft.params

    def _remember(self, study: Study) -> None:
        trials = study.get_trials(deepcopy=False)
        for trial in trials[self._known :]:
            with suppress(KeyError):  # its point is being chosen, or of another space
                self._tried.add(
                    _key(self._space.decode({**trial.system_attrs.get(_FIXED, {}), **trial.params}))
                )
        self._known = len(trials)

    def reseed_rng(self) -> None:
        """Draw other numbers from here on."""
        super().reseed_rng()
        self._chance.reseed_rng()


class _Draft:
    """Stands in for a trial whose point is not decided: what is suggested here is stored nowhere."""

    def __init__(self, known: Mapping[str, Any], draw: Callable[[str, BaseDistribution], Any]):
        self._known, self._draw = known, draw
        self.params: dict[str, Any] = {}

    def suggest_float(self, name: str, low: float, high: float, **settings: Any) -> float:
        return float(self._value(name, FloatDistribution(low, high, **settings)))

    def suggest_int(self, name: str, low: int, high: int, **settings: Any) -> int:
        return int(self._value(name, IntDistribution(low, high, **settings)))

    def suggest_categorical(self, name: str, choices: Sequence[Scalar]) -> Any:
        return self._value(name, CategoricalDistribution(choices))

    def _value(self, name: str, distribution: BaseDistribution) -> Any:
        known = name in self._known and distribution._contains(
            distribution.to_internal_repr(self._known[name])
        )
        self.params[name] = self._known[name] if known else self._draw(name, distribution)
        return self.params[name]


def _key(point: Mapping[str, Scalar]) -> tuple[tuple[str, Scalar], ...]:
    return tuple(sorted(point.items()))
