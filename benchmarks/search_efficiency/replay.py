"""What a search costs until it is as good as 64 random trials: every sampler with every scheduler, replayed.

Four simulated workers search among the trials that ``record.py`` trained; see ``simulation.py``.

Reference: random search without a scheduler, 64 trials. Its median best over the repeats is the target, its
median compute the unit; a search that has not reached the target within it counts as 1.

    python benchmarks/search_efficiency/replay.py [--repeats 30] [--processes 4]
    python benchmarks/search_efficiency/replay.py --samplers gp  # slow, and left out above

What was replayed is kept in ``<task>-replayed.json`` and not replayed again unless more trials were recorded.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import product
from pathlib import Path

import numpy as np
from simulation import Search
from tasks import FOLDER, TASKS, recorded, study_of

from mmsa.errors import ConfigError
from mmsa.search.samplers import SAMPLERS
from mmsa.search.schedulers import SCHEDULERS

sys.path.append(str(Path(__file__).parents[1]))
from figures import Figure, record

RANDOM_TRIALS = 64
SLOW = {"gp"}
RESAMPLES = 2000
KEY = "compute_to_random64"
UNIT = "of the compute of 64 random trials"
GOAL = 0.25
Pair = tuple[str, str]


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


def pairs(samplers: Iterable[str]) -> list[Pair]:
    """Those that fit one objective and a recorded curve, which PBT would change on the way."""
    return [pair for pair in product(samplers, SCHEDULERS) if _fits(*pair)]


def _fits(sampler: str, scheduler: str) -> bool:
    try:
        study_of("planted", RANDOM_TRIALS, sampler=sampler, scheduler=scheduler)
    except ConfigError:
        return False
    return True


class Results:
    """What every search of a task needed, by pair; on disk while the recorded trials are the same."""

    def __init__(self, task: str):
        self._path, self._trials = FOLDER / f"{task}-replayed.json", len(recorded(task))
        known = json.loads(self._path.read_text(encoding="utf-8")) if self._path.exists() else {}
        self.needed: dict[str, list[float]] = known["needed"] if known.get("trials") == self._trials else {}

    def add(self, pair: str, needed: Sequence[float]) -> None:
        self.needed[pair] = [round(value, 4) for value in needed]
        report = {"trials": self._trials, "needed": self.needed}
        self._path.write_text(json.dumps(report) + "\n", encoding="utf-8")


def replay(task: str, samplers: Iterable[str], repeats: int, processes: int) -> None:
    results, seeds = Results(task), range(repeats)
    with multiprocessing.get_context("spawn").Pool(processes) as pool:
        random_R2 = np.array(pool.map(partial(random_search, task), seeds))
        reference = Reference(*np.median(random_R2, axis=0))
        for pair in pairs(samplers):
            name = "+".join(pair)
            if len(results.needed.get(name, ())) != repeats:
                results.add(name, pool.map(partial(compute_needed, reference, task, pair), seeds))
            print(f"{task} {name}: {np.median(results.needed[name]):.3f}", flush=True)


def figure_of(needed: Mapping[str, Sequence[float]], what: str) -> Figure:
    """Mean over tasks of the median over repeats, with its 95 % bootstrap interval."""
    random = np.random.default_rng(0)
    means_S = np.mean(
        [np.median(random.choice(values, (RESAMPLES, len(values))), axis=1) for values in needed.values()],
        axis=0,
    )
    low, high = np.quantile(means_S, (0.025, 0.975))
    medians = {task: float(np.median(values)) for task, values in needed.items()}
    reached = np.mean([value < 1.0 for values in needed.values() for value in values])
    each = ", ".join(f"{task} {value:.2f}" for task, value in medians.items())
    reference = f"{what}; {each}; 95 % interval {low:.2f} to {high:.2f}; {reached:.0%} reached it"
    return Figure(float(np.mean(list(medians.values()))), UNIT, reference, GOAL)


def figures() -> dict[str, Figure]:
    """One for each pair that all tasks have; the best is chosen on the even repeats, measured on the odd."""
    by_task = {task: Results(task).needed for task in TASKS}
    names = [name for name in by_task["planted"] if all(name in needed for needed in by_task.values())]

    def figure(name: str, first: int, step: int, what: str) -> Figure:
        return figure_of({task: needed[name][first::step] for task, needed in by_task.items()}, what)

    sizes = " and ".join(f"{len(recorded(task))} of {task}" for task in TASKS)
    what = f"mean over data of medians of repeats, among recorded trials, {sizes}"
    found = {f"{KEY}/{name}": figure(name, 0, 1, what) for name in names}
    best = min(names, key=lambda name: figure(name, 0, 2, "").value)
    chosen = f"{best}, chosen of {len(names)} pairs on other repeats; {what}"
    return {**found, f"{KEY}/best": figure(best, 1, 2, chosen)}


def main() -> None:
    fast = [name for name in SAMPLERS if name not in SLOW]
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tasks", nargs="+", choices=list(TASKS), default=list(TASKS))
    parser.add_argument("--samplers", nargs="+", choices=list(SAMPLERS), default=fast)
    parser.add_argument("--repeats", type=int, default=30)
    parser.add_argument("--processes", type=int, default=4, help="that work at once")
    args = parser.parse_args()
    for task in args.tasks:
        replay(task, args.samplers, args.repeats, args.processes)
    if args.tasks == list(TASKS):
        print(record("search", figures()))


if __name__ == "__main__":
    main()
