"""A search without processes: simulated workers, recorded trials, and the search's own proposals and rules.

A sampler that asks for a point gets the nearest recorded one that no trial of the search had yet, and is
told so. An epoch takes the CPU time that was recorded; a trial ends by ``train.patience``, as it would in
training.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from optuna import Study
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial, TrialState
from tasks import Trial

from mmsa.interface import Scalar
from mmsa.search.definition.study_config import StudyConfig
from mmsa.search.samplers.base import SamplerWrapper
from mmsa.search.samplers.proposals import Proposals
from mmsa.search.space.space import Space
from mmsa.search.stops import embed

WORKERS = 4


class Pool:
    """The recorded trials of which a search takes one after another; ``taken`` are those in their order."""

    def __init__(self, space: Space, trials: Sequence[Trial]):
        self.taken: list[Trial] = []
        self._space, self._trials = space, trials
        self._embedded_NP = embed(space, [trial.point for trial in trials])
        self._free_N = np.ones(len(trials), bool)

    def __len__(self) -> int:
        return int(self._free_N.sum())

    def take_nearest(self, point: Mapping[str, Scalar]) -> Trial:
        """The nearest that is left: the sum of distances on parameters scaled to [0, 1] is smallest."""
        distances_N = np.abs(self._embedded_NP - embed(self._space, [point])).sum(axis=1)
        index = int(np.where(self._free_N, distances_N, np.inf).argmin())
        self._free_N[index] = False
        self.taken.append(self._trials[index])
        return self._trials[index]


class NearestRecorded(SamplerWrapper):
    """Takes from the pool what is nearest to the whole point that another sampler chooses."""

    def __init__(self, inner: BaseSampler, space: Space, pool: Pool):
        super().__init__(inner)
        self._space, self._pool = space, pool

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        wish = super().sample_relative(study, trial, search_space)
        return self._space.encode(self._pool.take_nearest(self._space.decode(wish)).point)


@dataclass
class Replayed:
    """A trial of a replayed search; ``best`` is its best value so far by epoch."""

    curve: Trial
    best: dict[int, float] = field(default_factory=dict)
    best_epoch: int = 0

    def advance(self) -> bool:
        """One epoch more, unless the run diverges in it."""
        epoch = len(self.best) + 1
        if epoch > len(self.curve.values):
            return False
        value = self.curve.values[epoch - 1]
        if epoch == 1 or value < self.best[epoch - 1]:
            self.best_epoch = epoch
        self.best[epoch] = self.curve.values[self.best_epoch - 1]
        return True


class Search:
    """A search of so many trials at most among recorded ones, on simulated workers."""

    def __init__(self, config: StudyConfig, trials: Sequence[Trial], most: int):
        self._pool, self._most, self._train = Pool(config.space, trials), most, config.base.train
        self._scheduler = config.build_scheduler()

        def build(num_trials: int) -> BaseSampler:
            return NearestRecorded(config.build_sampler(num_trials), config.space, self._pool)

        directions = config.sampler_context.directions
        self._proposals = Proposals(config.space, directions, build, config.sampler.memory, {}, ())
        self._replayed: list[Replayed] = []
        self._due: list[tuple[float, int]] = []
        self.compute = 0.0

    def run(self) -> Iterator[float]:
        """The latest trial's best value after each of its epochs; ``compute`` is what was begun by then."""
        now = 0.0
        while self._fill(now):
            now, number = heapq.heappop(self._due)
            trial = self._replayed[number]
            advanced = trial.advance()
            if self._goes_on(number, advanced):
                self._begin_epoch(now, number)
            if advanced:
                yield trial.best[len(trial.best)]

    def _fill(self, now: float) -> bool:
        """Give work to free workers; whether any works."""
        while len(self._due) < WORKERS:
            number = self._scheduler.promote()
            if number is None and len(self._replayed) < self._most and len(self._pool):
                number = self._ask()
            if number is None and not self._due:
                number = self._scheduler.promote(closing=True)
            if number is None:
                break
            self._begin_epoch(now, number)
        return bool(self._due)

    def _ask(self) -> int:
        number = len(self._replayed)
        self._proposals.ask(number)
        self._replayed.append(Replayed(self._pool.taken[-1]))
        return number

    def _begin_epoch(self, now: float, number: int) -> None:
        seconds = self._replayed[number].curve.seconds
        self.compute += seconds
        heapq.heappush(self._due, (now + seconds, number))

    def _goes_on(self, number: int, advanced: bool) -> bool:
        """Tell scheduler and sampler of an epoch."""
        trial = self._replayed[number]
        if not advanced:
            self._proposals.tell(number, TrialState.FAIL, None, trial.best)
            return False
        epoch = len(trial.best)
        decision = self._scheduler.decide(number, epoch, trial.best[epoch])
        if epoch == self._train.epochs or epoch - trial.best_epoch >= self._train.patience:
            self._proposals.tell(number, TrialState.COMPLETE, [trial.best[epoch]], trial.best)
            return False
        if decision == "continue":
            return True
        if self._scheduler.let_go(number):
            self._proposals.pause(number, trial.best)
        else:
            self._proposals.tell(number, TrialState.PRUNED, None, trial.best)
        return False
