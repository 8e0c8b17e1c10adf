"""The errors that mmsa raises on purpose, and how their messages are written.

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
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import PurePath

_MOST_SHOWN = 80
_MOST_PROBLEMS = 100
_MOST_KNOWN = 40
_LONGEST_NAME = 100
_LIKENESS, _ALMOST_THE_SAME = 0.6, 0.8  # of difflib, which calls the first one close
_ALSO_CALLED = {
    "accuracy": "acc",
    "algorithm": "sampler",
    "bs": "batch size",
    "ce": "cross entropy",
    "cnn": "conv",
    "corr": "pearson",
    "correlation": "pearson",
    "dev": "valid",
    "early stopping": "patience",
    "gpu": "cuda",
    "l1": "mae",
    "learning rate": "lr",
    "max epochs": "epochs",
    "nsgaii": "nsga2",
    "num samples": "trials",
    "optimizer": "optim",
    "pruner": "scheduler",
    "search alg": "sampler",
    "val": "valid",
    "validation": "valid",
    "wd": "weight decay",
}
"""Words of other tools, and the words for the same things here."""


def shown(value: object, most: int = _MOST_SHOWN) -> str:
    """``repr(value)`` on one line, cut after about ``most`` characters.

    Values may come from an untrusted file, so ``repr`` itself is not called: it could take for ever. No more
    is looked at than is shown, and of objects other than plain data and paths only the type is shown.
    """
    text = ""
    for piece in _pieces(value, most):
        text += piece
        if len(text) > most:
            return text[:most] + "..."
    return text


def _pieces(value: object, most: int) -> Iterator[str]:
    if isinstance(value, str):
        # Of str itself: a subclass could bring a __repr__ of its own.
        yield str.__repr__(str.__getitem__(value, slice(most + 1)))
    elif type(value) is int and value.bit_length() > 4 * most:  # the time of repr is quadratic in digits
        yield f"a whole number of about {int(value.bit_length() * 0.30103) + 1} digits"
    elif value is None or type(value) in (bool, int, float, complex):
        yield repr(value)
    elif type(value) in (bytes, bytearray):
        yield repr(value[: most + 1])  # type: ignore[index]
    elif isinstance(value, PurePath):
        yield from _pieces(str(value), most)
    elif type(value) in (dict, list, tuple, set, frozenset):
        yield from _collection(value, most)
    else:
        yield f"<{type(value).__name__}>"


def _collection(value: object, most: int) -> Iterator[str]:
    opening, closing = "[]" if type(value) is list else "()" if type(value) is tuple else "{}"
    yield opening
    for position, item in enumerate(value):  # type: ignore[arg-type, var-annotated]
        yield ", " if position else ""
        yield from _pieces(item, most)
        if isinstance(value, Mapping):
            yield ": "
            yield from _pieces(value[item], most)
    yield f",{closing}" if type(value) is tuple and len(value) == 1 else closing


@dataclass(frozen=True)
class Problem:
    """One thing wrong in a user's file.

    Attributes:
        path: where, as a dotted path.
        value: what was found there.
        rule: the rule it breaks, as the rest of a sentence about the value.
        next_step: what to write instead; empty where the rule says enough.
    """

    path: str
    value: object
    rule: str
    next_step: str = ""

    def __str__(self) -> str:
        advice = f"\n      {self.next_step}" if self.next_step else ""
        return f"  {shortened(self.path)}: {shown(self.value)}\n      {self.rule}{advice}"


class MmsaError(Exception):
    """Base of every error mmsa raises on purpose."""


class ConfigError(MmsaError):
    """A configuration or a search space is wrong.

    Attributes:
        source: the file, or what else was read.
        problems: every problem that was found, not only the first.
    """

    def __init__(self, source: str, problems: Sequence[Problem]):
        self.source = source
        self.problems = tuple(problems)
        count = f"{len(self.problems)} problem" + ("s" if len(self.problems) != 1 else "")
        lines = [str(problem) for problem in self.problems[:_MOST_PROBLEMS]]
        if more := len(self.problems) - len(lines):
            lines.append(f"  and {more} more")
        super().__init__(f"{shortened(source)}: {count}\n" + "\n".join(lines))

    # Exceptions are pickled by their message alone, and errors travel from workers to the driver.
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
        step: optimiser step, counted over all epochs.
        term: name of the offending term, such as ``task``, ``barber_agakov`` or ``gradient``.
        value: its value, which is not finite.
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


def shortened(text: str, most: int = 2 * _MOST_SHOWN) -> str:
    """A name or path from a file, on one line, cut after ``most`` characters."""
    line = text if text.isprintable() else ascii(text[: most + 1])[1:-1]
    return line if len(line) <= most else line[:most] + "..."


def nearest(name: str, candidates: Iterable[str]) -> str | None:
    """The candidate most like ``name``, or None if none is close enough to be a likely slip.

    Case and separators of words are ignored, and words of other tools are translated. A name may lack words
    of the candidate or have additional ones: ``lr`` is like ``optim.lr``, ``grace_period`` like ``grace``.
    """
    if len(name) > _LONGEST_NAME:
        return None
    wanted = words_of(name)
    by_words: dict[str, str] = {}
    for candidate in candidates:
        if len(candidate) <= _LONGEST_NAME:
            by_words.setdefault(words_of(candidate), candidate)
    if not wanted or wanted in by_words:
        return by_words.get(wanted)
    # A slip of a letter or two decides first. Then names that share whole words, since "lr" is no slip of
    # "optim lr" to difflib. Only then what is merely similar.
    close = difflib.get_close_matches(wanted, by_words, n=1, cutoff=_LIKENESS)
    if close and difflib.SequenceMatcher(None, close[0], wanted).ratio() >= _ALMOST_THE_SAME:
        return by_words[close[0]]
    longer = [words for words in by_words if f" {words}".endswith(f" {wanted}")]
    longer = longer or [words for words in by_words if set(wanted.split()) <= set(words.split())]
    longer = longer or [words for words in by_words if len(wanted) > 2 and words.startswith(wanted)]
    if longer:
        return by_words[min(longer, key=len)]
    if close:
        return by_words[close[0]]
    shorter = [words for words in by_words if words and set(words.split()) <= set(wanted.split())]
    return by_words[max(shorter, key=len)] if shorter else None


@lru_cache(4096)
def words_of(name: str) -> str:
    """The words of a name in lower case, with those of other tools translated."""
    words = " ".join(re.split(r"[\W_]+", name.casefold())).strip()
    for other, ours in _ALSO_CALLED.items():
        words = re.sub(rf"\b{other}\b", ours, words)
    return words


def did_you_mean(name: str, candidates: Iterable[str]) -> str:
    """Advice for an unknown name: the nearest valid one, or the list of all."""
    known = sorted(candidates)
    if close := nearest(name, known):
        return f"Did you mean {close!r}?"
    more = f" and {len(known) - _MOST_KNOWN} more" if len(known) > _MOST_KNOWN else ""
    return f"Known: {', '.join(known[:_MOST_KNOWN]) or 'none'}{more}."
