"""``type: shares``: coefficients that are searched as a total strength and how it is divided.

What the sampler sees of K coefficients is the total and, for each coefficient, a quantile in [0, 1].
Quantiles become weights, and weights become shares:

    quantile q_i  --Gamma(a_i) quantile function-->  weight g_i  --division by their sum-->  share s_i

For independent uniform quantiles the shares are exactly Dirichlet(a_1, ..., a_K), which normalised uniform
draws are not (Devroye 1986, section XI.4). All coefficients are treated alike, and any of them may be
missing: the rest of the weights, divided by their own sum, is Dirichlet distributed again.

K quantiles describe K - 1 free shares. The redundant direction is the sum of the weights, which is
independent of the shares and therefore tells nothing about a trial. Where no quantiles are known, as of a
start, ``encode`` returns those whose weights add up to their mean, a_1 + ... + a_K.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import takewhile
from typing import Annotated, Any, Literal

from optuna.distributions import BaseDistribution, FloatDistribution
from optuna.trial import Trial
from pydantic import Field, ValidationError, field_validator, model_validator
from scipy.special import gammainc, gammaincinv
from typing_extensions import override

from mmsa.config import Block, problems_of, refuse, refuse_all
from mmsa.errors import Problem, did_you_mean
from mmsa.interface import Scalar
from mmsa.search.space.parameters import GATE, BaseParameter, FloatParameter, Values

QUANTILE = ":quantile"
"""Suffix of the Optuna parameter that decides a coefficient's share; uniform on [0, 1].

