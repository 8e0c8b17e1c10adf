"""The 40 tasks of bmi ("Beyond normal", NeurIPS 2023): error, coverage and time of ``measure()``.

Every task has a draw of its own: many of them differ by a monotone map alone, and with one seed they would
share their sample, which makes a coverage of 40 tasks one of ten.

Reference: Table 2 of ALICE (arXiv 2609.34962), mean absolute error at equal numbers of samples, networks
tuned for each task, 5 seeds.

    python benchmarks/information/bmi40.py --sizes 1000 5000 --seeds 1
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from mmsa.information import measure
from mmsa.information.distributions import BENCHMARK_40, Truth
from mmsa.seeding import derive_seed

sys.path.insert(0, str(Path(__file__).parents[1]))
from figures import Figure, record

PUBLISHED = {  # mean absolute error in nats at 1k, 5k, 10k
    "ALICE Base": (0.092, 0.063, 0.060),
    "ALICE Small": (0.101, 0.103, 0.104),
    "MINDE-C": (0.353, 0.070, 0.065),
    "InfoNCE": (0.887, 0.123, 0.083),
    "MINE": (0.248, 0.117, 0.108),
    "D-V": (1.229, 0.279, 0.144),
    "CCA": (0.195, 0.192, 0.181),
    "KSG": (0.288, 0.240, 0.219),
}
COLUMNS = {1000: 0, 5000: 1, 10000: 2}
GOALS = {1000: 0.080, 5000: 0.050}
SOURCE = "ALICE Base, arXiv 2609.34962, Table 2"


@dataclass(frozen=True)
class Outcome:
    """One task, size and seed."""

    task: str
    size: int
    error: float
    covered: bool
    seconds: float
    line: str


def one(task: str, size: int, seed: int) -> Outcome:
    return outcome_of(BENCHMARK_40[task], task, size, seed)


def outcome_of(truth: Truth, task: str, size: int, seed: int) -> Outcome:
    """Measure rows of ``truth`` that are those of this task and seed alone."""
    torch.set_num_threads(1)
    started = time.process_time()
    sample = truth.sample(size, derive_seed(task, seed))
    measurement = measure(*sample, permutations=0, seed=seed)
    seconds = time.process_time() - started
    assert measurement.value is not None
    assert measurement.low is not None
    assert measurement.high is not None
    error = measurement.value - truth.information
    line = (
        f"{size:6d} {task:48s} {seed:4d} truth {truth.information:.4f} ours {measurement.value:.4f} "
        f"error {error:+.4f} [{measurement.low:.3f}, {measurement.high:.3f}] "
        f"{measurement.estimator:9s} {measurement.status:10s} {seconds:5.1f} s CPU"
    )
    covered = measurement.low <= truth.information <= measurement.high
    return Outcome(task, size, error, covered, seconds, line)


def figures(size: int, outcomes: list[Outcome], seeds: range) -> dict[str, Figure]:
    errors: dict[str, list[float]] = {}
    for outcome in outcomes:
        errors.setdefault(outcome.task, []).append(abs(outcome.error))
    means = np.array([np.mean(task) for task in errors.values()])
    run = f"{len(errors)} tasks, seed(s) {', '.join(map(str, seeds))}"
    published = PUBLISHED["ALICE Base"][COLUMNS[size]] if size in COLUMNS else None
    return {
        f"bmi40/mae/{size}": Figure(
            round(float(means.mean()), 4), "nat", f"{run}; {SOURCE}: {published}", GOALS.get(size)
        ),
        f"bmi40/within_0.1/{size}": Figure(
            int((means <= 0.1).sum()),
            "tasks",
            f"{run}; ALICE Base 35 of 40 at 10k",
            38 if size == 10000 else None,
            "higher",
        ),
        f"bmi40/coverage90/{size}": Figure(
            round(float(np.mean([outcome.covered for outcome in outcomes])), 4),
            "fraction",
            f"{run}; goal .85 to .95; none published",
            0.85,
            "higher",
        ),
        f"bmi40/seconds/{size}": Figure(
            round(float(np.mean([outcome.seconds for outcome in outcomes])), 1),
            "s",
            f"{run}; CPU time of one estimate with interval and extrapolation, without null, mean over tasks",
            60.0,
        ),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sizes", type=int, nargs="+", default=[1000, 5000, 10000])
    parser.add_argument("--seeds", type=int, default=1, help="draws of every task")
    parser.add_argument("--first-seed", type=int, default=10, help="0 to 9 were looked at in development")
    parser.add_argument(
        "--tasks", nargs="+", choices=list(BENCHMARK_40), help="instead of all; records nothing"
    )
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    args = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    for size in args.sizes:
        seeds = range(args.first_seed, args.first_seed + args.seeds)
        work = [(task, size, seed) for task in args.tasks or BENCHMARK_40 for seed in seeds]
        with ProcessPoolExecutor(args.jobs) as pool:
            outcomes = []
            for outcome in pool.map(one, *zip(*work, strict=True)):
                print(outcome.line, flush=True)
                outcomes.append(outcome)
        summary = figures(size, outcomes, seeds)
        for key, figure in summary.items():
            print(f"{key:28s} {figure.value:8} {figure.unit:5s} ({figure.reference})")
        for name, errors in PUBLISHED.items():
            if size in COLUMNS:
                print(f"{name:28s} {errors[COLUMNS[size]]:8} nat   (published error)")
        if not args.tasks:
            record("information", summary)


if __name__ == "__main__":
    main()
