"""Schedulers that pause trials, and let the best go on from their checkpoints."""

from __future__ import annotations

from typing import Literal

import numpy as np
from typing_extensions import override

from mmsa.config import Named
from mmsa.search.schedulers.base import SCHEDULERS, Decision, Rungs, RungSettings, Scheduler

_NOISE_PERCENTILE = 90  # N of the paper


@SCHEDULERS.register("halving")
class PromotingHalving(Scheduler):
    """Asynchronous successive halving (Li et al. 2020, algorithm 2), promoting form.

    Every trial is paused at a rung; as soon as it is among the best 1/``reduction`` of all that reached the
    rung, it goes on. Made for a machine that runs one or two trials at a time, where all that come early go
    on in the stopping form. At the end at least one trial of each rung goes on, so that one completes.
    """

    class Config(RungSettings):
        """Where the rungs are."""

        name: Literal["halving"] = "halving"

    def __init__(self, config: Named, epochs: int, direction: str):
        super().__init__(config, epochs, direction)
        self.pauses = self.config.levels(self.epochs)
        self._rungs = Rungs(self.pauses)

    @override
    def promote(self, closing: bool = False) -> int | None:
        for place in reversed(range(len(self.pauses))):
            for trial in self._best(place, closing):
                if self.paused.get(trial) == self.pauses[place]:
                    del self.paused[trial]
                    return trial
        return None

    @override
    def _judge(self, trial: int, epoch: int, loss: float) -> Decision:
        place = self._rungs.enter(trial, epoch, loss)
        if place is None or trial in self._best(place):
            return "continue"
        return "pause" if epoch in self.pauses else "continue"

    def _best(self, place: int, closing: bool = False) -> list[int]:
        """The trials of a rung that may go on; spared ones do so anyway and take nobody's place."""
        return self._rungs.best(place, self._quota(place, closing), without=self._spared)

    def _quota(self, place: int, closing: bool = False) -> int:
        """How many trials of a rung may go on."""
        share = len(self._rungs.losses[place]) // int(self.config.reduction)
        return max(1, share) if closing else share


@SCHEDULERS.register("pasha")
class GrowingHalving(PromotingHalving):
    """PASHA (Bohdal et al. 2023): promoting halving whose largest rung grows only while it tells more.

    No trial goes beyond the second rung, until the ranking there is another than the same trials had one rung
    before; then none beyond the third, and so on. Differences below the noise count as equal: trials whose
    curves cross and cross back are apart by noise. At the end the best trial runs its full length.

    Unlike in the paper the rung is found anew from all values at each decision, so that a search that was
    stopped goes on with it; it never falls below one that a trial has passed.
    """

    class Config(RungSettings):
        """Where the rungs are."""

        name: Literal["pasha"] = "pasha"

    def __init__(self, config: Named, epochs: int, direction: str):
        super().__init__(config, epochs, direction)
        self._curves: dict[int, dict[int, float]] = {}
        self._passed = 1

    @override
    def _judge(self, trial: int, epoch: int, loss: float) -> Decision:
        self._curves.setdefault(trial, {})[epoch] = loss
        if trial not in self._spared:
            self._passed = max(self._passed, sum(level < epoch for level in self.pauses))
        return super()._judge(trial, epoch, loss)

    @override
    def _quota(self, place: int, closing: bool = False) -> int:
        return super()._quota(place, closing) if place < self.top() else int(closing)

    def top(self) -> int:
        """Place of the rung that no trial may pass yet; one past the last rung when all may be passed."""
        top = self._passed
        while top < len(self.pauses) and self._disagree(top):
            top += 1
        return top

    def _disagree(self, place: int) -> bool:
        """Whether a rung ranks its trials differently from the rung before, beyond the noise."""
        now, before = self._rungs.losses[place], self._rungs.losses[place - 1]
        trials = [trial for trial in now if trial in before]
        ranked = zip(sorted(trials, key=now.__getitem__), sorted(trials, key=before.__getitem__), strict=True)
        gap = max((abs(before[one] - before[other]) for one, other in ranked), default=0.0)
        return gap > 0 and gap > self._noise(trials)

    def _noise(self, trials: list[int]) -> float:
        """Noise of the curves: how far trials that crossed back and forth are apart at their last epoch."""
        # Of all pairs P at once, epoch by epoch: a decision has to be quick among hundreds of trials.
        one_P, other_P = np.triu_indices(len(trials), 1)
        sign_P, crossings_P, gap_P = np.zeros((3, len(one_P)))
        curves = [self._curves[trial] for trial in trials]
        for epoch in sorted(set().union(*curves)):
            reported_T = np.array([epoch in curve for curve in curves])
            loss_T = np.array([curve.get(epoch, 0.0) for curve in curves])
            both_P, difference_P = reported_T[one_P] & reported_T[other_P], loss_T[one_P] - loss_T[other_P]
            now_P = np.sign(difference_P) * both_P
            crossings_P += now_P * sign_P < 0
            sign_P = np.where(now_P != 0, now_P, sign_P)
            gap_P = np.where(both_P, np.abs(difference_P), gap_P)
        gaps = gap_P[crossings_P >= 2]
        return float(np.percentile(gaps, _NOISE_PERCENTILE)) if len(gaps) else 0.0
