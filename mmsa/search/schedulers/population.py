"""The scheduler that lets trials go on from each other's weights."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field
from typing_extensions import override

from mmsa.config import Named
from mmsa.search.schedulers.base import SCHEDULERS, Decision, Replacement, Rungs, Scheduler


@SCHEDULERS.register("pbt")
class PopulationBased(Scheduler):
    """Population based training (Jaderberg et al. 2017) with truncation selection, generation by generation.

    Every ``interval`` epochs the trials wait for each other. Then the worst of them end, and each is replaced
    by a new trial that goes on from the weights of one of the best, with settings a little off that one's.

    Unlike in the paper no trial is compared with one that is further, the worst is replaced from the best,
    the second worst from the second best, and so on: nothing depends on the order of reports, nor on chance.
    """

    class Config(Named):
        """When, and how many."""

        name: Literal["pbt"] = "pbt"
        interval: Annotated[int, Field(ge=1)] = 5
        """Epochs of a generation."""
        quantile: Annotated[float, Field(gt=0.0, le=0.5)] = 0.25
        """Part of the trials that is replaced after each, and part that replaces them."""

    def __init__(self, config: Named, epochs: int, direction: str):
        super().__init__(config, epochs, direction)
        self.pauses = tuple(range(self.config.interval, self.epochs, self.config.interval))
        self._rungs = Rungs(self.pauses)
        self._generation = 0

    @override
    def replacements(self) -> list[Replacement]:
        if not self.paused or self._open():
            return []
        losses = self._rungs.losses[self._generation]
        ranked = self._rungs.best(self._generation, len(losses), without=self._spared)
        count = int(self.config.quantile * len(ranked))
        epoch = self.pauses[self._generation]
        pairs = zip(reversed(ranked), ranked[:count], strict=False)
        found = [
            Replacement(loser, parent, epoch) for loser, parent in pairs if self._both_wait(loser, parent)
        ]
        for replacement in found:
            del self.paused[replacement.loser]
        return found

    @override
    def promote(self, closing: bool = False) -> int | None:
        if closing and self.paused and not self._open():
            self._generation += 1
        for trial in self._open():
            del self.paused[trial]
            return trial
        return None

    @override
    def _judge(self, trial: int, epoch: int, loss: float) -> Decision:
        self._rungs.enter(trial, epoch, loss)
        if trial not in self._spared:  # who is beyond a generation has seen its end
            self._generation = max(self._generation, sum(level < epoch for level in self.pauses))
        return "pause" if epoch in self.pauses else "continue"

    def _open(self) -> list[int]:
        """The trials that wait although their generation has ended."""
        ended = self.pauses[: self._generation]
        return sorted(trial for trial, epoch in self.paused.items() if epoch in ended)

    def _both_wait(self, *trials: int) -> bool:
        return all(self.paused.get(trial) == self.pauses[self._generation] for trial in trials)
