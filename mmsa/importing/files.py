"""MMSA's two JSON files: ``config_regression.json``, by which it trains, and ``config_tune.json``.

Both map ``datasetCommonParams`` to data sets and every other key to a model. A model has ``commonParams``,
and in the first file ``datasetParams`` by data set, in the second ``debugParams``: choices by setting, and in
``d_paras`` the names of the settings that are drawn.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from mmsa.config import problems_of
from mmsa.errors import ConfigError, Problem

Table = dict[str, Any]

_DATA = "datasetCommonParams"
_ROOT = "dataset_root_dir"


class _Section(BaseModel):
    model_config = ConfigDict(strict=True)
    common: Table = Field(default={}, alias="commonParams")


class _RunSection(_Section):
    by_data_set: dict[str, Table] = Field(alias="datasetParams")


class _Choices(BaseModel):
    model_config = ConfigDict(strict=True, extra="allow")
    drawn: list[str] = Field(alias="d_paras")


class _TuneSection(_Section):
    choices: _Choices = Field(alias="debugParams")


_DATA_SETS = TypeAdapter(dict[str, dict[str, Table]])
_RUN, _TUNE = TypeAdapter(dict[str, _RunSection]), TypeAdapter(dict[str, _TuneSection])


@dataclass(frozen=True)
class RunFile:
    """``config_regression.json``.

    Attributes:
        data: settings by data set and alignment.
        models: by model, its fixed settings and those by data set.
    """

    data: Mapping[str, Mapping[str, Table]]
    models: Mapping[str, tuple[Table, Mapping[str, Table]]]


@dataclass(frozen=True)
class TuneFile:
    """``config_tune.json``.

    Attributes:
        data: settings by data set and alignment.
        models: by model, its fixed settings, choices by setting (nested settings have dotted names), and the
            names of the settings that are drawn.
    """

    data: Mapping[str, Mapping[str, Table]]
    models: Mapping[str, tuple[Table, Table, frozenset[str]]]


def read_run_file(path: Path) -> RunFile:
    """Read ``config_regression.json``.

    Raises:
        ConfigError: for a file that is not laid out like this, with everything that is wrong.
    """
    data, models = _parts(path, _RUN)
    return RunFile(
        data,
        {
            name: (
                dict(flat(part.common)),
                {key: dict(flat(v)) for key, v in part.by_data_set.items()},
            )
            for name, part in models.items()
        },
    )


def read_tune_file(path: Path) -> TuneFile:
    """Read ``config_tune.json``.

    Raises:
        ConfigError: for a file that is not laid out like this, with everything that is wrong.
    """
    data, models = _parts(path, _TUNE)
    return TuneFile(
        data,
        {
            name: (
                dict(flat(part.common)),
                dict(flat(part.choices.model_extra or {})),
                frozenset(part.choices.drawn),
            )
            for name, part in models.items()
        },
    )


def flat(table: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """The entries of nested tables, with dotted names."""
    for key, value in table.items():
        if isinstance(value, Mapping):
            yield from flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _parts(path: Path, sections: TypeAdapter[Any]) -> tuple[dict[str, dict[str, Table]], dict[str, Any]]:
    content = _read(path)
    data = content.pop(_DATA, {})
    if isinstance(data, dict):
        data.pop(_ROOT, None)
    problems: list[Problem] = []
    parsed: list[Any] = []
    for at, adapter, part in ((f"{_DATA}.", _DATA_SETS, data), ("", sections, content)):
        try:
            parsed.append(adapter.validate_python(part))
        except ValidationError as error:
            problems += [Problem(at + p.path, p.value, p.rule, p.next_step) for p in problems_of(error)]
    if problems:
        raise ConfigError(str(path), problems)
    return parsed[0], parsed[1]


def _read(path: Path) -> Table:
    try:
        content = json.loads(
            path.read_text(encoding="utf-8"), object_pairs_hook=_once, parse_constant=_not_finite
        )
    except (OSError, ValueError, RecursionError) as error:
        raise _unreadable(path, f"cannot be read as JSON: {error}") from None
    if not isinstance(content, dict):
        raise _unreadable(path, f"must be an object of models, not a {type(content).__name__}")
    return content


def _once(pairs: list[tuple[str, Any]]) -> Table:
    table = dict(pairs)
    if len(table) < len(pairs):
        raise ValueError(f"a key is written twice among {', '.join(key for key, _ in pairs)}")
    return table


def _not_finite(word: str) -> NoReturn:
    raise ValueError(f"{word} is not a number that a setting can have")


def _unreadable(path: Path, rule: str) -> ConfigError:
    advice = "Give config_regression.json and config_tune.json of MMSA, in this order."
    return ConfigError(str(path), [Problem("(file)", path.name, rule, advice)])
