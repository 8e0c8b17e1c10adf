"""Schedulers that stop a trial for good."""

from __future__ import annotations

import math
from statistics import median
from typing import Annotated, Literal

from pydantic import Field
from typing_extensions import override

from mmsa.config import Named
from mmsa.search.schedulers.base import SCHEDULERS, Decision, Rungs, RungSettings, Scheduler

_GOLDEN = (math.sqrt(5) - 1) / 2  # its multiples modulo 1 are spread evenly


@SCHEDULERS.register("asha")
class SuccessiveHalving(Scheduler):
    """Asynchronous successive halving (Li et al. 2020), stopping form: the best of each rung go on.

    The first trial at a rung has nothing to be compared with and always goes on, so with one or two trials
    at a time most budget is spent before there is anything to compare: see ``halving``.
    """

    class Config(RungSettings):
        """Where the rungs are."""

        name: Literal["asha"] = "asha"

    def __init__(self, config: Named, epochs: int, direction: str):
        super().__init__(config, epochs, direction)
        self._rungs = Rungs(self.config.levels(self.epochs))

    @override
    def _judge(self, trial: int, epoch: int, loss: float) -> Decision:
        return _judged(self._rungs, trial, epoch, loss, 1 / self.config.reduction)


@SCHEDULERS.register("hyperband")
class Hyperband(Scheduler):
    """Asynchronous Hyperband (Li et al. 2018, 2020): successive halving from several first rungs at once.

    Trials are dealt out to brackets by their numbers, as often as Hyperband would begin them there; the last
    bracket stops nothing.
    """

    class Config(RungSettings):
        """Where the rungs are."""

        name: Literal["hyperband"] = "hyperband"
        brackets: Annotated[int, Field(ge=1, le=100)] | None = None
        """How many brackets; one for each rung, and one without any, if nothing is written."""

    def __init__(self, config: Named, epochs: int, direction: str):
        super().__init__(config, epochs, direction)
        levels = self.config.levels(self.epochs)
        starts = range(len(levels) + 1)[: self.config.brackets]
        self._brackets = [Rungs(levels[start:]) for start in starts]
        halvings = [len(levels) - start for start in starts]
        self._shares = [self.config.reduction**count / (count + 1) for count in halvings]

    @override
    def _judge(self, trial: int, epoch: int, loss: float) -> Decision:
        bracket = self._brackets[self.bracket_of(trial)]
        return _judged(bracket, trial, epoch, loss, 1 / self.config.reduction)

    def bracket_of(self, trial: int) -> int:
        """The place of a trial's bracket; 0 has the earliest rung."""
        left = trial * _GOLDEN % 1.0 * sum(self._shares)
        for place, share in enumerate(self._shares):
            left -= share
            if left < 0:
                return place
        return len(self._shares) - 1


@SCHEDULERS.register("median")
class MedianStopping(Scheduler):
    """The median rule (Golovin et al. 2017).

    A trial stops when its best value is worse than the median of the other trials' means up to the same
    epoch.
    """

    class Config(Named):
        """When the rule begins."""

        name: Literal["median"] = "median"
        grace: Annotated[int, Field(ge=1)] = 3
        """Epochs every trial may run."""
        trials: Annotated[int, Field(ge=1)] = 5
        """Other trials that must have come as far before one is stopped."""

    def __init__(self, config: Named, epochs: int, direction: str):
        super().__init__(config, epochs, direction)
        self._best: dict[int, float] = {}
        self._sums: dict[int, tuple[float, int]] = {}
        self._means: dict[int, dict[int, float]] = {}

    @override
    def _judge(self, trial: int, epoch: int, loss: float) -> Decision:
        total, count = self._sums.get(trial, (0.0, 0))
        self._sums[trial] = total + loss, count + 1
        self._best[trial] = min(loss, self._best.get(trial, loss))
        means = self._means.setdefault(epoch, {})
        others = list(means.values())
        means[trial] = (total + loss) / (count + 1)
        if epoch < self.config.grace or len(others) < self.config.trials:
            return "continue"
        return "stop" if self._best[trial] > median(others) else "continue"


def _judged(rungs: Rungs, trial: int, epoch: int, loss: float, part: float) -> Decision:
    place = rungs.enter(trial, epoch, loss)
    return "stop" if place is not None and rungs.is_worse(trial, place, part) else "continue"
