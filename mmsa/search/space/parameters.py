"""The vocabulary of a search space: what a parameter may be, and which values it takes.

Every parameter stands for one native Optuna distribution (and, with ``zero``, a gate beside it), so that what
the study stores can be read by any Optuna tool and modelled by any sampler.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from decimal import Decimal
from functools import cached_property
from typing import Annotated, Any, Literal

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.trial import Trial
from pydantic import Field, field_validator, model_validator
from typing_extensions import override

from mmsa.config import Block, refuse, without_dot
from mmsa.errors import ConfigError, Problem
from mmsa.interface import Scalar
from mmsa.search.space.expressions import Formula, Meaningless, parse_formula

Whole = Annotated[int, Field(ge=-(2**53), le=2**53)]
"""Whole numbers that samplers, which see doubles, can tell apart."""
Finite = Annotated[float, Field(allow_inf_nan=False)]
Values = Annotated[tuple[Scalar, ...], Field(strict=False)]

GATE = ":zero"
"""Suffix of the Optuna parameter that decides whether a parameter with ``zero`` is exactly 0.

It is uniform on [0, 1]; below the probability of ``zero`` the value is 0, and the parameter itself is not
sampled.
"""

_MOST_STEPS = 10**9
_GRID_TOLERANCE = 1e-8  # multiples of a decimal step are not exact in binary


def same(one: object, other: object) -> bool:
    """Equality that tells True from 1, and 1 from 1.0."""
    return type(one) is type(other) and one == other


class BaseParameter(Block):
    """Base of all kinds of parameters."""

    when: Mapping[str, Scalar | Values] = {}
    """The parameter exists only while each one named here has the value, or one of the values, given."""

    def conditions(self) -> dict[str, tuple[Scalar, ...]]:
        """The allowed values of each parent."""
        return {path: value if isinstance(value, tuple) else (value,) for path, value in self.when.items()}

    def parents(self) -> frozenset[str]:
        """The parameters that have to exist for it to exist."""
        return frozenset(self.when)

    def after(self) -> frozenset[str]:
        """The parameters that have to be decided first."""
        return self.parents()

    def distribution(self) -> BaseDistribution:
        """The Optuna distribution of the parameter's values."""
        raise NotImplementedError

    def distributions(self, path: str) -> dict[str, BaseDistribution]:
        """Every Optuna parameter that stands for this one, by Optuna name."""
        return {path: self.distribution()}

    def takes(self, value: object) -> bool:
        """Whether the parameter can have this value."""
        raise NotImplementedError

    def corners(self) -> tuple[Scalar, ...]:
        """The extreme values, or every choice."""
        raise NotImplementedError

    def rule(self) -> str:
        """Which values it takes, in words."""
        raise NotImplementedError

    def suggest(self, trial: Trial, path: str) -> Scalar:
        """The value that the trial's sampler chooses."""
        raise NotImplementedError

    def encode(self, path: str, value: Scalar) -> dict[str, Any]:
        """The Optuna parameters that ``decode`` turns into ``value``."""
        return {path: value}

    def decode(self, path: str, params: Mapping[str, Any]) -> Scalar:
        """The value that Optuna's parameters stand for."""
        value: Scalar = params[path]
        return value


