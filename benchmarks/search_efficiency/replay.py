"""What a search costs until it is as good as 64 random trials: every sampler with every scheduler, replayed.

Four simulated workers search among the trials that ``record.py`` trained, with the samplers, schedulers and
proposals of a real search. A sampler that asks for a point gets the nearest recorded one that no
trial of the search had yet, and is told so. An epoch takes the CPU time that was recorded; a trial ends by
``train.patience`` as it would in training.

Reference: random search without a scheduler, 64 trials. Its median best over the repeats is the target, its
median compute the unit; a search that has not reached the target within it counts as 1.

    python benchmarks/search_efficiency/replay.py [--repeats 30] [--processes 4]
    python benchmarks/search_efficiency/replay.py --samplers gp --repeats 5  # about a minute a search

The best pair is chosen among all of the first command, which leaves out the Gaussian process.
"""

from __future__ import annotations

import argparse
import heapq
import multiprocessing
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from optuna import Study
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial, TrialState
from tasks import TASKS, Trial, recorded, study_of

from mmsa.errors import ConfigError
from mmsa.search.proposals import Proposals
from mmsa.search.samplers import SAMPLERS
from mmsa.search.scalars import Scalar
from mmsa.search.schedulers import SCHEDULERS
from mmsa.search.space import Space
from mmsa.search.stops import embed
from mmsa.search.study_config import StudyConfig

sys.path.append(str(Path(__file__).parents[1]))
from figures import Figure, record

WORKERS = 4
RANDOM_TRIALS = 64
SLOW = {"gp"}
RESAMPLES = 2000
Floats = NDArray[np.float64]
Pair = tuple[str, str]


class Pool:
    """The recorded trials of which a search takes one after another; ``taken`` are those in their order."""

    def __init__(self, space: Space, trials: Sequence[Trial]):
        self.taken: list[Trial] = []
        self._space, self._trials = space, trials
        self._embedded_NP = embed(space, [trial.point for trial in trials])
        self._free_N = np.ones(len(trials), bool)

    def __len__(self) -> int:
        return int(self._free_N.sum())

    def take_nearest(self, point: dict[str, Scalar]) -> Trial:
        """The nearest that is left: the sum of distances on parameters scaled to [0, 1] is smallest."""
        distances_N = np.abs(self._embedded_NP - embed(self._space, [point])).sum(axis=1)
        index = int(np.where(self._free_N, distances_N, np.inf).argmin())
        self._free_N[index] = False
        self.taken.append(self._trials[index])
        return self._trials[index]


class NearestRecorded(BaseSampler):  # type: ignore[misc]
    """Takes from the pool what is nearest to the whole point that another sampler chooses."""

    def __init__(self, inner: BaseSampler, space: Space, pool: Pool):
        self._inner, self._space, self._pool = inner, space, pool

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        space: dict[str, BaseDistribution] = self._inner.infer_relative_search_space(study, trial)
        return space

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        wish = self._inner.sample_relative(study, trial, search_space)
        return self._space.encode(self._pool.take_nearest(self._space.decode(wish)).point)

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        return self._inner.sample_independent(study, trial, param_name, param_distribution)

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        self._inner.before_trial(study, trial)

    def after_trial(
        self, study: Study, trial: FrozenTrial, state: TrialState, values: Sequence[float] | None
    ) -> None:
        self._inner.after_trial(study, trial, state, values)


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

        directions = config.setting.directions
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


@dataclass(frozen=True)
class Reference:
    """Random search without a scheduler: the best value it finds, and what it computes."""

    target: float
    compute: float


def random_search(task: str, seed: int) -> tuple[float, float]:
    """Best value and compute of 64 random trials."""
    search = Search(study_of(task, RANDOM_TRIALS, seed), recorded(task), RANDOM_TRIALS)
    return min(search.run()), search.compute


def compute_needed(reference: Reference, task: str, pair: Pair, seed: int) -> float:
    """Until the target is reached, in units of the reference; 1 if it is not within that."""
    trials = recorded(task)
    search = Search(study_of(task, len(trials), seed, *pair), trials, len(trials))
    for value in search.run():
        if search.compute >= reference.compute:
            break
        if value <= reference.target:
            return search.compute / reference.compute
    return 1.0


def fitting(samplers: Iterable[str]) -> list[str]:
    """Those that take a single objective."""
    return [name for name in samplers if _fits(name)]


def _fits(sampler: str) -> bool:
    try:
        study_of("planted", RANDOM_TRIALS, sampler=sampler)
    except ConfigError:
        return False
    return True


def interval(ratios_TR: Floats) -> tuple[float, float, float]:
    """Mean over tasks of the median over repeats, with its 95 % bootstrap interval."""
    random = np.random.default_rng(0)
    num_tasks, repeats = ratios_TR.shape
    drawn_TSR = np.stack(
        [ratios_TR[t, random.integers(repeats, size=(RESAMPLES, repeats))] for t in range(num_tasks)]
    )
    means_S = np.median(drawn_TSR, axis=2).mean(axis=0)
    low, high = np.quantile(means_S, (0.025, 0.975))
    return float(np.median(ratios_TR, axis=1).mean()), float(low), float(high)


def figure_of(ratios_TR: Floats, what: str) -> Figure:
    value, low, high = interval(ratios_TR)
    medians = ", ".join(f"{task} {np.median(row):.2f}" for task, row in zip(TASKS, ratios_TR, strict=True))
    reached = (ratios_TR < 1.0).mean()
    reference = f"{what}; {medians}; 95 % interval {low:.2f} to {high:.2f}; {reached:.0%} reached it"
    return Figure(value, "of the compute of 64 random trials", reference, 0.25)


def best_of(ratios: dict[Pair, Floats]) -> Figure:
    """Of the best pair, which is chosen on the even repeats and measured on the odd ones."""
    best = min(ratios, key=lambda pair: interval(ratios[pair][:, ::2])[0])
    ratios_TR = ratios[best][:, 1::2]
    what = f"{'+'.join(best)}, chosen of {len(ratios)} pairs on other repeats than these {ratios_TR.shape[1]}"
    return figure_of(ratios_TR, what)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=30)
    parser.add_argument("--processes", type=int, default=4, help="that work at once")
    parser.add_argument("--samplers", nargs="+", choices=list(SAMPLERS), help="only these")
    args = parser.parse_args()
    samplers = args.samplers or fitting(name for name in SAMPLERS if name not in SLOW)
    seeds = range(args.repeats)
    with multiprocessing.get_context("spawn").Pool(args.processes) as pool:
        needed = {}
        for task in TASKS:
            random_R2 = np.array(pool.map(partial(random_search, task), seeds))
            needed[task] = partial(compute_needed, Reference(*np.median(random_R2, axis=0)), task)
        ratios: dict[Pair, Floats] = {}
        for pair in product(samplers, SCHEDULERS):
            ratios[pair] = np.array([pool.map(partial(needed[task], pair), seeds) for task in TASKS])
            figure = figure_of(ratios[pair], f"mean over data of medians of {args.repeats} repeats")
            print(f"{'+'.join(pair)}: {figure.value:.3f} ({figure.reference})", flush=True)
            record("search", {f"compute_to_random64/{'+'.join(pair)}": figure})
    if args.samplers is None:
        best = best_of(ratios)
        print(f"best: {best.value:.3f} ({best.reference})")
        record("search", {"compute_to_random64/best": best})


if __name__ == "__main__":
    main()
