"""How often a comparison of configurations finds a winner where there is none, and where there is one.

Studies are simulated: videos of 10 to 32 rows, errors that rows, videos, configurations, seeds and their
interplay make larger or smaller, and the product's own race and verdict on the predictions. Two nulls:
``identical`` configurations differ by their seeds alone; ``equal`` ones are better on some videos and worse
on others, and the same on average over all videos there are. Every figure is over three designs: 21 and 31
videos with 5 seeds, and 31 with 10.

    python benchmarks/statistics/winner.py --simulations 500
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).parents[1]))
from figures import Figure, record

from mmsa.data.target_spec import TargetSpec
from mmsa.results.crossed import Crossed
from mmsa.results.verdict import RACE_AFTER, Contender, judge, out_of_the_race

DESIGNS = ((21, 5), (31, 5), (31, 10))
"""Videos and seeds."""
METRIC = "mae"
BY_VIDEO = 0.12
"""Standard deviation of the factor by which a video is harder for one of two ``equal`` configurations."""
BY_SEED, BY_SEED_AND_VIDEO, BY_SEED_AND_ROW = 0.02, 0.06, 0.3
SCALE = (-30.0, 30.0)  # that no prediction leaves, so that nothing is clipped


@dataclass(frozen=True)
class Simulated:
    """The rows of a split, and what each seed of each configuration predicts of them."""

    labels: NDArray[np.float64]
    groups: NDArray[np.str_]
    predictions: dict[str, NDArray[np.float64]]


def draw(
    random: np.random.Generator, num: int, videos: int, seeds: int, by_video: float, better: float = 0.0
) -> Simulated:
    """A study of ``num`` configurations; the errors of the first are smaller by the part ``better``."""
    group_N = np.repeat(np.arange(videos), random.integers(10, 33, videos))
    rows = len(group_N)
    common_N = 0.9 * random.normal(size=rows) + 0.3 * random.normal(size=videos)[group_N]
    log_KSG = (
        by_video * random.normal(size=(num, 1, videos))
        + BY_SEED * random.normal(size=(num, seeds, 1))
        + BY_SEED_AND_VIDEO * random.normal(size=(num, seeds, videos))
    )
    errors_KSN = common_N + BY_SEED_AND_ROW * random.normal(size=(num, seeds, rows))
    errors_KSN *= np.exp(log_KSG)[:, :, group_N]
    errors_KSN[0] *= 1 - better
    labels_N = random.uniform(-3, 3, rows)
    predictions = {f"trial {k}": labels_N + errors_SN for k, errors_SN in enumerate(errors_KSN)}
    return Simulated(labels_N, group_N.astype(str), predictions)


def crossed(study: Simulated, seeds: dict[str, int], resamples: int) -> Crossed:
    predictions = {name: study.predictions[name][:number] for name, number in seeds.items()}
    return Crossed(study.labels, study.groups, TargetSpec("label"), predictions, resamples)


def winner(study: Simulated, resamples: int) -> str | None:
    """The winner by the rules of ``mmsa.results.compare``, race included; None without one."""
    contenders = [Contender(name, 1, position) for position, name in enumerate(study.predictions)]
    seeds = {name: len(of_seeds) for name, of_seeds in study.predictions.items()}
    early = crossed(study, dict.fromkeys(seeds, RACE_AFTER), resamples)
    gone = out_of_the_race(early, contenders, METRIC, lower=True)
    seeds |= dict.fromkeys(gone, RACE_AFTER)
    verdict = judge(crossed(study, seeds, resamples), contenders, METRIC, lower=True)
    return verdict.take if verdict.kind == "winner" else None


def false_winners(simulations: int, num: int, by_video: float, resamples: int) -> list[float]:
    """Part of the studies of equal configurations in which one of them won, by design."""
    found = []
    for videos, seeds in DESIGNS:
        random = np.random.default_rng((num, videos, seeds, by_video > 0))
        won = [
            winner(draw(random, num, videos, seeds, by_video), resamples) is not None
            for _ in range(simulations)
        ]
        found.append(float(np.mean(won)))
    return found


def power_and_coverage(
    simulations: int, by_video: float, resamples: int
) -> tuple[list[float], list[float], float]:
    """Part of the studies with a better first configuration that it won, coverage, and mean resolution.

    It is better by two standard errors, which are those of a pilot of equal configurations.
    """
    powers, covers, resolutions = [], [], []
    for videos, seeds in DESIGNS:
        pilot = np.random.default_rng((7, videos, seeds, by_video > 0))
        gaps, levels = [], []
        for _ in range(max(2000, simulations)):
            study = draw(pilot, 2, videos, seeds, by_video)
            means = [np.abs(of_seeds - study.labels).mean() for of_seeds in study.predictions.values()]
            gaps.append(means[0] - means[1])
            levels.append(means[1])
        error, level = float(np.std(gaps)), float(np.mean(levels))
        better = 2 * error / level
        random = np.random.default_rng((11, videos, seeds, by_video > 0))
        won, covered = [], []
        for _ in range(simulations):
            study = draw(random, 2, videos, seeds, by_video, better)
            won.append(winner(study, resamples) == "trial 0")
            both = crossed(study, dict.fromkeys(study.predictions, seeds), resamples)
            estimate = both.difference("trial 0", "trial 1", METRIC)
            low, high = estimate.interval()
            covered.append(low <= -better * level <= high)
            resolutions.append(estimate.resolution / error)
        powers.append(float(np.mean(won)))
        covers.append(float(np.mean(covered)))
    return powers, covers, float(np.mean(resolutions))


def spoken(name: str, values: Sequence[float]) -> float:
    designs = ", ".join(
        f"{videos} videos {seeds} seeds {value:.3f}"
        for (videos, seeds), value in zip(DESIGNS, values, strict=True)
    )
    print(f"{name:<28}{np.mean(values):.4f}  ({designs})", flush=True)
    return float(np.mean(values))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--simulations", type=int, default=500, metavar="N", help="studies of each design")
    parser.add_argument("--resamples", type=int, default=1000, metavar="N", help="of the crossed bootstrap")
    args = parser.parse_args()
    number, resamples = args.simulations, args.resamples
    figures: dict[str, Figure] = {}

    def add(key: str, value: float, unit: str, reference: str, goal: float | None, higher: bool) -> None:
        figures[key] = Figure(value, unit, reference, goal, "higher" if higher else "lower")

    of_studies = f"of {number} studies in each of {len(DESIGNS)} designs"
    worst = []
    for num in (2, 5):
        nulls = {}
        for null, by_video in (("identical", 0.0), ("equal", BY_VIDEO)):
            values = false_winners(number, num, by_video, resamples)
            worst.append(max(values))
            nulls[null] = spoken(f"false winner, {num} {null}", values)
            if num == 2:
                add(f"winner/false/2_{null}", nulls[null], of_studies, "nominal .05", 0.05, False)
        if num == 5:
            add("winner/false/5", max(nulls.values()), of_studies, "the worse of both nulls", 0.05, False)
    add(
        "winner/false/worst_design",
        max(worst),
        f"of {number} studies",
        "a single design and null",
        None,
        False,
    )
    covers = []
    for key, by_video in (("winner/power/2", BY_VIDEO), ("winner/power/2_identical_but_for_it", 0.0)):
        powers, covered, resolution = power_and_coverage(number, by_video, resamples)
        covers += covered
        power = spoken(f"power at 2 SE ({'differ by video' if by_video else 'seeds only'})", powers)
        spoken("  coverage of 95 %", covered)
        print(f"  smallest difference resolved: {resolution:.2f} true standard errors")
        goal = 0.45 if by_video else None
        add(key, power, of_studies, "2 true standard errors; a z-test with known error has .52", goal, True)
    add("winner/coverage95", float(np.mean(covers)), of_studies, "between .93 and .97", 0.95, True)
    print(f"-> {record('statistics', figures, replaces='winner/')}")


if __name__ == "__main__":
    main()
