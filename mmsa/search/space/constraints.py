"""What points and results of a study have to fulfil.

A condition on the configuration is known before a trial: points that break it are not tried. A bound on a
metric is known only afterwards: trials that break it are remembered as infeasible.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from optuna import create_study
from optuna.samplers import RandomSampler

from mmsa.config import MISSING, Block, refuse, walk, with_overrides
from mmsa.errors import ConfigError, Problem, did_you_mean
from mmsa.interface import Scalar
from mmsa.search.space.checks import dotted, metric_problem
from mmsa.search.space.expressions import Expression, Meaningless, NotApplicable, parse_expression
from mmsa.search.space.space import Space

_METRIC = re.compile(r"\s*(?P<metric>(?:valid|test|information|cost)/[^\s<>=]*)(?P<rest>.*)", re.DOTALL)
_BOUND = re.compile(r"\s*(?P<order><=|>=)\s*(?P<bound>\S+)\s*")
_NUM_DRAWN = 1000
_ENOUGH_ACCEPTED = 20


@dataclass(frozen=True)
class MetricBound:
    """A bound on a metric of a trial's best epoch.

    Attributes:
        text: the bound as it was written.
        metric: what is bounded.
        upper: whether the metric must be at most, not at least, ``bound``.
        bound: the number.
    """

    text: str
    metric: str
    upper: bool
    bound: float

    def excess(self, value: float) -> float:
        """By how much ``value`` breaks the bound; 0 or less where it does not."""
        return value - self.bound if self.upper else self.bound - value


def parse_constraint(text: str) -> Expression | MetricBound:
    """Parse a constraint of either kind.

    Raises:
        ValidationError: as a configuration block raises it, for anything else.
    """
    named = _METRIC.fullmatch(text)
    if named is None:
        return parse_expression(text)
    if problem := metric_problem(named["metric"]):
        raise refuse(text, f"{named['metric']} {problem.rule}", problem.next_step)
    bound = _BOUND.fullmatch(named["rest"])
    try:
        number = float(bound["bound"]) if bound else math.nan
    except ValueError:
        number = math.nan
    if bound is None or not math.isfinite(number):
        order = ">=" if named["rest"].lstrip().startswith(">") else "<="
        advice = f"Write {named['metric']} {order} 0.5, for instance."
        raise refuse(text, "a metric is compared with one number, by <= or >=", advice)
    return MetricBound(text, named["metric"], bound["order"] == "<=", number)


class PointConstraints:
    """Conditions on the configuration that a point of a space makes of a base."""

    def __init__(self, expressions: Sequence[Expression], space: Space, base: Block):
        self.expressions, self._space, self._base = tuple(expressions), space, base

    def broken(self, point: Mapping[str, Scalar]) -> list[Expression]:
        """Return the conditions that ``point`` breaks; one that has no meaning there counts as broken."""
        values = _Values(self._space, self._base, point)
        return [expression for expression in self.expressions if not _holds(expression, values)]

    def involved(self, expressions: Iterable[Expression]) -> set[str]:
        """Return the parameters that decide whether ``expressions`` hold."""
        paths = {path for expression in expressions for path in expression.paths}
        direct = {
            parameter
            for parameter in self._space.parameters
            for path in paths
            if path == parameter or (parameter.endswith(".name") and path.startswith(parameter[:-4]))
        }
        direct |= {
            member for path in paths & self._space.groups.keys() for member in self._space.groups[path][1]
        }
        direct = self._space.followed(direct)
        return direct.union(*(self._space.required[path] for path in direct))

    def problems(self) -> Iterator[Problem]:
        """Find paths that no configuration has, and conditions that the base breaks.

        Trial 0 is the base, so that a space in which nothing holds is found here as well.
        """
        known = self._known()
        for expression in self.expressions:
            unknown = sorted(expression.paths - known)
            if unknown:
                rule = f"{unknown[0]} is not a setting or a parameter"
                yield Problem("", expression.text, rule, did_you_mean(unknown[0], known))
            elif problem := self._base_problem(expression):
                yield problem

    def _base_problem(self, expression: Expression) -> Problem | None:
        values = _Values(self._space, self._base, self._space.values_of(self._base))
        try:
            if expression.holds(values.at):
                return None
        except Meaningless as error:
            return Problem("", expression.text, str(error), "Look at the values in `base`.")
        if not any(_holds(expression, _Values(self._space, self._base, point)) for point in self._drawn()):
            rule = f"none of {_NUM_DRAWN} points drawn from the space fulfils it"
            return Problem("", expression.text, rule, "Change the condition, or widen the ranges.")
        advice = "Trial 0 is always the defaults: write other values in `base`."
        return Problem("", expression.text, "the defaults do not fulfil it", advice)

    def acceptance(self) -> tuple[float, Expression | None]:
        """Estimate the part of the space that fulfils all conditions, and find the one that fewest fulfil.

        Points are drawn until enough of them are accepted, at most a thousand.
        """
        accepted, refusals = 0, Counter[Expression]()
        for drawn, point in enumerate(self._drawn() if self.expressions else (), start=1):
            broken = self.broken(point)
            refusals.update(broken)
            accepted += not broken
            if accepted == _ENOUGH_ACCEPTED or drawn == _NUM_DRAWN:
                return accepted / drawn, next((e for e, _ in refusals.most_common(1)), None)
        return 1.0, None

    def _drawn(self) -> Iterator[dict[str, Scalar]]:
        study = create_study(sampler=RandomSampler(seed=0))
        return (self._space.suggest(study.ask()) for _ in range(_NUM_DRAWN))

    def _known(self) -> set[str]:
        known = {*dotted(self._base.model_dump()), *self._space.parameters, *self._space.groups}
        for _, _, point in self._space.corners(self._base):
            with suppress(ConfigError):
                known |= dotted(with_overrides(self._base, point).model_dump()).keys()
        return known


class _Values:
    """Values of a configuration, which is built only when a setting is asked for that is not searched."""

    def __init__(self, space: Space, base: Block, point: Mapping[str, Scalar]):
        self._space, self._base, self._point = space, base, point
        self._settings: dict[str, object] | None = None

    def at(self, path: str) -> Scalar:
        """The value at a dotted path; the name of shares stands for their total.

        Raises:
            NotApplicable: where there is none.
            Meaningless: where it is not a single value.
        """
        if path in self._space.parameters:
            if path not in self._point:
                raise NotApplicable(path)
            return self._point[path]
        if path in self._space.groups:
            divisions = self._space.divisions(self._point)
            if path not in divisions:
                raise NotApplicable(path)
            return divisions[path].total
        if self._settings is None:
            self._settings = with_overrides(self._base, self._point).model_dump()
        value = walk(self._settings, path)
        if value is MISSING or value is None:
            raise NotApplicable(path)
        if not isinstance(value, bool | int | float | str):
            raise Meaningless(f"{path} is not a single value")
        return value


def _holds(expression: Expression, values: _Values) -> bool:
    try:
        return expression.holds(values.at)
    except (Meaningless, ConfigError):
        return False
