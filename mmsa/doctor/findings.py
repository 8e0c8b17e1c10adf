"""What an examination finds, one line each, with what to do about it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from mmsa.errors import MmsaError
from mmsa.masking import masked_in

Verdict = Literal["ok", "note", "wrong"]


@dataclass(frozen=True)
class Finding:
    """One line.

    Attributes:
        subject: what was looked at, in a word or two.
        verdict: ``note`` for what may stay as it is, ``wrong`` for what a search would fail or suffer from.
        told: what was found.
        advice: what to do; empty where nothing is to be done.
    """

    subject: str
    verdict: Verdict
    told: str
    advice: str = ""

    def __str__(self) -> str:
        line = f"{self.verdict:<6}{self.subject:<10}{masked_in(self.told)}"
        return f"{line}\n{'':16}-> {masked_in(self.advice)}" if self.advice else line


Check = Callable[[], Iterable[Finding]]


def examined(subject: str, check: Check) -> Iterator[Finding]:
    """The findings of a check; one that fails is a finding as well, since the rest has to be told too."""
    try:
        yield from check()
    except MmsaError as error:  # it says what to do itself, below its first line
        told, _, advice = str(error).partition("\n")
        yield Finding(subject, "wrong", told, advice.strip().replace("\n", f"\n{'':19}"))
    except Exception as error:  # a library may raise whatever it likes
        told = f"could not be looked at: {type(error).__name__}: {error}"
        yield Finding(subject, "wrong", told, "This is unexpected; the message is all there is to go by.")
