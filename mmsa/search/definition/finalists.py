"""The second stage of a search: its best trials run again with other settings and are ranked again.

Cheap settings in the search (frozen text features, few epochs) decide which trials get expensive ones (the
encoder trained with the model). Finalists are trials of the same study, but the sampler and the scheduler
never see them: their values are those of another task.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated

from pydantic import Field

from mmsa.config import Block, with_overrides
from mmsa.errors import ConfigError, Problem
from mmsa.experiment import RunConfig
from mmsa.interface import Scalar
from mmsa.search.space.space import Space

_FIXED = {
    "data": "trials of one study are compared on the same data",
    "train.metric": "it decides how trials are compared",
    "train.direction": "it decides how trials are compared",
}


class Finalists(Block):
    """Which trials run again, and with what."""

    top: Annotated[int, Field(ge=1)]
    """How many of the best completed trials."""
    set: Annotated[Mapping[str, Scalar], Field(min_length=1)]
    """What changes for them, by dotted path of ``base``, such as ``model.text.finetune: true``. It also
    replaces what was searched."""
    defaults: bool = False
    """Also run the trial of the defaults, whatever its rank, if it completed: what the best finalist has to
    beat."""


def finalist_problems(finalists: Finalists, base: RunConfig, space: Space) -> Iterator[Problem]:
    """Why ``set`` does not fit on top of every point of the space; paths are those of the space file."""
    fixed = {
        path: reason
        for path in finalists.set
        for prefix, reason in _FIXED.items()
        if path == prefix or path.startswith(f"{prefix}.")
    }
    for path, reason in fixed.items():
        rule = f"cannot be changed for finalists: {reason}"
        yield Problem(_at(path), finalists.set[path], rule, "Write it in `base`.")
    changes = {path: value for path, value in finalists.set.items() if path not in fixed}
    try:
        changed = with_overrides(base, changes)
    except ConfigError as error:
        yield from (_problem(found, changes) for found in error.problems)
        return
    if changes and changed == base and not changes.keys() & space.parameters.keys():
        advice = "Set what finalists have and searched trials have not, or leave `finalists` out."
        yield Problem("search.finalists.set", dict(finalists.set), "is what `base` has already", advice)
    yield from _corner_problems(changes, base, space)


def _corner_problems(changes: Mapping[str, Scalar], base: RunConfig, space: Space) -> Iterator[Problem]:
    seen: set[tuple[str, str]] = set()
    for path, value, point in space.corners(base):
        try:
            with_overrides(base, {**point, **changes})
        except ConfigError as error:
            for found in error.problems:
                if (found.path, found.rule) not in seen:
                    seen.add((found.path, found.rule))
                    rule = f"is wrong where {path} is {value!r}: {found.path} {found.rule}"
                    yield Problem("search.finalists.set", dict(changes), rule, found.next_step)


def _problem(found: Problem, changes: Mapping[str, Scalar]) -> Problem:
    """A problem of the changed base, attributed to the change that causes it."""
    if found.path in changes:
        return Problem(_at(found.path), found.value, found.rule, found.next_step)
    below = [path for path in changes if path.startswith(f"{found.path}.")]
    if below:
        return Problem(_at(below[0]), changes[below[0]], found.rule, found.next_step)
    rule = f"makes {found.path} invalid: {found.rule}"
    return Problem("search.finalists.set", dict(changes), rule, found.next_step)


def _at(path: str) -> str:
    return f"search.finalists.set.{path}"
