"""A search space: parameters by dotted path, which of them exist together, and how Optuna sees them.

Three views of one point of the space, and the ways between them:

    Optuna's parameters  --decode-->  {dotted path: value}  --mmsa.config.with_overrides-->  RunConfig
                         <--encode--                        <--------values_of------------
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from typing import Any

from optuna.distributions import BaseDistribution
from optuna.trial import Trial

from mmsa.config import MISSING, Block, walk, with_overrides
from mmsa.errors import ConfigError, Problem, did_you_mean
from mmsa.search.space.parameters import GATE, FloatParameter, Parameter, TiedParameter
from mmsa.search.space.scalars import Scalar, same


class Space:
    """Parameters in an order in which parents come before those that depend on them.

    ``parameters`` must be free of the problems that ``relation_problems`` finds.
    """

    def __init__(self, parameters: Mapping[str, Parameter]):
        graph = {path: parameter.parents() for path, parameter in parameters.items()}
        self.parameters = {path: parameters[path] for path in TopologicalSorter(graph).static_order()}
        self.required = {path: requirements(path, self.parameters) for path in self.parameters}
        """What every ancestor may be while a parameter exists, by path."""
        self._defaults: tuple[Block, dict[str, Any]] | None = None

    @property
    def conditional(self) -> bool:
        """Whether any Optuna parameter exists only for some values of another."""
        return any(
            len(found) > 1 or (found and p.when)
            for p in self.parameters.values()
            for found in [p.distributions("")]
        )

    def distributions(self) -> dict[str, BaseDistribution]:
        """Every Optuna parameter that can occur, by name."""
        return {
            name: distribution
            for path, parameter in self.parameters.items()
            for name, distribution in parameter.distributions(path).items()
        }

    def always(self) -> dict[str, BaseDistribution]:
        """The Optuna parameters that every point has."""
        unconditional = {path: p.distributions(path) for path, p in self.parameters.items() if not p.when}
        firsts = (next(iter(found.items())) for found in unconditional.values() if found)
        return dict(firsts)  # the first one is the gate, where there is one

    def zero_below(self, gate: str) -> float:
        """The value of a gate, by its Optuna name, below which its parameter is exactly 0."""
        parameter = self.parameters[gate.removesuffix(GATE)]
        assert isinstance(parameter, FloatParameter)
        assert parameter.zero is not None
        return parameter.zero

    def exists(self, path: str, values: Mapping[str, Scalar]) -> bool:
        """Whether the parameter exists beside ``values`` of its parents."""
        parameter = self.parameters[path]
        return parameter.parents() <= values.keys() and all(
            any(same(values[parent], value) for value in allowed)
            for parent, allowed in parameter.conditions().items()
        )

    def tied(self) -> dict[str, TiedParameter]:
        """The parameters that follow others."""
        return {path: p for path, p in self.parameters.items() if isinstance(p, TiedParameter)}

    def followed(self, paths: Iterable[str]) -> set[str]:
        """``paths``, and all that tied ones among them follow, directly or over others."""
        found: set[str] = set()
        waiting = [*paths]
        while waiting:
            path = waiting.pop()
            if path not in found:
                found.add(path)
                parameter = self.parameters[path]
                waiting += parameter.formula.paths if isinstance(parameter, TiedParameter) else ()
        return found

    def with_ties(self, values: Mapping[str, Scalar]) -> dict[str, Scalar]:
        """``values``, in which what is tied follows the rest."""
        result = dict(values)
        for path, parameter in self.tied().items():
            if self.exists(path, result):
                result[path] = parameter.follow(path, result)
            else:
                result.pop(path, None)
        return result

    def suggest(self, trial: Trial) -> dict[str, Scalar]:
        """The point that the trial's sampler chooses. Asked again for the same trial, the same point."""
        values: dict[str, Scalar] = {}
        for path, parameter in self.parameters.items():
            if self.exists(path, values):
                if isinstance(parameter, TiedParameter):
                    values[path] = parameter.follow(path, values)
                else:
                    values[path] = parameter.suggest(trial, path)
        return values

    def decode(self, params: Mapping[str, Any]) -> dict[str, Scalar]:
        """The point that Optuna's parameters stand for."""
        values: dict[str, Scalar] = {}
        for path, parameter in self.parameters.items():
            if self.exists(path, values):
                if isinstance(parameter, TiedParameter):
                    values[path] = parameter.follow(path, values)
                else:
                    values[path] = parameter.decode(path, params)
        return values

    def encode(self, values: Mapping[str, Scalar], source: str = "start") -> dict[str, Any]:
        """Optuna's parameters for a point: the inverse of ``decode``. What is tied may be left out.

        Raises:
            ConfigError: for values outside their range, unknown or missing parameters, parameters that do not
                exist beside the other values, and tied ones that do not follow; all at once.
        """
        problems = [
            Problem(path, value, "is not a parameter of this space", did_you_mean(path, self.parameters))
            for path, value in values.items()
            if path not in self.parameters
        ]
        params: dict[str, Any] = {}
        for path, parameter in self.parameters.items():
            exists = self.exists(path, values)
            if exists and isinstance(parameter, TiedParameter):
                follows = parameter.follow(path, values)
                if not _equal(values.get(path, follows), follows):
                    rule = f"must be the same as {parameter.same_as}, which is {follows!r} here"
                    problems.append(Problem(path, values[path], rule, f"Write {follows!r}."))
            elif exists and path not in values:
                problems.append(Problem(path, None, "needs a value", parameter.rule()))
            elif not exists and path in values:
                problems.append(Problem(path, values[path], "does not exist here", self._condition(path)))
            elif exists and not parameter.takes(values[path]):
                problems.append(Problem(path, values[path], parameter.rule()))
            elif exists:
                params |= parameter.encode(path, values[path])
        if problems:
            raise ConfigError(source, problems)
        return params

    def values_of(self, config: Block) -> dict[str, Scalar]:
        """The values that a complete configuration has at the paths of the parameters that exist beside them.

        Raises:
            ConfigError: where the configuration has no value at such a path.
        """
        values: dict[str, Scalar] = {}
        problems = []
        for path in self.parameters:
            if self.exists(path, values):
                value = value_at(config, path)
                if value is MISSING:
                    problems.append(Problem(path, None, "has no value here", f"Write `{path}` in `base`."))
                else:
                    values[path] = value
        if problems:
            raise ConfigError("configuration", problems)
        return values

    def corners(self, base: Block) -> Iterator[tuple[str, Scalar, dict[str, Scalar]]]:
        """For every extreme value of every parameter: path, value, and a complete point that holds it.

        Those of a tied parameter are at the extremes of what it follows.
        """
        for path in self.parameters:
            for value, point in self.corners_of(path, base):
                yield path, value, point

    def corners_of(
        self, path: str, base: Block, point: Mapping[str, Scalar] = {}
    ) -> Iterator[tuple[Scalar, dict[str, Scalar]]]:
        """The same of one parameter, with all else as in ``point`` first, and then as in ``base``."""
        parameter = self.parameters[path]
        if not isinstance(parameter, TiedParameter):
            for value in parameter.corners():
                yield value, self.point_with(path, value, base, point)
            return
        for source in sorted(self.followed([path]) - self.tied().keys()):
            for value in self.parameters[source].corners():
                moved = self.point_with(source, value, base, point)
                if path in moved:
                    yield moved[path], moved

    def point_with(
        self, path: str, value: Scalar, base: Block, rest: Mapping[str, Scalar] = {}
    ) -> dict[str, Scalar]:
        """A complete point in which ``path`` has ``value``.

        All else is as in ``rest``, and then as in ``base``, where that can be.
        """
        point: dict[str, Scalar] = {}
        defaults = self._defaults_of(base)
        for name, parameter in self.parameters.items():
            if self.exists(name, point) and isinstance(parameter, TiedParameter):
                point[name] = parameter.follow(name, point)
            elif self.exists(name, point):
                allowed = (value,) if name == path else self.required[path].get(name, parameter.corners())
                default = rest.get(name, defaults[name])
                stays = (
                    name != path
                    and parameter.takes(default)
                    and (name not in self.required[path] or any(same(default, option) for option in allowed))
                )
                point[name] = default if stays else allowed[0]
        return point

    def _defaults_of(self, base: Block) -> dict[str, Any]:
        """What ``value_at`` finds at each parameter, which takes long enough to do it once."""
        if self._defaults is None or self._defaults[0] is not base:
            self._defaults = base, {path: value_at(base, path) for path in self.parameters}
        return self._defaults[1]

    def _condition(self, path: str) -> str:
        conditions = self.parameters[path].conditions()
        wanted = (f"{parent} is {' or '.join(map(repr, values))}" for parent, values in conditions.items())
        return f"It exists only when {' and '.join(wanted)}."