class FloatParameter(BaseParameter):
    """A real number between ``low`` and ``high``, both included."""

    type: Literal["float"]
    low: Finite
    high: Finite
    log: bool = False
    """Sample the logarithm uniformly."""
    step: Annotated[float, Field(gt=0.0, allow_inf_nan=False)] | None = None
    """Distance of neighbouring values on a grid that starts at ``low``."""
    zero: Annotated[float, Field(gt=0.0, lt=1.0)] | None = None
    """Probability of exactly 0, beside the range."""

    @model_validator(mode="after")
    def _check(self) -> FloatParameter:
        _check_range(self.low, self.high, self.log, self.step)
        if self.log and self.low <= 0:
            advice = "Write a small positive number; `zero: 0.1` adds an exact 0 to a logarithmic range."
            raise refuse(self.low, "low must be above 0 when log is true", advice, at=("low",))
        return self

    @override
    def distribution(self) -> FloatDistribution:
        return FloatDistribution(self.low, self.high, log=self.log, step=self.step)

    @override
    def distributions(self, path: str) -> dict[str, BaseDistribution]:
        gate = {} if self.zero is None else {path + GATE: FloatDistribution(0.0, 1.0)}
        return {**gate, path: self.distribution()}

    @override
    def takes(self, value: object) -> bool:
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            return False
        return (self.zero is not None and value == 0) or _in_range(value, self.low, self.high, self.step)

    @override
    def corners(self) -> tuple[Scalar, ...]:
        return (self.low, self.high) if self.zero is None else (0.0, self.low, self.high)

    @override
    def rule(self) -> str:
        grid = "" if self.step is None else f" in steps of {self.step}"
        return f"must be from {self.low} to {self.high}{grid}{'' if self.zero is None else ', or 0'}"

    @override
    def suggest(self, trial: Trial, path: str) -> float:
        if self.zero is not None and trial.suggest_float(path + GATE, 0.0, 1.0) < self.zero:
            return 0.0
        value: float = trial.suggest_float(path, self.low, self.high, log=self.log, step=self.step)
        return value

    @override
    def encode(self, path: str, value: Scalar) -> dict[str, Any]:
        number = float(value)
        if self.zero is None:
            return {path: number}
        if number == 0:
            return {path + GATE: self.zero / 2}
        return {path + GATE: (1 + self.zero) / 2, path: number}

    @override
    def decode(self, path: str, params: Mapping[str, Any]) -> float:
        if self.zero is not None and params[path + GATE] < self.zero:
            return 0.0
        return float(params[path])


class IntParameter(BaseParameter):
    """A whole number between ``low`` and ``high``, both included."""

    type: Literal["int"]
    low: Whole
    high: Whole
    log: bool = False
    """Sample the logarithm uniformly."""
    step: Annotated[int, Field(gt=0)] | None = None
    """Distance of neighbouring values on a grid that starts at ``low``."""

    @model_validator(mode="after")
    def _check(self) -> IntParameter:
        _check_range(self.low, self.high, self.log, self.step)
        if self.log and self.low < 1:
            raise refuse(self.low, "low must be 1 or more when log is true", "Write low: 1.", at=("low",))
        return self

    @override
    def distribution(self) -> IntDistribution:
        return IntDistribution(self.low, self.high, log=self.log, step=self.step or 1)

    @override
    def takes(self, value: object) -> bool:
        return type(value) is int and _in_range(value, self.low, self.high, self.step)

    @override
    def corners(self) -> tuple[Scalar, ...]:
        return (self.low, self.high)

    @override
    def rule(self) -> str:
        grid = "" if self.step is None else f" in steps of {self.step}"
        return f"must be a whole number from {self.low} to {self.high}{grid}"

    @override
    def suggest(self, trial: Trial, path: str) -> int:
        value: int = trial.suggest_int(path, self.low, self.high, log=self.log, step=self.step or 1)
        return value


class CategoricalParameter(BaseParameter):
    """One of a few words, numbers or truth values, without an order."""

    type: Literal["categorical"]
    choices: Annotated[tuple[Scalar, ...], Field(strict=False, max_length=1000)]
    """At least two different values, all of one type."""

    @field_validator("choices", mode="before")
    @classmethod
    def _scalars(cls, choices: object) -> object:
        for position, choice in enumerate(choices if isinstance(choices, (list, tuple)) else ()):
            if not isinstance(choice, (bool, int, float, str)):
                advice = "Give each alternative a name that the configuration understands, such as `small`."
                raise refuse(
                    choice, "a choice must be a word, a number, or true or false", advice, (position,)
                )
            if isinstance(choice, str) and (advice := without_dot(choice)):
                raise refuse(choice, "is a number that YAML reads as text", advice, (position,))
            if isinstance(choice, float) and choice - choice != 0:
                raise refuse(choice, "a choice must be finite", "", (position,))
        return choices

    @field_validator("choices", mode="after")
    @classmethod
    def _distinct(cls, choices: tuple[Scalar, ...]) -> tuple[Scalar, ...]:
        if len(choices) < 2:
            raise refuse(choices, "needs at least two choices", "Write a single value in `base` instead.")
        if len({type(choice) for choice in choices}) > 1:
            kinds = ", ".join(sorted({type(choice).__name__ for choice in choices}))
            raise refuse(choices, f"choices must be of one type, not {kinds}", "Write 1.0 beside 0.5, not 1.")
        repeated = [choice for choice in choices if choices.count(choice) > 1]
        if repeated:
            raise refuse(choices, f"{repeated[0]!r} is a choice twice", "Keep one of the two.")
        return choices

    @override
    def distribution(self) -> CategoricalDistribution:
        return CategoricalDistribution(self.choices)

    @override
    def takes(self, value: object) -> bool:
        return any(same(value, choice) for choice in self.choices)

    @override
    def corners(self) -> tuple[Scalar, ...]:
        return self.choices

    @override
    def rule(self) -> str:
        return f"must be one of {', '.join(map(repr, self.choices))}"

    @override
    def suggest(self, trial: Trial, path: str) -> Scalar:
        value: Scalar = trial.suggest_categorical(path, self.choices)
        return value


