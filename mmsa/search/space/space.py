"""A search space: parameters by dotted path, which of them exist together, and how Optuna sees them.

Three views of one point of the space, and the ways between them:

    Optuna's parameters  --decode-->  {dotted path: value}  --mmsa.config.with_overrides-->  RunConfig
                         <--encode--                        <--------values_of------------
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from graphlib import CycleError, TopologicalSorter
from typing import Any

from optuna.distributions import BaseDistribution
from optuna.trial import Trial

from mmsa.config import MISSING, Block, walk, with_overrides
from mmsa.errors import ConfigError, Problem, did_you_mean
from mmsa.interface import Scalar
from mmsa.search.space.parameters import GATE, FloatParameter, Parameter, TiedParameter, same
from mmsa.search.space.shares import QUANTILE, Coefficient, Division, Shares

Written = Parameter | Shares
"""A parameter as a space file writes it."""
Searched = Parameter | Coefficient
"""A parameter that decides a single setting."""


def expanded(parameters: Mapping[str, Written | Coefficient]) -> dict[str, Searched]:
    """Replace each group of shares by its coefficients, so that every parameter decides a single setting."""
    found: dict[str, Searched] = {}
    for name, parameter in parameters.items():
        found |= parameter.coefficients(name) if isinstance(parameter, Shares) else {name: parameter}
    return found


def setting_of(name: str) -> str:
    """Return the path, or the name of the shares, that an Optuna parameter belongs to."""
    return name.removesuffix(GATE).removesuffix(QUANTILE)


class Space:
    """Everything that is searched, in an order in which parents come before those that depend on them.

    Args:
        parameters: as a file writes them, or as ``expanded`` returns them; free of the problems that
            ``relation_problems`` finds.

    Attributes:
        parameters: by the path of the setting that each decides.
        groups: the shares, by name, with the paths of their coefficients.
        required: what every ancestor may be while a parameter exists, by path.
    """

    def __init__(self, parameters: Mapping[str, Written | Coefficient]):
        single = expanded(parameters)
        graph = {path: parameter.after() & single.keys() for path, parameter in single.items()}
        self.parameters = {path: single[path] for path in TopologicalSorter(graph).static_order()}
        self.groups: dict[str, tuple[Shares, tuple[str, ...]]] = {}
        for path, parameter in single.items():
            if isinstance(parameter, Coefficient):
                _, members = self.groups.get(parameter.group, (None, ()))
                self.groups[parameter.group] = parameter.shares, (*members, path)
        self.required = {path: requirements(path, self.parameters) for path in self.parameters}
        self._defaults: tuple[Block, dict[str, Any]] | None = None

    @property
    def conditional(self) -> bool:
        """Whether any Optuna parameter exists only for some values of another."""
        return self.distributions().keys() != self.always().keys()

    def distributions(self) -> dict[str, BaseDistribution]:
        """All Optuna parameters that can occur, by name."""
        found: dict[str, BaseDistribution] = {}
        for path, parameter in self.parameters.items():
            if isinstance(parameter, Coefficient):  # with the first one of a group comes the whole
                shares, members = self.groups[parameter.group]
                found |= shares.distributions(parameter.group, members)
            else:
                found |= parameter.distributions(path)
        return found

    def always(self) -> dict[str, BaseDistribution]:
        """The Optuna parameters that every point has."""
        known, found = self.distributions(), []
        for path, parameter in self.parameters.items():
            if isinstance(parameter, Coefficient):
                shares, members = self.groups[parameter.group]
                found += [name for name in shares.always(parameter.group, members) if name not in found]
            elif not parameter.when:
                found += [*parameter.distributions(path)][:1]  # the gate comes first, where there is one
        return {name: known[name] for name in found}

    def zero_below(self, name: str) -> float:
        """The value of a gate or quantile below which its setting is exactly 0; 0 where it never is."""
        if name.endswith(QUANTILE):
            coefficient = self.parameters[setting_of(name)]
            assert isinstance(coefficient, Coefficient)
            return coefficient.zero or 0.0
        group = self.groups.get(setting_of(name))
        parameter = group[0].total if group else self.parameters[setting_of(name)]
        assert isinstance(parameter, FloatParameter)
        return parameter.zero or 0.0

    def divisions(self, values: Mapping[str, Scalar]) -> dict[str, Division]:
        """How a point divides the total of each group of shares, by name."""
        found = {}
        for name, (_, members) in self.groups.items():
            present = {path: float(values[path]) for path in members if path in values}
            if present:
                found[name] = Division.of(present)
        return found

    def exists(self, path: str, values: Mapping[str, Scalar]) -> bool:
        """Whether the parameter exists, given ``values`` of its parents."""
        parameter = self.parameters[path]
        return parameter.parents() <= values.keys() and all(
            any(same(values[parent], value) for value in allowed)
            for parent, allowed in parameter.conditions().items()
        )

    def tied(self) -> dict[str, TiedParameter]:
        """The parameters that follow others."""
        return {path: p for path, p in self.parameters.items() if isinstance(p, TiedParameter)}

    def followed(self, paths: Iterable[str]) -> set[str]:
        """``paths`` and the parameters that decide them: what a tie follows, the other shares of a total."""
        found: set[str] = set()
        waiting = [*paths]
        while waiting:
            path = waiting.pop()
            if path not in found:
                found.add(path)
                parameter = self.parameters[path]
                if isinstance(parameter, TiedParameter):
                    waiting += parameter.formula.paths
                elif isinstance(parameter, Coefficient):
                    waiting += self.groups[parameter.group][1]
        return found

    def with_ties(self, values: Mapping[str, Scalar]) -> dict[str, Scalar]:
        """Return ``values`` with every tied parameter recalculated from the others."""
        result = dict(values)
        for path, parameter in self.tied().items():
            if self.exists(path, result):
                result[path] = parameter.follow(path, result)
            else:
                result.pop(path, None)
        return result

    def suggest(self, trial: Trial) -> dict[str, Scalar]:
        """Return the point that the trial's sampler chooses; for the same trial always the same one."""
        return self._point(
            lambda path, parameter: parameter.suggest(trial, path),
            lambda name, shares, members: shares.suggest(trial, name, members),
        )

    def decode(self, params: Mapping[str, Any]) -> dict[str, Scalar]:
        """Return the point that Optuna's parameters stand for."""
        return self._point(
            lambda path, parameter: parameter.decode(path, params),
            lambda name, shares, members: shares.decode(name, members, params),
        )

    def _point(
        self,
        value: Callable[[str, Parameter], Scalar],
        coefficients: Callable[[str, Shares, list[str]], Mapping[str, Scalar]],
    ) -> dict[str, Scalar]:
        """Build a complete point from the value of each parameter and the coefficients of each group."""
        values: dict[str, Scalar] = {}
        for path, parameter in self.parameters.items():
            if path in values or not self.exists(path, values):
                continue
            if isinstance(parameter, TiedParameter):
                values[path] = parameter.follow(path, values)
            elif isinstance(parameter, Coefficient):
                shares, members = self.groups[parameter.group]
                present = [member for member in members if self.exists(member, values)]
                values |= coefficients(parameter.group, shares, present)
            else:
                values[path] = value(path, parameter)
        return values

    def encode_drawn(self, values: Mapping[str, Scalar], drawn: Mapping[str, Any]) -> dict[str, Any]:
        """As ``encode``, but shares by the parameters that were drawn for them, if they stand for this point.

        Many quantiles stand for the same shares. A sampler that is built again is told of those it drew.
        """
        params = self.encode(values)
        groups = {*self.groups, *(path for _, members in self.groups.values() for path in members)}
        shared = {name for name in self.distributions() if setting_of(name) in groups}
        before = {name: value for name, value in params.items() if name not in shared}
        before |= {name: value for name, value in drawn.items() if name in shared}
        with suppress(KeyError):  # of what was not drawn: the space was another one then
            if self.decode(before) == values:
                return before
        return params

    def _encoded_shares(self, values: Mapping[str, Scalar]) -> dict[str, Any]:
        params: dict[str, Any] = {}
        for name, (shares, members) in self.groups.items():
            present = {path: float(values[path]) for path in members if path in values}
            params |= shares.encode(name, present) if present else {}
        return params

    def encode(self, values: Mapping[str, Scalar], source: str = "start") -> dict[str, Any]:
        """Return Optuna's parameters for a point: the inverse of ``decode``. What is tied may be left out.

        Coefficients may have any ratio, also one that ``decode`` can only come near to.

        Raises:
            ConfigError: for values outside their range, unknown or missing parameters, parameters that do not
                exist beside the other values, coefficients that are no shares of a total of theirs, and tied
                ones that do not follow; all at once.
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
            elif exists and not isinstance(parameter, Coefficient):
                params |= parameter.encode(path, values[path])
        for name, (shares, members) in self.groups.items():
            told = {problem.path for problem in problems}
            if told.isdisjoint(members):
                present = {path: float(values[path]) for path in members if path in values}
                problems += shares.problems(name, present)
        if problems:
            raise ConfigError(source, problems)
        return params | self._encoded_shares(values)

    def values_of(self, config: Block) -> dict[str, Scalar]:
        """Read the point that a complete configuration stands for: its values at the paths that exist there.

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
        """Yield path, value, and a complete point that holds it, for every extreme of every parameter.

        Those of a tied parameter are at the extremes of what it follows.
        """
        for path in self.parameters:
            for value, point in self.corners_of(path, base):
                yield path, value, point

    def corners_of(
        self, path: str, base: Block, point: Mapping[str, Scalar] = {}
    ) -> Iterator[tuple[Scalar, dict[str, Scalar]]]:
        """Yield the extremes of one parameter, all else as in ``point``, or else as in ``base``.

        Of a coefficient that is a share of a total, the others of its group make room for it.
        """
        parameter = self.parameters[path]
        if isinstance(parameter, Coefficient):
            for position in range(len(parameter.corners())):
                moved = self._point_with(path, position, base, point)
                yield moved[path], moved
        elif isinstance(parameter, TiedParameter):
            for source in sorted(self.followed([path]) - self.tied().keys()):
                for _, moved in self.corners_of(source, base, point):
                    if path in moved:
                        yield moved[path], moved
        else:
            for value in parameter.corners():
                yield value, self._point_with(path, value, base, point)

    def _point_with(
        self, path: str, value: Scalar, base: Block, rest: Mapping[str, Scalar]
    ) -> dict[str, Scalar]:
        """Build a point in which ``path`` has ``value``; of a coefficient, the extreme at that place.

        All else is as in ``rest``, and then as in ``base``, where that can be.
        """
        defaults = {**self._defaults_of(base), **rest}

        def chosen(name: str, parameter: Parameter) -> Scalar:
            if name == path:
                return value
            allowed = self.required[path].get(name, parameter.corners())
            default = defaults[name]
            stays = parameter.takes(default) and (
                name not in self.required[path] or any(same(default, option) for option in allowed)
            )
            kept: Scalar = default if stays else allowed[0]
            return kept

        def divided(name: str, shares: Shares, members: list[str]) -> Mapping[str, Scalar]:
            if path in members:
                return [*shares.extremes(path, members)][int(value)]
            wanted = {member: defaults[member] for member in members}
            if all(self.parameters[member].takes(wanted[member]) for member in members):
                found = {member: float(number) for member, number in wanted.items()}
                return shares.nearest(found) if [*shares.problems(name, found)] else found
            return shares.nearest(dict.fromkeys(members, 0.0))

        return self._point(chosen, divided)

    def _defaults_of(self, base: Block) -> dict[str, Any]:
        """Values of ``base`` at all parameters, kept because looking them up is slow."""
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


