"""The winner among configurations, or that there is none: rules that do not find one by chance.

A winner beats every other one, each by a two-sided 95 % interval. That is an intersection-union test (Berger
1982): it needs no correction for the number of comparisons, since all of them have to succeed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from mmsa.results.crossed import Crossed, CrossedEstimate

Kind = Literal["winner", "better than the defaults only", "no winner"]

RACE_AFTER = 3
"""Seeds after which configurations that are far behind get no more."""
_RACE_LEVEL = 0.99


@dataclass(frozen=True)
class Contender:
    """A configuration that is compared.

    Attributes:
        name: that people know it by, such as ``trial 7``.
        parameters: how many numbers are trained in model and objective.
        changes: how many settings differ from the defaults; 0 for the defaults themselves.
    """

    name: str
    parameters: int
    changes: int

    @property
    def is_defaults(self) -> bool:
        """Whether nothing in it was chosen by the search."""
        return self.changes == 0


@dataclass(frozen=True)
class Rival:
    """How the best configuration stands to another one.

    Attributes:
        gain: by how much the mean of the best is better; negative where it is worse.
        improvement: probability that one training of the best beats one of the other, with its interval.
    """

    gain: CrossedEstimate
    improvement: tuple[float, float, float]


@dataclass(frozen=True)
class Verdict:
    """What a comparison came to.

    Attributes:
        kind: the result in a word.
        best: name of the configuration with the best mean.
        rivals: the others by name, the nearest first.
        among: the configurations that the best does not surely beat, and itself; one for a winner.
        take: the one to use: the simplest of ``among``.
    """

    kind: Kind
    best: str
    rivals: dict[str, Rival]
    among: tuple[str, ...]
    take: str

    def text(self) -> str:
        """The verdict in a sentence."""
        if self.kind == "winner":
            return f"winner: {self.take}"
        names = f"any of {{{', '.join(self.among)}}}" if len(self.among) > 1 else self.take
        simplest = f"; {self.take} is the simplest of them" if len(self.among) > 1 else ""
        return f"{self.kind}: {names}{simplest}"


def gain(crossed: Crossed, best: str, other: str, metric: str, *, lower: bool) -> CrossedEstimate:
    """By how much the mean of a configuration is better than that of another."""
    return crossed.difference(other, best, metric) if lower else crossed.difference(best, other, metric)


def leader(crossed: Crossed, names: Sequence[str], metric: str, *, lower: bool) -> str:
    """The configuration with the best mean; the first one of equals."""
    sign = 1.0 if lower else -1.0
    return min(names, key=lambda name: sign * crossed.mean(name, metric).value)


def out_of_the_race(
    crossed: Crossed, contenders: Sequence[Contender], metric: str, *, lower: bool
) -> list[str]:
    """The configurations whose 99 % interval lies wholly on the wrong side of the best.

    The defaults stay, since every result is told against them.

    Args:
        crossed: of ``RACE_AFTER`` seeds each. A look at more occasions would need wider intervals.
        contenders: that are in the race.
        metric: that decides.
        lower: whether less of it is better.
    """
    best = leader(crossed, [contender.name for contender in contenders], metric, lower=lower)
    return [
        contender.name
        for contender in contenders
        if contender.name != best
        and not contender.is_defaults
        and gain(crossed, best, contender.name, metric, lower=lower).interval(_RACE_LEVEL)[0] > 0.0
    ]


def judge(crossed: Crossed, contenders: Sequence[Contender], metric: str, *, lower: bool) -> Verdict:
    """The verdict on configurations, at least two. Those that left the race count with the seeds they have.

    Args:
        crossed: of all seeds on the split that decides.
        contenders: in the order of the search, which decides between equals.
        metric: that decides.
        lower: whether less of it is better.
    """
    names = [contender.name for contender in contenders]
    best = leader(crossed, names, metric, lower=lower)
    rivals = {name: _rival(crossed, best, name, metric, lower) for name in names if name != best}
    rivals = dict(sorted(rivals.items(), key=lambda item: item[1].gain.value))
    beaten = {name for name, rival in rivals.items() if rival.gain.interval()[0] > 0.0}
    tied = [contender for contender in contenders if contender.name not in beaten]
    defaults = next((contender for contender in contenders if contender.is_defaults), None)
    if len(tied) == 1:
        kind: Kind = "winner"
    elif defaults is not None and defaults.name in beaten:
        kind = "better than the defaults only"
        # One that the best does not surely beat need not surely beat the defaults itself.
        tied = [
            contender
            for contender in tied
            if contender.name == best
            or gain(crossed, contender.name, defaults.name, metric, lower=lower).interval()[0] > 0.0
        ]
    else:
        kind = "no winner"
    simplest = min(tied, key=lambda contender: (contender.parameters, contender.changes))
    return Verdict(kind, best, rivals, tuple(contender.name for contender in tied), simplest.name)


def _rival(crossed: Crossed, best: str, name: str, metric: str, lower: bool) -> Rival:
    improvement = crossed.improvement(best, name, metric, lower=lower)
    return Rival(
        gain(crossed, best, name, metric, lower=lower),
        (improvement.value, improvement.low, improvement.high),
    )