class TiedParameter(BaseParameter):
    """A setting that follows others, and is not chosen by itself."""

    same_as: str
    """The parameter that it equals, or what is calculated from parameters, such as
    ``2 * model.audio.hidden``. It exists while all of these do."""

    @field_validator("same_as")
    @classmethod
    def _readable(cls, text: str) -> str:
        parse_formula(text)
        return text

    @cached_property
    def formula(self) -> Formula:
        """``same_as``, parsed."""
        return parse_formula(self.same_as)

    def follow(self, path: str, values: Mapping[str, Scalar]) -> Scalar:
        """Calculate the value from ``values``, which hold everything it follows.

        Raises:
            ConfigError: where nothing can be calculated from them.
        """
        try:
            return self.formula.value(values.__getitem__)
        except Meaningless as error:
            raise ConfigError("space", [Problem(path, self.same_as, str(error))]) from None

    @override
    def parents(self) -> frozenset[str]:
        return super().parents() | self.formula.paths

    @override
    def distributions(self, path: str) -> dict[str, BaseDistribution]:
        return {}

    @override
    def takes(self, value: object) -> bool:
        return isinstance(value, Scalar)

    @override
    def corners(self) -> tuple[Scalar, ...]:
        return ()

    @override
    def rule(self) -> str:
        return f"is the same as {self.same_as}"

    @override
    def encode(self, path: str, value: Scalar) -> dict[str, Any]:
        return {}


RangedParameter = FloatParameter | IntParameter | CategoricalParameter
Parameter = RangedParameter | TiedParameter
PARAMETER_TYPES: Mapping[str, type[RangedParameter]] = {
    "float": FloatParameter,
    "int": IntParameter,
    "categorical": CategoricalParameter,
}


def _check_range(low: float, high: float, log: bool, step: float | None) -> None:
    if low > high:
        raise refuse(high, f"high must be above low, which is {low}", "Exchange the two.", at=("high",))
    if low == high:
        raise refuse(high, "high must be above low", "Write a single value in `base` instead.", at=("high",))
    if not math.isfinite(high - low):
        raise refuse(high, "the range is wider than a float can tell", "Write a narrower one.", at=("high",))
    if log and step is not None:
        raise refuse(step, "step and log exclude each other", "Remove one of the two.", at=("step",))
    if step is not None:
        # As the decimals that were written, which is how Optuna reads them: 0.3 is three times 0.1.
        start, end, stride = Decimal(str(low)), Decimal(str(high)), Decimal(str(step))
        if (end - start) / stride > _MOST_STEPS:
            rule = f"makes more than {_MOST_STEPS:,} values of the range"
            raise refuse(step, rule, "Leave it out, or write a larger one.", at=("step",))
        last = start + (end - start) // stride * stride
        if last != end:
            rule = f"high must be a whole number of steps of {step} above low"
            advice = f"Write high: {last if last > start else start + stride}."
            raise refuse(high, rule, advice, at=("high",))


def _in_range(value: float, low: float, high: float, step: float | None) -> bool:
    if not low <= value <= high:
        return False
    steps = (value - low) / (step or 1)
    return step is None or abs(steps - round(steps)) <= _GRID_TOLERANCE * max(1.0, steps)