def requirements(path: str, parameters: Mapping[str, Searched]) -> dict[str, tuple[Scalar, ...]]:
    """Values of each ancestor for which ``path`` exists; none where conditions contradict each other."""
    required: dict[str, tuple[Scalar, ...]] = {}
    conditions = parameters[path].conditions()
    for parent in sorted(parameters[path].parents()):
        own = [(parent, conditions[parent])] if parent in conditions else []
        for ancestor, values in (*own, *requirements(parent, parameters).items()):
            earlier = required.get(ancestor, values)
            required[ancestor] = tuple(v for v in values if any(same(v, other) for other in earlier))
    return required


def relation_problems(written: Mapping[str, Written], others: frozenset[str] = frozenset()) -> list[Problem]:
    """Find what is wrong between parameters that are each right by themselves.

    ``others`` are names of parameters that are wrong by themselves: they may be parents, but tell nothing
    more.
    """
    problems = [*_repetitions(written)]
    if problems:  # which of the two is meant decides what else is wrong
        return problems
    parameters = expanded(written)
    conditions = [
        (path, problem)
        for path, parameter in parameters.items()
        for parent, values in parameter.conditions().items()
        if (problem := _condition_problem(path, parent, values, parameters, others))
    ]
    # A condition of all shares is one of each of them, and is told once.
    problems = list({(p.path, p.rule): p for _, p in conditions}.values())
    for path, parameter in parameters.items():
        if isinstance(parameter, TiedParameter):
            problems += _tie_problems(path, parameter, {*parameters, *others})
    wrong = {path for path, _ in conditions} | {
        path for path in parameters if any(p.path.startswith(f"{path}.same_as") for p in problems)
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
        problems.append(Problem(f"{place_of(circle[0], first)}.{at}", value, rule, advice))
        rest = sound({path: parameter for path, parameter in rest.items() if path not in circle})
    return problems + [
        Problem(f"{place_of(path, parameter)}.when", dict(parameter.when), "is never true", advice)
        for path, parameter in rest.items()
        for advice in _contradictions(path, rest)
    ]


def place_of(path: str, parameter: Searched) -> str:
    """Where in ``search.parameters`` the parameter of a setting is written."""
    return f"{parameter.group}.of.{path}" if isinstance(parameter, Coefficient) else path


def _repetitions(written: Mapping[str, Written]) -> Iterator[Problem]:
    """Find settings that are searched twice: by themselves and as a share, or as shares of two totals."""
    homes = {path: path for path, parameter in written.items() if not isinstance(parameter, Shares)}
    for name, shares in written.items():
        for path in shares.members if isinstance(shares, Shares) else ():
            if (other := homes.setdefault(path, name)) != name:
                rule = (
                    f"is searched by {other} already" if other != path else "is a parameter by itself already"
                )
                yield Problem(f"{name}.of.{path}", path, rule, "Keep one of the two.")


def _circle(parameters: Mapping[str, Searched]) -> list[str]:
    try:
        TopologicalSorter({path: p.after() for path, p in parameters.items()}).prepare()
    except CycleError as error:
        circle: list[str] = error.args[1]
        return circle
    return []


def sound(parameters: Mapping[str, Searched]) -> dict[str, Searched]:
    """Keep the parameters all of whose ancestors are kept."""
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
    parameters: Mapping[str, Searched],
    others: frozenset[str],
) -> Problem | None:
    parameter = parameters[path]
    place = place_of(path, parameter)
    if isinstance(parameter, Coefficient) and parent in parameter.shares.when:
        place = parameter.group
    at = f"{place}.when.{parent}"
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
    if isinstance(parameters[parent], FloatParameter | Coefficient):
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


def _contradictions(path: str, parameters: Mapping[str, Searched]) -> Iterator[str]:
    for ancestor, values in requirements(path, parameters).items():
        if not values:
            yield f"The conditions of its ancestors leave no value of {ancestor}."