Below the probability of ``zero`` the share is exactly 0; the rest of the interval is the quantile of its
weight. Shares vanish as their quantile approaches that probability, so an exact 0 lies beside the smallest
shares and needs no gate of its own.
"""

_UNITS = 2**26
_TOTAL_BITS = 27
# A share is a whole number of units, and a total has 27 significant bits. A double has 53, so that total
# times share is exact, and so is every sum of such coefficients, in any order: shares add up to 1 to the last
# bit.

_REACH = 2.0**-24
# Quantiles stay this far from 0 and 1. Closer to 1 a double could not tell weights apart as finely as a unit.

_TOLERANCE = 1e-6  # of sums that somebody wrote in decimals

Probability = Annotated[float, Field(gt=0.0, lt=1.0)]
Concentration = Annotated[float, Field(ge=0.1, le=30.0)]


class ShareConfig(Block):
    """How one of the coefficients takes part, where it differs from the others."""

    concentration: Concentration | None = None
    """Of its weight; what is written for all without it."""
    zero: Probability | None = None
    """Probability of exactly 0; what is written for all without it."""
    when: Mapping[str, Scalar | Values] = {}
    """Only while each parameter named here has the value, or one of the values, given. Otherwise the others
    share the total."""


class Shares(Block):
    """Coefficients that are shares of a total: their strength and their ratio are searched."""

    type: Literal["shares"]
    of: tuple[str, ...] | Mapping[str, ShareConfig | None]
    """The settings that are total times share: their paths, or a mapping to what is particular to each."""
    total: Annotated[float, Field(gt=0.0, allow_inf_nan=False)] | FloatParameter
    """What the coefficients add up to: a number, or a float parameter, which may have a ``zero``."""
    concentration: Concentration = 1.0
    """Of the Dirichlet distribution: 1 is uniform over all ratios, more prefers equal shares, less a few
    large ones."""
    zero: Probability | None = None
    """Probability of exactly 0, for each share."""
    when: Mapping[str, Scalar | Values] = {}
    """They exist only while each parameter named here has the value, or one of the values, given."""

    @field_validator("of", mode="wrap")
    @classmethod
    def _members(cls, value: object, _: object) -> tuple[str, ...] | Mapping[str, ShareConfig | None]:
        if isinstance(value, list | tuple) and value and all(isinstance(path, str) for path in value):
            repeated = [path for path in value if value.count(path) > 1]
            if repeated:
                raise refuse(repeated[0], "is named twice", "Keep one of the two.")
            return tuple(value)
        if isinstance(value, Mapping) and value:
            shares: dict[str, ShareConfig | None] = {}
            problems: list[Problem] = []
            for path, settings in value.items():
                try:
                    shares[str(path)] = None if settings is None else ShareConfig.model_validate(settings)
                except ValidationError as error:
                    problems += [
                        Problem(f"{path}.{p.path}", p.value, p.rule, p.next_step) for p in problems_of(error)
                    ]
            if problems:
                raise refuse_all(problems)
            return shares
        advice = "Write of: [objective.terms.cpc.weight, objective.terms.barber_agakov.weight], for instance."
        raise refuse(value, "must list the settings that share the total, or map them to {}", advice)

    @field_validator("total", mode="wrap")
    @classmethod
    def _total(cls, value: object, _: object) -> float | FloatParameter:
        if isinstance(value, FloatParameter):
            total = value
        elif isinstance(value, Mapping):
            total = FloatParameter.model_validate(value)
        elif isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < math.inf:
            return float(value)
        else:
            advice = "Write total: {type: float, low: 0.01, high: 1.0, log: true}, or a number above 0."
            raise refuse(value, "must be what the coefficients add up to", advice)
        if total.low <= 0:
            advice = "Write a small positive number; `zero: 0.1` adds an exact 0."
            raise refuse(total.low, "nothing can be divided: low must be above 0", advice, at=("low",))
        if total.step is not None:
            raise refuse(total.step, "a total has no steps", "Leave it out.", at=("step",))
        if total.when:
            raise refuse(
                dict(total.when), "a total exists while its shares do", "Write it beside `of`.", ("when",)
            )
        if total.high <= total.low * (1 + _TOLERANCE):
            raise refuse(total.high, f"must be clearly above low, which is {total.low}", "", at=("high",))
        return total

    @model_validator(mode="after")
    def _conditions_once(self) -> Shares:
        problems = [
            Problem(
                f"of.{path}.when.{parent}", parent, "is a condition of all coefficients already", "Keep one."
            )
            for path, share in self._each.items()
            for parent in share.when.keys() & self.when.keys()
        ]
        if problems:
            raise refuse_all(problems)
        return self

    @cached_property
    def _each(self) -> dict[str, ShareConfig]:
        settings = self.of if isinstance(self.of, Mapping) else dict.fromkeys(self.of)
        return {path: share or ShareConfig() for path, share in settings.items()}

    @property
    def parents(self) -> frozenset[str]:
        """The parameters that decide which of the coefficients exist."""
        return frozenset(self.when).union(*(share.when for share in self._each.values()))

    @property
    def members(self) -> tuple[str, ...]:
        """The paths of the coefficients."""
        return tuple(self.of)

    def text(self, name: str) -> str:
        """The group in words."""
        low, high = self.range
        total = f"a total of {low:g}" if low == high else f"a total from {low:g} to {high:g}"
        return f"shares {name}: {total} over {', '.join(self.members)}"

    def coefficients(self, name: str) -> dict[str, Coefficient]:
        """What each path is, in a group of this name."""
        return {
            path: Coefficient(when={**self.when, **share.when}, group=name, path=path, shares=self)
            for path, share in self._each.items()
        }

    def without(self, paths: Collection[str]) -> Shares | None:
        """The group of the other coefficients; None where none is left."""
        kept: Any = tuple(path for path in self.of if path not in paths)
        if isinstance(self.of, Mapping):
            kept = {path: self.of[path] for path in kept}
        return Shares.model_validate({**dict(self), "of": kept}) if kept else None

    def zero_below(self, path: str) -> float:
        """The quantile of a coefficient below which its share is exactly 0."""
        zero = self._each[path].zero
        return (self.zero if zero is None else zero) or 0.0

    @property
    def may_vanish(self) -> bool:
        """Whether the total has an exact 0 beside its range."""
        return isinstance(self.total, FloatParameter) and self.total.zero is not None

    @property
    def range(self) -> tuple[float, float]:
        """The smallest and the largest total above 0; the same number twice for a fixed one."""
        total = self.total
        return (total.low, total.high) if isinstance(total, FloatParameter) else (total, total)

    def distributions(self, name: str, members: Iterable[str]) -> dict[str, BaseDistribution]:
        """Every Optuna parameter of a group of this name with these coefficients, by Optuna name."""
        total = self.total.distributions(name) if isinstance(self.total, FloatParameter) else {}
        return {**total, **{path + QUANTILE: FloatDistribution(0.0, 1.0) for path in members}}

    def always(self, name: str, members: Iterable[str]) -> Iterator[str]:
        """Those of them that every point has."""
        if self.when:
            return
        if self.may_vanish:  # without a total there is nothing to divide
            yield name + GATE
            return
        everywhere = [path for path in members if not self._each[path].when]
        if isinstance(self.total, FloatParameter) and everywhere:
            yield name
        yield from (path + QUANTILE for path in everywhere)

    def suggest(self, trial: Trial, name: str, members: Collection[str]) -> dict[str, float]:
        """The coefficients that the trial's sampler chooses."""
        total = self.total.suggest(trial, name) if isinstance(self.total, FloatParameter) else self.total
        if total == 0:
            return dict.fromkeys(members, 0.0)
        quantiles = {path: trial.suggest_float(path + QUANTILE, 0.0, 1.0) for path in members}
        return self.divided(total, self.weights(quantiles))

    def decode(self, name: str, members: Collection[str], params: Mapping[str, Any]) -> dict[str, float]:
        """The coefficients that Optuna's parameters stand for."""
        total = self.total.decode(name, params) if isinstance(self.total, FloatParameter) else self.total
        if total == 0:
            return dict.fromkeys(members, 0.0)
        return self.divided(total, self.weights({path: params[path + QUANTILE] for path in members}))

    def encode(self, name: str, coefficients: Mapping[str, float]) -> dict[str, Any]:
        """Optuna's parameters for coefficients of any total and ratio, or for the nearest that can be had.

        ``decode`` returns to the last bit what it has returned before, unless one quantile was at 0 while
        another was at 1. Of other coefficients it returns the shares to within 2^-26, and the total to within
        2^-27 of it.
        """
        total = math.fsum(coefficients.values())
        if total == 0 and self.may_vanish:
            assert isinstance(self.total, FloatParameter)
            return self.total.encode(name, 0.0)
        params: dict[str, Any] = {}
        if isinstance(self.total, FloatParameter):
            # A total of which every share is 0 has no influence: of all values it gets the middle one.
            inside = min(max(total, self.total.low), self.total.high) if total else _middle(self.total)
            params = self.total.encode(name, inside)
        quantiles = self.quantiles(coefficients)
        return {**params, **{path + QUANTILE: quantile for path, quantile in quantiles.items()}}

    def weights(self, quantiles: Mapping[str, float]) -> dict[str, float]:
        """Gamma distributed weights, or exactly 0, by path: the shares before division by their sum."""
        weights = dict.fromkeys(quantiles, 0.0)
        for path, quantile in quantiles.items():
            zero = self.zero_below(path)
            if quantile >= zero:
                inside = min(max((quantile - zero) / (1 - zero), _REACH), 1 - _REACH)
                weights[path] = float(gammaincinv(self._concentration(path), inside))
        return weights

    def quantiles(self, weights: Mapping[str, float]) -> dict[str, float]:
        """Of all quantiles whose weights have this ratio, those whose weights add up to their mean.

        What a quantile cannot come to, such as a share of 0 that has no probability, gets the nearest one.
        """
        total = math.fsum(weights.values()) or 1.0
        positive = (path for path, weight in weights.items() if weight > 0 or not self.zero_below(path))
        shares = {path: max(weights[path] / total, 1 / _UNITS) for path in positive}
        a = {path: self._concentration(path) for path in shares}
        # The sum is another one where the quantile of some weight would come too close to 0 or 1.
        smallest = [float(gammaincinv(a[path], _REACH)) / share for path, share in shares.items()]
        largest = [float(gammaincinv(a[path], 1 - _REACH)) / share for path, share in shares.items()]
        scale = min(max(math.fsum(a.values()), *smallest), *largest) if shares else 0.0
        quantiles = {path: self.zero_below(path) / 2 for path in weights}
        for path, share in shares.items():
            zero, inside = self.zero_below(path), float(gammainc(a[path], scale * share))
            quantiles[path] = zero + (1 - zero) * min(max(inside, _REACH), 1 - _REACH)
        return quantiles

    def problems(self, name: str, coefficients: Mapping[str, Scalar]) -> Iterator[Problem]:
        """Why these are not coefficients of the group; paths are theirs."""
        wrong = [
            Problem(path, value, "must be a number, 0 or more")
            for path, value in coefficients.items()
            if isinstance(value, bool | str) or not 0 <= value < math.inf
        ]
        if wrong or not coefficients:
            yield from wrong
            return
        values = {path: float(value) for path, value in coefficients.items()}
        total = math.fsum(values.values())
        if total == 0 and self.may_vanish:
            return
        for path, value in values.items():
            if value == 0 and not self.zero_below(path):
                advice = f"Write a `zero` for it in {name}, the probability that it is exactly 0."
                yield Problem(path, value, "must be above 0", advice)
        low, high = self.range
        if total and not low * (1 - _TOLERANCE) <= total <= high * (1 + _TOLERANCE):
            path, value = next(iter(values.items()))
            wanted = f"{low:g}" if low == high else f"from {low:g} to {high:g}"
            rule = f"with the other coefficients of {name} adds up to {total:.6g}, and the total is {wanted}"
            yield Problem(path, value, rule, "Change the coefficients, or the total.")

    def divided(self, total: float, shares: Mapping[str, float]) -> dict[str, float]:
        """Total times share, the shares rounded so that they add up to 1; all 0 for a total of 0."""
        if total == 0 or not any(shares.values()):
            return dict.fromkeys(shares, 0.0)
        units = _apportioned({path: share for path, share in shares.items() if share > 0})
        strength = _rounded(total, *self.range)
        return {path: strength * units.get(path, 0) / _UNITS for path in shares}

    def evenly(self, members: Iterable[str], total: float) -> dict[str, float]:
        """The mean of the Dirichlet distribution, times a total."""
        return self.divided(total, {path: self._concentration(path) for path in members})

    def nearest(self, coefficients: Mapping[str, float]) -> dict[str, float]:
        """Coefficients that the group can have, with the total moved into its range and even shares."""
        low, high = self.range
        return self.evenly(coefficients, min(max(math.fsum(coefficients.values()), low), high))

    def extremes(self, path: str, members: Collection[str]) -> Iterator[dict[str, float]]:
        """Coefficients in which that of ``path`` is 0 where it may be, the smallest, and the largest."""
        low, high = self.range
        others = [other for other in members if other != path]
        if self.may_vanish:
            yield dict.fromkeys(members, 0.0)
        if self.zero_below(path):
            yield {**self.evenly(others, low), path: 0.0}
        even = {other: self._concentration(other) for other in others}
        least = 1 / _UNITS
        yield self.divided(low, {path: least * (math.fsum(even.values()) or 1.0), **even})
        # Not 0 for the others: beside one that has no effect on the data, nothing would be left to build.
        yield self.divided(high, {path: 1.0, **dict.fromkeys(others, least)})

    def _concentration(self, path: str) -> float:
        own = self._each[path].concentration
        return self.concentration if own is None else own


