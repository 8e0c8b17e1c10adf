"""What a study begins with that has seen test: starts that were measured on it, and studies learned from.

A configuration that was opened on test has been looked at. A search that begins with it, or draws from the
best points of a study whose test was opened, may owe its result to that look. Nothing is forbidden: it is
remembered by the study, and every report of it says so.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

from mmsa.config import walk, with_overrides
from mmsa.data.ledger import Opening
from mmsa.errors import MmsaError
from mmsa.experiment import RunConfig
from mmsa.interface import Scalar
from mmsa.search.definition.search_config import DEFAULTS
from mmsa.search.definition.study_config import StudyConfig
from mmsa.search.space.checks import dotted

_ALIKE = 1e-3  # as numbers are copied from a report, which shows four digits
_ELSEWHERE = ("information.", "train.threads", "train.device", "train.precision", "train.eval_batch_size")
"""Settings that do not make another configuration: where it is run, and what is measured of it."""


def lines_of_tested(
    config: StudyConfig,
    points: Sequence[Mapping[str, Scalar]],
    priors: Mapping[str, Sequence[str]],
    openings: Sequence[Opening],
    config_of: Callable[[str, int], RunConfig],
) -> list[str]:
    """A line for each start, and each earlier study to draw from, that has seen test.

    Args:
        config: of the study that begins with them.
        points: complete points of its space.
        priors: earlier studies by name, with what these began with that had seen test.
        openings: of the folder of runs, oldest first.
        config_of: the configuration of a trial of a study; for openings of before they held it.
    """
    measured = [(opening, *each) for opening in openings for each in _measured(opening, config_of)]
    lines = []
    for point in points if measured else ():
        run = with_overrides(config.base, point).model_dump(mode="json")
        chosen = {} if point == config.complete({}) else point
        opened = next((each for each in measured if _is_start(run, chosen, each[2])), None)
        if opened is not None:
            opening, trial, _ = opened
            what = "the defaults" if trial is None else f"trial {trial}"
            whose = f"{what} of study {opening.study}" if opening.study else "of no study"
            lines.append(
                f"{_spoken(config, point)} had seen test before this study began with it: it is a "
                f"configuration that was opened on {opening.date[:10]} ({whose})"
            )
    for name, inherited in priors.items():
        of_prior = [opening for opening in openings if opening.study == name]
        if of_prior:
            lines.append(
                f"study {name}, whose best points this one draws from, had seen test: it was opened "
                f"{len(of_prior)} times, first on {of_prior[0].date[:10]}"
            )
        lines += [f"{line} (of study {name}, which this one draws from)" for line in inherited]
    return lines


def _measured(
    opening: Opening, config_of: Callable[[str, int], RunConfig]
) -> Iterator[tuple[int | None, Mapping[str, Any]]]:
    """Trial and configuration of all that an opening measured."""
    if opening.config:
        yield opening.trial, opening.config
    elif opening.study is not None and opening.trial is not None:
        with suppress(MmsaError, LookupError):  # the study may be gone
            run = with_overrides(config_of(opening.study, opening.trial), opening.overrides)
            yield opening.trial, run.model_dump(mode="json")
    for other in opening.beside:
        yield other.trial, other.config


def _is_start(run: Mapping[str, Any], chosen: Mapping[str, Scalar], opened: Mapping[str, Any]) -> bool:
    """Whether a start runs an opened configuration, or has the values of one in everything that is searched.

    Args:
        run: configuration of the start.
        chosen: what a search would have chosen of it; nothing of the defaults, which have to be the same.
        opened: what was measured on test.
    """
    if any(run[part]["name"] != opened[part]["name"] for part in ("data", "model")):
        return False
    if chosen:
        return all(_alike(value, walk(opened, path)) for path, value in chosen.items())
    ours, theirs = (
        {path: value for path, value in dotted(values).items() if not _set_aside(path)}
        for values in (run, opened)
    )
    return ours.keys() == theirs.keys() and all(_alike(value, theirs[path]) for path, value in ours.items())


def _set_aside(path: str) -> bool:
    return path.startswith(_ELSEWHERE) or path in ("seed", "data.path")


def _alike(one: object, other: object) -> bool:
    if isinstance(one, float) or isinstance(other, float):
        if isinstance(one, bool) or isinstance(other, bool):
            return False
        if isinstance(one, (int, float)) and isinstance(other, (int, float)):
            return math.isclose(one, other, rel_tol=_ALIKE)
    return one == other


def _spoken(config: StudyConfig, point: Mapping[str, Scalar]) -> str:
    position = config.starts().index(dict(point))
    return DEFAULTS if position == 0 else f"start {position}"