def _equal(value: object, follows: Scalar) -> bool:
    """As ``same``, but 1 may be written for 1.0."""
    return same(value, follows) or (
        type(value) in (int, float) and type(follows) in (int, float) and value == follows
    )


def value_at(config: Block, path: str) -> Any:
    """The value at a dotted path of a configuration.

    A component that the configuration does not name, such as a loss term to be searched, has its own
    defaults.
    """
    found = walk(config.model_dump(), path)
    parent, _, _ = path.rpartition(".")
    if found is MISSING and parent:
        try:
            return walk(with_overrides(config, {parent: {}}).model_dump(), path)
        except ConfigError:
            return MISSING
    return found


def requirements(path: str, parameters: Mapping[str, Parameter]) -> dict[str, tuple[Scalar, ...]]:
    """What every ancestor may be while ``path`` exists; empty where conditions contradict each other."""
    required: dict[str, tuple[Scalar, ...]] = {}
    conditions = parameters[path].conditions()
    for parent in sorted(parameters[path].parents()):
        own = [(parent, conditions[parent])] if parent in conditions else []
        for ancestor, values in (*own, *requirements(parent, parameters).items()):
            earlier = required.get(ancestor, values)
            required[ancestor] = tuple(v for v in values if any(same(v, other) for other in earlier))
    return required


