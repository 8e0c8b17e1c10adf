"""What must hold between a base configuration, the parameters that change it, starts and objectives."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import cache
from typing import Any

from mmsa.config import homes_of_settings, with_overrides
from mmsa.data.corpus import MODALITIES
from mmsa.data.target_spec import SUITES
from mmsa.errors import ConfigError, Problem, did_you_mean, nearest
from mmsa.experiment import RunConfig
from mmsa.information.panel import FAMILIES, METRIC, names
from mmsa.interface import COSTS, Scalar
from mmsa.search.space.shares import Shares, SharesStart
from mmsa.search.space.space import Searched, Space, Written, expanded, place_of, sound
from mmsa.training.metrics import metric_names

_FIXED = {
    "data": "trials of one study are compared on the same data",
    "train.metric": "it decides how trials are compared",
    "train.direction": "it decides how trials are compared",
    "train.epochs": "it is the largest budget of every trial",
    "information": "trials are compared by what is measured of all of them",
}


Start = Mapping[str, Scalar | SharesStart]
"""A point to try first, as a space file writes it: by path, or by name of shares."""


@cache
def valid_metrics() -> tuple[str, ...]:
    """Every metric of the valid split that some data set is scored with."""
    return tuple(sorted({f"valid/{name}" for suite in SUITES for name in metric_names(suite)}))


@cache
def information_metrics() -> tuple[str, ...]:
    """Every measured information that some run logs, without the ends of its interval."""
    return tuple(METRIC + name for name in names(FAMILIES, MODALITIES))


def metric_problem(metric: str) -> Problem | None:
    """Why a metric cannot be an objective, as far as its name tells."""
    if metric in valid_metrics() or metric in information_metrics() or metric in COSTS:
        return None
    target, _, name = metric.removeprefix("valid/").rpartition("/")
    if target and metric.startswith("valid/") and f"valid/{name}" in valid_metrics():
        return None  # whether there is such a target, only the data tell
    if metric.startswith("cost/"):
        return Problem("", metric, "is not a cost of a trial", did_you_mean(metric, COSTS))
    if metric.startswith(METRIC):
        return Problem("", metric, "is not measured", did_you_mean(metric, information_metrics()))
    if metric.startswith("test/"):
        advice = f"Write {metric.replace('test/', 'valid/', 1)}; `launch/retrain.py` opens test, once."
        return Problem("", metric, "a search never sees the test split", advice)
    advice = _known_metrics(metric.removeprefix("valid/"))
    return Problem("", metric, "is not a metric of the valid split", advice)


def _known_metrics(name: str) -> str:
    """Name the metric that is meant, by what follows ``valid/``; or all of them, by data set."""
    known = [metric.removeprefix("valid/") for metric in valid_metrics()]
    if close := nearest(name, known):
        return f"Did you mean {f'valid/{close}'!r}?"
    by_suite = "; ".join(
        f"{', '.join(f'valid/{metric}' for metric in metric_names(suite))} (data.metrics: {suite})"
        for suite in SUITES
    )
    return f"Known: {by_suite}."


def meaning_problems(
    base: RunConfig, parameters: Mapping[str, Written], starts: Sequence[str | Start]
) -> list[Problem]:
    """Find what is wrong between parts that are each right by themselves; paths are those of the space file.

    Starts that name a file are not looked at: they are read when the space is loaded.
    """
    single = expanded(parameters)
    problems = [problem for path, p in single.items() if (problem := _fixed_problem(path, p))]
    problems += _name_problems(base, parameters)
    searched = {path: p for path, p in single.items() if not _fixed_problem(path, p)}
    space = Space(sound(searched))
    unfit = {path: problem for path in space.parameters if (problem := _unfit(path, space, base))}
    problems += [unfit[path] for path in searched if path in unfit]
    space = Space(sound({path: searched[path] for path in searched if path not in unfit}))
    problems += _corner_problems(space, base)
    defaults = _default_problems(space, base)
    problems += defaults
    for position, start in enumerate(starts):
        if isinstance(start, Mapping):
            problems += [
                Problem(f"search.starts.{position}.{p.path}", p.value, p.rule, p.next_step)
                for p in _start_problems(space, base, start, {*single, *parameters})
                if p.path in start or f"base.{p.path}" not in {default.path for default in defaults}
            ]
    return problems


def start_values(space: Space, base: RunConfig, start: Start) -> dict[str, Scalar]:
    """Complete a start with the defaults for what it does not write.

    Raises:
        ConfigError: for values that the space does not have, with paths relative to the start.
    """
    divided = {name: entry for name, entry in start.items() if isinstance(entry, SharesStart)}
    written = {path: value for path, value in start.items() if not isinstance(value, SharesStart)}
    values = space.values_of(with_overrides(base, written, "start"))
    problems: list[Problem] = []
    for name, entry in divided.items():
        shares, members = space.groups[name]
        present = {path: float(values[path]) for path in members if path in values}
        found = [*entry.problems(name, shares, present, written)]
        problems += found
        values |= {} if found else entry.coefficients(shares, present)
    if problems:
        raise ConfigError("start", problems)
    values = space.with_ties(values)
    space.encode({**values, **written})
    return values


def _name_problems(base: RunConfig, parameters: Mapping[str, Written]) -> Iterator[Problem]:
    """Shares whose name is that of a setting, so that constraints and starts could mean either."""
    settings = frozenset().union(*homes_of_settings(type(base)).values())
    for name, parameter in parameters.items():
        if isinstance(parameter, Shares) and name in settings:
            rule = "is a setting, and shares have a name of their own"
            advice = f"Write {name}.shares, for instance."
            yield Problem(f"search.parameters.{name}", name, rule, advice)


def _fixed_problem(path: str, parameter: Searched) -> Problem | None:
    for prefix, reason in _FIXED.items():
        if path == prefix or path.startswith(f"{prefix}."):
            at = f"search.parameters.{place_of(path, parameter)}"
            return Problem(at, path, f"cannot be searched: {reason}", "Write it in `base`.")
    return None


def _unfit(path: str, space: Space, base: RunConfig) -> Problem | None:
    """What the configuration refuses about the parameter itself, whatever the other parameters are."""
    ancestors = space.followed([path]) | space.required[path].keys()
    try:
        corners = list(space.corners_of(path, base))
    except ConfigError as error:  # of a tie, which is told of the one that follows
        own = [p for p in error.problems if p.path == path]
        place = place_of(path, space.parameters[path])
        return Problem(f"search.parameters.{place}", own[0].value, own[0].rule) if own else None
    for value, complete in corners:
        point = {name: v for name, v in complete.items() if name in ancestors}
        try:
            with_overrides(base, point)
        except ConfigError as error:
            own = [p for p in error.problems if path == p.path or path.startswith(f"{p.path}.")]
            if own:
                return _at_parameter(path, space.parameters[path], value, own[0], base)
    return None


def _at_parameter(
    path: str, parameter: Searched, value: Scalar, problem: Problem, base: RunConfig
) -> Problem:
    advice = problem.next_step
    known = frozenset().union(*homes_of_settings(type(base)).values())
    if path not in known and (close := nearest(path, {*known, *dotted(base.model_dump())})):
        advice = f"Did you mean {close!r}?"
    return Problem(f"search.parameters.{place_of(path, parameter)}", value, problem.rule, advice)


def _corner_problems(space: Space, base: RunConfig) -> list[Problem]:
    problems: dict[tuple[str, str], Problem] = {}
    for path, value, point in space.corners(base):
        try:
            with_overrides(base, point)
        except ConfigError as error:
            for found in error.problems:
                rule = found.rule if found.path == path else f"makes {found.path} invalid: {found.rule}"
                advice = found.next_step
                if found.path in space.parameters and found.path != path:
                    advice = f"Give {found.path} a `when` that leaves this value of {path} out."
                at = f"search.parameters.{place_of(path, space.parameters[path])}"
                problems.setdefault((found.path, found.rule), Problem(at, value, rule, advice))
    return list(problems.values())


def _default_problems(space: Space, base: RunConfig) -> list[Problem]:
    try:
        space.encode(space.values_of(base))
    except ConfigError as error:
        advice = "Trial 0 is always the defaults: write another value in `base`, or widen the range."
        return [Problem(f"base.{p.path}", p.value, p.rule, p.next_step or advice) for p in error.problems]
    return []


def _start_problems(space: Space, base: RunConfig, start: Start, names: Collection[str]) -> list[Problem]:
    """``names`` are those of all parameters, also of the ones that are wrong and not in ``space``."""
    problems = [
        Problem(path, value, "is not a parameter of this space", did_you_mean(path, names))
        for path, value in start.items()
        if path not in names
    ]
    problems += [
        Problem(name, entry, "must be a single value", "Only shares are started from a total and shares.")
        for name, entry in start.items()
        if isinstance(entry, SharesStart) and name in space.parameters
    ]
    problems += [
        Problem(
            name, entry, "must be {total: ..., shares: {...}}", "Or write its coefficients by their paths."
        )
        for name, entry in start.items()
        if not isinstance(entry, SharesStart) and name in space.groups
    ]
    refused = {problem.path for problem in problems}
    known = {*space.parameters, *space.groups} - refused
    try:
        start_values(space, base, {path: start[path] for path in start if path in known})
    except ConfigError as error:
        problems += error.problems
    return problems


def dotted(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested mappings as ``{dotted path: value}``; an empty mapping is a value."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping) and value:
            flat |= dotted(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat
