"""Every error a user of mmsa can meet.

MmsaError
├── ConfigError             a configuration or a search space is wrong; lists all problems at once
├── DataError               a data file is missing, damaged, or not what the configuration says
│   ├── UnsafePickle        a pickle asks for something outside the allow-list
│   └── SealedTest          the test split was asked for where only ``retrain`` may open it
├── TrainingDiverged        a loss term or gradient is no longer finite
├── WorkerLost              one of the processes that train a run together died, or does not answer
├── CheckpointError         a checkpoint cannot be read, or belongs to another configuration
├── StudyError              a study is missing, in use by another driver, or cannot continue
└── TrackingError           the tracking store cannot be reached (never raised into a search)
"""

from __future__ import annotations

import difflib
import reprlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Problem:
    """One thing wrong in a user's file: where, what was found, the rule it breaks, what to write instead."""

    path: str
    value: object
    rule: str
    next_step: str = ""

    def __str__(self) -> str:
        advice = f"\n      {self.next_step}" if self.next_step else ""
        return f"  {self.path}: {self.value!r}\n      {self.rule}{advice}"


class MmsaError(Exception):
    """Base of every error mmsa raises on purpose."""


class ConfigError(MmsaError):
    """A configuration or search space is wrong. Carries every problem found, not only the first."""

    def __init__(self, source: str, problems: Sequence[Problem]):
        self.source = source
        self.problems = tuple(problems)
        count = f"{len(self.problems)} problem" + ("s" if len(self.problems) != 1 else "")
        super().__init__(f"{source}: {count}\n" + "\n".join(str(problem) for problem in self.problems))

    def __reduce__(self) -> tuple[type[ConfigError], tuple[str, tuple[Problem, ...]]]:
        return type(self), (self.source, self.problems)


class DataError(MmsaError):
    """A data file is missing, damaged, or not what the configuration says it is."""


class UnsafePickle(DataError):
    """A pickle asks for an object outside the allow-list; nothing of it was run."""


class SealedTest(DataError):
    """The test split was asked for during a search. Only ``retrain`` opens it, for a frozen configuration."""


class TrainingDiverged(MmsaError):
    """A loss term or the gradient stopped being finite.

    Attributes:
        step: optimiser step (counted over all epochs) at which it happened.
        term: name of the offending term, such as ``task``, ``barber_agakov`` or ``gradient``.
        value: what it was.
    """

    def __init__(self, step: int, term: str, value: float):
        self.step, self.term, self.value = step, term, value
        super().__init__(f"{term} became {value} at step {step}")

    def __reduce__(self) -> tuple[type[TrainingDiverged], tuple[int, str, float]]:
        return type(self), (self.step, self.term, self.value)


class WorkerLost(MmsaError):
    """One of the processes that train a run together died, or does not answer in time."""


class CheckpointError(MmsaError):
    """A checkpoint cannot be read, or was written by another configuration."""


class StudyError(MmsaError):
    """A study is missing, in use by another driver, or cannot continue."""


class TrackingError(MmsaError):
    """The tracking store cannot be reached. Searches go on without it; ``report --rebuild`` fills the gap."""


def nearest(name: str, candidates: Iterable[str]) -> str | None:
    """The candidate most like ``name``, or None when none is close enough to be a likely slip."""
    matches = difflib.get_close_matches(name, list(candidates), n=1, cutoff=0.6)
    return matches[0] if matches else None


def did_you_mean(name: str, candidates: Iterable[str]) -> str:
    """A next step for an unknown name: the nearest valid one, or the list of all."""
    known = sorted(candidates)
    close = nearest(name, known)
    return f"Did you mean {close!r}?" if close else f"Known: {', '.join(known) or 'none'}."


class _Short(reprlib.Repr):
    """Plain values cut short; of all else the type only, since what a file made may have an endless repr."""

    def __init__(self) -> None:
        super().__init__()
        self.maxlevel, self.maxstring = 2, 80

    def repr_str(self, value: str, level: int) -> str:
        return self._cut(value, level)

    def repr_bytes(self, value: bytes, level: int) -> str:
        return self._cut(value, level)

    def repr_int(self, value: int, level: int) -> str:
        bits = value.bit_length()
        return repr(value) if bits <= 128 else f"an integer of {bits} bits"

    def repr_ndarray(self, value: Any, level: int) -> str:
        return f"an array of {str(value.dtype)[: self.maxstring]} and shape {self.repr1(value.shape, level)}"

    def repr_instance(self, value: object, level: int) -> str:
        if value is None or isinstance(value, (bool, float)):
            return repr(value)
        return f"a {type(value).__name__}"

    def _cut(self, value: str | bytes, level: int) -> str:
        if len(value) <= self.maxstring:
            return repr(value)
        return f"{value[: self.maxstring]!r}... ({len(value)} in all)"


def shown(value: object) -> str:
    """``value``, which may come from a file that somebody else wrote, on part of a line.

    Takes the time of a short value however large or deep ``value`` is, and calls no ``repr`` but those of
    plain types.
    """
    return _SHORT.repr(value)


_SHORT = _Short()