class SharesStart(Block):
    """Where a search begins: a total, shares of it, or both; what is not written is as in the base."""

    total: Annotated[float, Field(ge=0.0, allow_inf_nan=False)] | None = None
    """What the coefficients add up to."""
    shares: Mapping[str, Annotated[float, Field(ge=0.0, le=1.0)]] | None = None
    """By path; they add up to 1, and a coefficient that is not named has the share 0."""

    def problems(
        self, name: str, shares: Shares, present: Mapping[str, float], written: Collection[str]
    ) -> Iterator[Problem]:
        """Why this says nothing, too much, or something that does not fit.

        Args:
            name: of the group.
            shares: the group.
            present: the coefficients that exist there, with their values in the base.
            written: the paths that the same start gives values of.
        """
        for path in shares.members:
            if path in written:
                rule = f"is given as a coefficient and as a share of {name}"
                yield Problem(path, path, rule, "Keep one of the two.")
        for path in self.shares or ():
            if path not in present:
                advice = did_you_mean(path, present)
                yield Problem(f"{name}.shares", path, "has no share of this total there", advice)
        total = math.fsum((self.shares or {"": 1.0}).values())
        if abs(total - 1) > _TOLERANCE:
            yield Problem(
                f"{name}.shares", total, "must add up to 1", "Write what is missing, or take it away."
            )
        low, high = shares.range
        if self.total and not low <= self.total <= high:
            wanted = f"{low:g}" if low == high else f"from {low:g} to {high:g}"
            yield Problem(
                f"{name}.total", self.total, f"must be {wanted}", "Or widen the range of the total."
            )
        if not present:
            yield Problem(name, None, "does not exist here", "None of its coefficients does.")

    def coefficients(self, shares: Shares, present: Mapping[str, float]) -> dict[str, float]:
        """The coefficients that this stands for.

        Args:
            shares: the group.
            present: the coefficients that exist there, with their values in the base.
        """
        total = math.fsum(present.values()) if self.total is None else self.total
        ratio = present if self.shares is None else {path: self.shares.get(path, 0.0) for path in present}
        return shares.divided(total, ratio)

    def without(self, paths: Collection[str]) -> SharesStart:
        """The same total and ratio of the other coefficients."""
        kept = {path: share for path, share in (self.shares or {}).items() if path not in paths}
        total = math.fsum(kept.values())
        shares = {path: share / total for path, share in kept.items()} if total else None
        return SharesStart(total=self.total, shares=shares)


