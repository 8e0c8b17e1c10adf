"""Reading a space file: where it is looked for, what the command line changes of it, what its starts mean."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import mmsa
from mmsa.config import load_yaml, parse, with_overrides
from mmsa.errors import ConfigError, Problem, did_you_mean
from mmsa.experiment import RunConfig
from mmsa.search.definition.search_config import DEFAULTS
from mmsa.search.definition.study_config import StudyConfig
from mmsa.search.space.scalars import Scalar

SPACES = Path(mmsa.__file__).resolve().parent.parent / "search_spaces"


def find_space(name: str | Path) -> Path:
    """The file a name stands for, with or without ``.yaml``: in the working folder, or a shipped space.

    Raises:
        ConfigError: when there is none, with the nearest shipped name.
    """
    for folder in (Path(), SPACES):
        for candidate in (folder / name, folder / f"{name}.yaml"):
            if candidate.is_file():
                return candidate
    rule = f"no such file here ({Path.cwd()}) or among the shipped spaces"
    raise ConfigError("space", [Problem("(file)", str(name), rule, did_you_mean(str(name), shipped()))])


def shipped() -> list[str]:
    """The names of the spaces that come with mmsa."""
    return [str(path.relative_to(SPACES)) for path in sorted(SPACES.rglob("*.yaml"))]


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
        raise ConfigError(str(path), [*error.problems, *missing]) from None
    if missing:
        raise ConfigError(str(path), missing)
    if overrides:
        base = with_overrides(config.base, overrides, "--set")
        config = parse(StudyConfig, {**config.model_dump(), "base": base.model_dump()}, f"{path} with --set")
    return _with_starts_read(config, str(path))


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
    """``config`` with points in place of the files that its starts name, which may change later."""
    starts: list[str | Mapping[str, Scalar]] = []
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
    values = config.model_dump()
    return parse(StudyConfig, {**values, "search": {**values["search"], "starts": starts}}, source)


def _run_config(path: Path) -> RunConfig:
    """The configuration in a space (its ``base``) or in an exported file (its ``config``)."""
    values = load_yaml(path)
    for key in ("base", "config"):
        if isinstance(values.get(key), Mapping):
            return parse(RunConfig, values[key], str(path))
    raise ConfigError(str(path), [Problem("(file)", path.name, "has neither `base` nor `config`")])
