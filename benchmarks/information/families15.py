"""28 families outside of bmi's tasks: error, bias and coverage of ``measure()``.

Every draw has parameters and rows of its own. Draws 0 to 99 of the 13 families of ``DEVELOPED`` are for
development. The figures are of draws 2000 and up, which are run once, with settings that stand; of the 15
families of ``UNSEEN`` no draw was looked at while settings were chosen. Draws 1000 and 1001 were of an
earlier version.

    python benchmarks/information/families15.py --sizes 1000 5000
    python benchmarks/information/families15.py --families random_sign --first-seed 0 --seeds 2
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
from bmi40 import Outcome, outcome_of

from mmsa.information.distributions import FAMILIES, UNSEEN, family_truth

sys.path.insert(0, str(Path(__file__).parents[1]))
from figures import Figure, record

DRAWS = {1000: 3, 5000: 1}
ERROR_GOALS = {1000: 0.06, 5000: 0.04}
COVERAGE_GOAL = 0.85
FIRST_JUDGED = 2000


def one(family: str, size: int, seed: int) -> Outcome:
    return outcome_of(family_truth(family, seed), family, size, seed)


def figures(size: int, outcomes: list[Outcome], seeds: range) -> Iterator[tuple[str, Figure]]:
    for prefix, names in (("families15", FAMILIES), ("families15/unseen", UNSEEN)):
        counted = [outcome for outcome in outcomes if outcome.task in names]
        errors = np.array([outcome.error for outcome in counted])
        about = f"{len(names)} families, draws {seeds[0]} to {seeds[-1]}; no published figure"
        mae = Figure(round(float(np.abs(errors).mean()), 4), "nat", about, ERROR_GOALS.get(size))
        yield f"{prefix}/mae/{size}", mae
        yield f"{prefix}/bias/{size}", Figure(round(float(errors.mean()), 4), "nat", about)
        share = round(float(np.mean([outcome.covered for outcome in counted])), 4)
        goal = f"{about}; goal .85 to .95"
        yield f"{prefix}/coverage90/{size}", Figure(share, "fraction", goal, COVERAGE_GOAL, "higher")
    seconds = round(float(np.mean([outcome.seconds for outcome in outcomes])), 1)
    yield f"families15/seconds/{size}", Figure(seconds, "s", "CPU time of one estimate, without null")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sizes", type=int, nargs="+", default=list(DRAWS))
    parser.add_argument("--seeds", type=int, help=f"draws of every family; default {DRAWS}")
    parser.add_argument("--first-seed", type=int, default=FIRST_JUDGED, help="0 to 99 are for development")
    parser.add_argument(
        "--families", nargs="+", choices=list(FAMILIES), help="instead of all; records nothing"
    )
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    args = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    for size in args.sizes:
        seeds = range(args.first_seed, args.first_seed + (args.seeds or DRAWS.get(size, 1)))
        work = [(name, size, seed) for name in args.families or FAMILIES for seed in seeds]
        outcomes: list[Outcome] = []
        with ProcessPoolExecutor(args.jobs) as pool:
            for outcome in pool.map(one, *zip(*work, strict=True)):
                print(outcome.line, flush=True)
                outcomes.append(outcome)
        for name in dict.fromkeys(outcome.task for outcome in outcomes):
            errors = [outcome.error for outcome in outcomes if outcome.task == name]
            held = [outcome.covered for outcome in outcomes if outcome.task == name]
            print(
                f"{size:6d} {name:18s} mean absolute error {np.abs(errors).mean():.3f} "
                f"bias {np.mean(errors):+.3f} held {sum(held)} of {len(held)}"
            )
        if args.families is None:
            summary = dict(figures(size, outcomes, seeds))
            for key, figure in summary.items():
                print(f"{key:36s} {figure.value:8} {figure.unit}")
            if args.first_seed >= FIRST_JUDGED:
                record("information", summary)


if __name__ == "__main__":
    main()
