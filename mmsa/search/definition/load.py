"""Reading a space file: finding it, applying changes from the command line, reading its starts."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from mmsa.config import load_yaml, parse, with_overrides
from mmsa.errors import ConfigError, Problem, did_you_mean
from mmsa.experiment import RunConfig
from mmsa.search.definition.files import SPACES as SPACES
from mmsa.search.definition.files import find_space as find_space
from mmsa.search.definition.files import shipped as shipped
from mmsa.search.definition.search_config import DEFAULTS
from mmsa.search.definition.study_config import StudyConfig
from mmsa.search.space.checks import Start

_FEW_DRAWS = 0.02
_log = logging.getLogger(__name__)


def load_space(name: str | Path, overrides: Mapping[str, Any] | None = None) -> StudyConfig:
    """Read and check a space file.

    Args:
        name: a path, or a name as ``find_space`` takes it.
        overrides: values to replace in ``base``, by dotted path.

    Raises:
        ConfigError: with every problem of the file.
    """
    path = find_space(name)
    values = load_yaml(path)
    missing = list(_missing_starts(values))
    try:
        config = parse(StudyConfig, values, str(path))
    except ConfigError as error:
        problems = [*error.problems, *missing, *_override_problems(values, overrides or {})]
        raise ConfigError(str(path), problems) from None
    if missing:
        raise ConfigError(str(path), [*missing, *_override_problems(values, overrides or {})])
    if overrides:
        base = with_overrides(config.base, overrides, "--set")
        config = parse(StudyConfig, {**config.model_dump(), "base": base}, f"{path} with --set")
    config = _with_starts_read(config, str(path))
    _refuse_nothing_to_draw(config, str(path))
    return config


def _override_problems(values: Mapping[str, Any], overrides: Mapping[str, Any]) -> list[Problem]:
    """What is wrong with the changes of the command line, as far as a readable base tells."""
    try:
        with_overrides(parse(RunConfig, values["base"], "base"), overrides)
    except ConfigError as error:
        given = [
            p for p in error.problems if any(p.path == o or p.path.startswith(f"{o}.") for o in overrides)
        ]
        return [Problem(f"--set {p.path}", p.value, p.rule, p.next_step) for p in given]
    except (KeyError, TypeError, ValueError):  # there is no base, or another thing than a mapping
        pass
    return []


def _refuse_nothing_to_draw(config: StudyConfig, source: str) -> None:
    """Refuse a constraint that next to no point fulfils: every trial would have the values of the defaults.

    Only new space files are checked, so that an older study with such a constraint can still be read.
    """
    part, tightest = config.point_constraints.acceptance()
    if tightest is None or part >= _FEW_DRAWS:
        return
    advice = "Change the condition, or narrow the ranges to where it holds."
    if pair := tightest.equated:
        followed = [path for path in pair if path in config.space.parameters]
        if len(followed) == len(pair):
            advice = f"Tie them instead: write {pair[1]}: {{same_as: {pair[0]}}}."
    at = f"search.constraints.{config.search.constraints.index(tightest.text)}"
    if part > 0:
        _log.warning(
            f"{at}: {tightest.text}: of drawn points only {part:.1%} fulfil the constraints. {advice}"
        )
        return
    rule = "leaves nothing to draw: no drawn point fulfils it, and all trials would have the defaults' values"
    raise ConfigError(source, [Problem(at, tightest.text, rule, advice)])


def _missing_starts(values: Mapping[str, Any]) -> Iterator[Problem]:
    search = values.get("search")
    starts = search.get("starts") if isinstance(search, Mapping) else None
    for position, start in enumerate(starts if isinstance(starts, list) else ()):
        if isinstance(start, str) and start != DEFAULTS:
            try:
                find_space(start)
            except ConfigError as error:
                advice = did_you_mean(start, [DEFAULTS, *shipped()])
                yield Problem(f"search.starts.{position}", start, error.problems[0].rule, advice)


def _with_starts_read(config: StudyConfig, source: str) -> StudyConfig:
    """Replace files named as starts by the points in them, since the files may change later."""
    starts: list[str | Start] = []
    problems: list[Problem] = []
    for position, start in enumerate(config.search.starts):
        if not isinstance(start, str) or start == DEFAULTS:
            starts.append(start)
            continue
        try:
            point = config.space.values_of(_run_config(find_space(start)))
            config.space.encode(point)
            starts.append(point)
        except ConfigError as error:
            problems += [
                Problem(f"search.starts.{position}.{p.path}", p.value, p.rule, p.next_step or f"See {start}.")
                for p in error.problems
            ]
    if problems:
        raise ConfigError(source, problems)
    if starts == [*config.search.starts]:
        return config
    values = config.model_dump()
    search = {**values["search"], "starts": starts}
    return parse(StudyConfig, {**values, "base": config.base, "search": search}, source)


def _run_config(path: Path) -> RunConfig:
    """The configuration in a space file (its ``base``) or in an exported file (its ``config``)."""
    values = load_yaml(path)
    for key in ("base", "config"):
        if isinstance(values.get(key), Mapping):
            return parse(RunConfig, values[key], str(path))
    raise ConfigError(str(path), [Problem("(file)", path.name, "has neither `base` nor `config`")])
