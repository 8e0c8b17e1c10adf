"""Checking the rest of a space file that has a mistake, so that all mistakes are reported at once.

A file with twenty slips should need one run to find them, not twenty. Each wrong part is renamed to what was
likely meant, removed, or replaced by a stand-in where something is required. Problems found after that are
reported unless the repair itself may have caused them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from mmsa.config import problems_of
from mmsa.errors import Problem

_ROUNDS = 20
_SUGGESTION = re.compile(r"Did you mean '([\w/]+)'\?")
_PARAMETERS = "search.parameters"
_OBJECTIVE = {"metric": "valid/mae", "direction": "minimize"}
_BASE: Mapping[str, Any] = {"data": {"name": "planted"}, "model": {"name": "late_fusion"}}
_STAND_INS: Mapping[str, Any] = {
    "study": "study",
    "base": _BASE,
    **{f"base.{name}": block for name, block in _BASE.items()},
    "search": {"trials": 1, "objectives": [_OBJECTIVE]},
    "search.trials": 1,
    "search.objectives": [_OBJECTIVE],
}
_READERS = ("search.starts.", "search.constraints.", "search.finalists.")
_HARMLESS = {"search.starts": "defaults", "search.constraints": "1 == 1"}  # their positions name them


class Salvage:
    """A space file that is repaired step by step, and the problems found on the way.

    Args:
        data: as it was read.
        handler: validates it as the configuration of a study.
    """

    def __init__(self, data: Any, handler: Callable[[Any], Any]):
        self._values, self._handler = _copied(data), handler
        self._told: dict[str, list[Problem]] = {}
        self._renamed: set[str] = set()
        self._read = False
        self._gone: list[str] = []

    @property
    def problems(self) -> list[Problem]:
        """All problems found, in order."""
        return [problem for problems in self._told.values() for problem in problems]

    def config(self) -> Any:
        """The configuration of what is right; None if nothing can be saved."""
        for _ in range(_ROUNDS):
            try:
                config = self._handler(self._values)
                self._read = True
                return config
            except ValidationError as error:
                if not self.take_out(self.add(problems_of(error))):
                    return None
        return None

    def add(self, problems: Sequence[Problem]) -> Sequence[Problem]:
        """Keep the problems that no earlier problem or repair can have caused; returns ``problems``."""
        earlier = tuple(self._told)
        for problem in problems:
            known = any(_within(problem.path, old) or _within(old, problem.path) for old in earlier)
            if not known and not any(_stems_from(problem, gone) for gone in self._gone):
                self._told.setdefault(problem.path, []).append(problem)
        return problems

    def take_out(self, problems: Sequence[Problem]) -> bool:
        """Repair or remove what these problems are about; False if there was nothing to change."""
        done: set[str] = set()
        for problem in problems:
            if not any(_within(problem.path, path) for path in done):
                done |= {path for path in [self._repaired(problem)] if path}
        return bool(done)

    def _repaired(self, problem: Problem) -> str:
        """Repair one problem; the path that was changed, or empty."""
        path = problem.path
        if self._read and (name := self._parameter(path.replace("base.", f"{_PARAMETERS}.", 1))):
            path = f"{_PARAMETERS}.{name}"  # a default that its parameter does not have
        if path.startswith(f"{_PARAMETERS}.") and (name := self._parameter(path)):
            self._gone.append(name)
            del self._values["search"]["parameters"][name]
            return f"{_PARAMETERS}.{name}"
        trail, rest = _trail(self._values, path)
        if rest and path in _STAND_INS:
            return self._stand_in(path)
        if not trail:
            return ""
        holder, key = trail[-1]
        if not rest and self._renamed_in(holder, key, problem):
            return path
        return self._removed(holder, key, path[: len(path) - len(rest)].rstrip("."))

    def _parameter(self, path: str) -> str | None:
        """The searched parameter that a path is about."""
        search = self._values.get("search")
        parameters = search.get("parameters") if isinstance(search, dict) else None
        below = path.removeprefix(f"{_PARAMETERS}.") if path.startswith(f"{_PARAMETERS}.") else ""
        parameters = parameters if isinstance(parameters, dict) else {}
        found = [name for name in parameters if _within(below, name)]
        found += [name for name, p in parameters.items() if isinstance(p, dict) and _shares(p, below)]
        return max(found, key=len, default=None)

    def _stand_in(self, path: str) -> str:
        holder = self._values
        *parents, leaf = path.split(".")
        for part in parents:
            holder = holder[part]
        holder[leaf] = _copied(_STAND_INS[path])
        self._gone.append(path.removeprefix("base."))
        return path

    def _renamed_in(self, holder: Any, key: Any, problem: Problem) -> bool:
        """Rename a wrong name to what was likely meant; False if that is not possible."""
        likely = _SUGGESTION.fullmatch(problem.next_step)
        if likely is None or problem.path in self._renamed:
            return False
        self._renamed.add(problem.path)
        if isinstance(holder[key], str) and holder[key] == problem.value:
            holder[key] = likely[1]
        elif isinstance(holder, dict) and likely[1] not in holder:
            holder[likely[1]] = holder.pop(key)
        else:
            return False
        return True

    def _removed(self, holder: Any, key: Any, path: str) -> str:
        self._gone.append(path.removeprefix("base."))
        place = path.rpartition(".")[0]
        if isinstance(holder, list) and place in _HARMLESS and holder[key] != _HARMLESS[place]:
            holder[key] = _HARMLESS[place]
        else:
            del holder[key]
        return path


def _shares(parameter: Mapping[str, Any], path: str) -> bool:
    """Whether a setting is one of those that share a total."""
    members = parameter.get("of")
    return path in members if isinstance(members, dict | list) else False


def _copied(values: Any) -> Any:
    if isinstance(values, Mapping):
        return {str(key): _copied(value) for key, value in values.items()}
    return [_copied(value) for value in values] if isinstance(values, list | tuple) else values


def _within(path: str, other: str) -> bool:
    return path == other or path.startswith(f"{other}.")


def _stems_from(problem: Problem, gone: str) -> bool:
    """Whether a problem may only exist because ``gone`` was removed."""
    place = problem.path.removeprefix("base.").removeprefix(f"{_PARAMETERS}.")
    searched = problem.path.startswith(_PARAMETERS)  # its range is wrong beside any default
    if place.startswith(f"{gone}.") or (place == gone and not searched):
        return True
    if place.endswith(".direction") and gone == place.removesuffix("direction") + "metric":
        return True  # a metric decides the direction
    reads = place.startswith(_READERS) or ".when." in place or place.endswith(".same_as")
    # As a whole path, or the beginning of one, in the place as well: a start has names of parameters there.
    whole = rf"(?<![\w.]){re.escape(gone)}(?!\w)"
    names = re.sub(r"^search\.\w+\.(\d+|set)\.?", "", place)
    return reads and re.search(whole, f"{names} {problem.value} {problem.rule}") is not None


def _trail(values: Any, path: str) -> tuple[list[tuple[Any, Any]], str]:
    """Containers and keys on the way to a dotted path, as far as they exist, and the rest of the path.

    A key may contain dots itself.
    """
    trail: list[tuple[Any, Any]] = []
    while path:
        if isinstance(values, dict):
            key: Any = max((key for key in values if _within(path, key)), key=len, default=None)
            used = key
        else:
            used = path.partition(".")[0]
            key = int(used) if isinstance(values, list) and used.isdecimal() else None
            key = key if key is not None and key < len(values) else None
        if key is None:
            break
        trail.append((values, key))
        values, path = values[key], path[len(used) + 1 :]
    return trail, path