class Coefficient(BaseParameter):
    """One setting whose value is a share of a total, as a space knows it; no file writes one."""

    group: str
    """Name of the shares."""
    path: str
    """Of the setting."""
    shares: Shares

    @override
    def after(self) -> frozenset[str]:
        # Which of the others exist decides how the total is divided: the group is decided as a whole.
        return self.shares.parents

    @property
    def zero(self) -> float | None:
        """Probability of an exact 0, whatever the total."""
        return self.shares.zero_below(self.path) or None

    @override
    def distributions(self, path: str) -> dict[str, BaseDistribution]:
        return {path + QUANTILE: FloatDistribution(0.0, 1.0)}

    @override
    def takes(self, value: object) -> bool:
        return not isinstance(value, bool | str) and isinstance(value, int | float) and 0 <= value < math.inf

    @override
    def corners(self) -> tuple[Scalar, ...]:
        return tuple(point[self.path] for point in self.shares.extremes(self.path, self.shares.members))

    @override
    def rule(self) -> str:
        return f"must be a coefficient of {self.group}"


@dataclass(frozen=True)
class Division:
    """How the total of a group is divided at one point.

    Attributes:
        total: what the coefficients add up to.
        shares: of each coefficient that exists there, by path; none where the total is 0.
    """

    total: float
    shares: Mapping[str, float]

    @classmethod
    def of(cls, coefficients: Mapping[str, float]) -> Division:
        """Read the coefficients of a configuration."""
        total = math.fsum(coefficients.values())
        return cls(total, {path: value / total for path, value in coefficients.items()} if total else {})

    def entries(self, name: str) -> dict[str, float]:
        """The total under the name of the group, and below it each share, by what tells its path apart."""
        common = len(_common(self.shares))
        return {name: self.total, **{f"{name}/{path[common:]}": share for path, share in self.shares.items()}}

    def text(self, name: str) -> str:
        """The division in words."""
        common = len(_common(self.shares))
        parts = " + ".join(f"{share:.1%} {path[common:]}" for path, share in self.shares.items())
        return f"{name}: {self.total:.4g}" + (f" = {parts}" if parts else "")