def relation_problems(
    parameters: Mapping[str, Parameter], others: frozenset[str] = frozenset()
) -> list[Problem]:
    """What is wrong between parameters, each of which is right by itself.

    ``others`` are names of parameters that are wrong by themselves: they may be parents, but tell nothing
    more.
    """
    problems = [
        problem
        for path, parameter in parameters.items()
        for parent, values in parameter.conditions().items()
        if (problem := _condition_problem(path, parent, values, parameters, others))
    ]
    for path, parameter in parameters.items():
        if isinstance(parameter, TiedParameter):
            problems += _tie_problems(path, parameter, {*parameters, *others})
    wrong = {
        path
        for path in parameters
        if any(p.path.startswith((f"{path}.when.", f"{path}.same_as")) for p in problems)
    }
    rest = sound({path: parameter for path, parameter in parameters.items() if path not in wrong})
    while circle := _circle(rest):
        rule = f"depends on itself: {' -> '.join(reversed(circle))}"
        first = rest[circle[0]]
        value: object
        if isinstance(first, TiedParameter):
            at, value, advice = "same_as", first.same_as, "Give one of them a range."
        else:
            at, value, advice = "when", dict(first.when), "Remove one of these conditions."
        problems.append(Problem(f"{circle[0]}.{at}", value, rule, advice))
        rest = sound({path: parameter for path, parameter in rest.items() if path not in circle})
    return problems + [
        Problem(f"{path}.when", dict(parameter.when), "is never true", advice)
        for path, parameter in rest.items()
        for advice in _contradictions(path, rest)
    ]


def _circle(parameters: Mapping[str, Parameter]) -> list[str]:
    try:
        TopologicalSorter({path: p.parents() for path, p in parameters.items()}).prepare()
    except CycleError as error:
        circle: list[str] = error.args[1]
        return circle
    return []


def sound(parameters: Mapping[str, Parameter]) -> dict[str, Parameter]:
    """The parameters all of whose ancestors are there too."""
    kept = dict(parameters)
    while lost := [path for path, p in kept.items() if not p.parents() <= kept.keys()]:
        for path in lost:
            del kept[path]
    return kept


def _tie_problems(path: str, parameter: TiedParameter, known: set[str]) -> Iterator[Problem]:
    for source in sorted(parameter.formula.paths):
        if source == path:
            yield Problem(f"{path}.same_as", parameter.same_as, "a parameter cannot follow itself")
        elif source not in known:
            rule = f"{source} is not a parameter of this space, and only those can be followed"
            yield Problem(f"{path}.same_as", parameter.same_as, rule, did_you_mean(source, known - {path}))


def _condition_problem(
    path: str,
    parent: str,
    values: tuple[Scalar, ...],
    parameters: Mapping[str, Parameter],
    others: frozenset[str],
) -> Problem | None:
    at = f"{path}.when.{parent}"
    if parent == path:
        return Problem(at, values, "a parameter cannot depend on itself", "Name another parameter.")
    if parent in others:
        return None
    if parent not in parameters:
        advice = did_you_mean(parent, {*parameters, *others} - {path})
        return Problem(at, values, "is not a parameter of this space", advice)
    if isinstance(followed := parameters[parent], TiedParameter):
        advice = f"Depend on what decides it: {followed.same_as}."
        return Problem(at, values, f"{parent} is tied and decides nothing", advice)
    if isinstance(parameters[parent], FloatParameter):
        return Problem(
            at, values, "a float almost never has one exact value", "Depend on a categorical or an int."
        )
    if not values:
        return Problem(at, values, "needs at least one value", parameters[parent].rule())
    impossible = [value for value in values if not parameters[parent].takes(value)]
    if impossible:
        return Problem(
            at, impossible[0], f"{parent} never has this value", f"It {parameters[parent].rule()}."
        )
    return None


def _contradictions(path: str, parameters: Mapping[str, Parameter]) -> Iterator[str]:
    for ancestor, values in requirements(path, parameters).items():
        if not values:
            yield f"The conditions of its ancestors leave no value of {ancestor}."