def _common(paths: Iterable[str]) -> str:
    """The blocks that all paths lie in, with the dot behind them."""
    blocks = [path.split(".")[:-1] for path in paths]
    shared = takewhile(lambda names: len(set(names)) == 1, zip(*blocks, strict=False))
    return "".join(f"{names[0]}." for names in shared)


def _middle(total: FloatParameter) -> float:
    return math.sqrt(total.low) * math.sqrt(total.high) if total.log else (total.low + total.high) / 2


def _rounded(total: float, low: float, high: float) -> float:
    """The nearest number of 27 significant bits in the range; beside it only where the range is a point."""
    mantissa, exponent = math.frexp(min(max(total, low), high))
    unit = math.ldexp(1.0, exponent - _TOTAL_BITS)
    whole = round(math.ldexp(mantissa, _TOTAL_BITS))
    if low < high:
        whole += (whole * unit < low) - (whole * unit > high)
    return whole * unit


def _apportioned(weights: Mapping[str, float]) -> dict[str, int]:
    """Whole units in the ratio of the weights, at least one each, so that no zero comes from rounding."""
    total = math.fsum(weights.values())
    units = {path: max(1, round(_UNITS * (weight / total))) for path, weight in weights.items()}
    # Rounding leaves a few units over, or takes a few too many: the largest share feels it least.
    units[max(units, key=units.__getitem__)] += _UNITS - sum(units.values())
    return units
