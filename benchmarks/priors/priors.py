"""What priors of earlier studies give and cost, over seeds: a good one, a misleading one, none.

    python benchmarks/priors/priors.py              # minutes on one core
    python benchmarks/priors/priors.py --record     # first trains the real trials anew

Every search has the same sampler (TPE) and seed; the prior is the best quarter of a finished search of
another task. Shown is how much closer to the optimum the best trial is, as the mean difference to the same
search without a prior, with the 95 % interval of the mean over repeats.
"""

from __future__ import annotations

import argparse
import multiprocessing
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import optuna
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from families import SETTINGS, WEIGHTS, Optimum, Point, Recorded, Surface, best_part, record_trials
from figures import Figure, record

from mmsa.search.samplers import SAMPLERS, SamplerContext
from mmsa.search.samplers.priors import Density, PriorSampler
from mmsa.search.space.space import Space
from mmsa.search.study.opening import BEST_PART

TRIALS = 48
EARLY = 16
NOISE = 0.02
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Repeat:
    """The loss of the best trial so far after each trial, (T,): without a prior, with a good, with a bad."""

    none: Floats
    good: Floats
    bad: Floats


def search(
    space: Space, surface: Surface, seed: int, prior: Sequence[Point] = ()
) -> tuple[list[Point], Floats]:
    """The points that are tried, and their values, (T,)."""
    config = SAMPLERS["tpe"].Config()
    sampler = SAMPLERS["tpe"](config).build(SamplerContext(space, ("minimize",), TRIALS, seed), 0)
    if prior:
        sampler = PriorSampler(sampler, Density(space, prior), seed)
    study = optuna.create_study(sampler=sampler)
    points: list[Point] = []
    for _ in range(TRIALS):
        trial = study.ask()
        points.append(space.suggest(trial))
        study.tell(trial, surface(points[-1]))
    return points, np.array([trial.value for trial in study.trials])


def planted(seed: int) -> Repeat:
    """A task of the planted family; priors from a related one and from one of contradictory optima."""
    random = np.random.default_rng(seed)
    optimum = Optimum.anywhere(random)

    def noisy(task: Optimum) -> Surface:
        return lambda point: task.regret(point) + NOISE * random.normal()

    def learnt(task: Optimum) -> list[Point]:
        return best_part(*search(WEIGHTS, noisy(task), 1000 + seed), BEST_PART)

    def losses(prior: Sequence[Point]) -> Floats:
        points, values_T = search(WEIGHTS, noisy(optimum), seed, prior)
        return _of_the_best(np.array([optimum.regret(point) for point in points]), values_T)

    good, bad = learnt(optimum.related(random)), learnt(optimum.contradictory())
    return Repeat(losses([]), losses(good), losses(bad))


def real(seed: int) -> Repeat:
    """Recorded trials of a data set; priors from the best and from the worst trials of another."""
    first, second = Recorded("first"), Recorded("second")
    subset = np.random.default_rng(seed).permutation(len(first.points))[:TRIALS]
    order = [subset[i] for i in first.values[subset].argsort(kind="stable")]
    size = len(best_part(order, range(len(order)), BEST_PART))

    def losses(prior: Sequence[Point]) -> Floats:
        _, values_T = search(SETTINGS, second.value, seed, prior)
        return _of_the_best(values_T, values_T)

    good, bad = ([first.points[i] for i in part] for part in (order[:size], order[-size:]))
    return Repeat(losses([]), losses(good), losses(bad))


def _of_the_best(losses_T: Floats, values_T: Floats) -> Floats:
    """The loss of the trial with the best value so far."""
    best = [int(values_T[: count + 1].argmin()) for count in range(len(values_T))]
    return losses_T[best]


def figures_of(name: str, repeats: Sequence[Repeat]) -> dict[str, Figure]:
    """Differences to the search without a prior, early and at the end."""
    none_RT, good_RT, bad_RT = (
        np.array([getattr(r, kind) for r in repeats]) for kind in ("none", "good", "bad")
    )
    figures = {}
    for kind, losses_RT in (("good", good_RT), ("bad", bad_RT)):
        for trials in (EARLY, TRIALS):
            difference_R = (losses_RT - none_RT)[:, trials - 1]
            mean, half = difference_R.mean(), 1.96 * difference_R.std(ddof=1) / np.sqrt(len(repeats))
            without = none_RT[:, trials - 1].mean()
            reference = (
                f"loss of the best trial minus that without a prior, whose mean is {without:.4f}; mean of "
                f"{len(repeats)} repeats, 95 % interval {mean - half:+.4f} to {mean + half:+.4f}"
            )
            figures[f"{name}/{kind}/{trials}_trials"] = Figure(
                float(mean), "difference of losses", reference, 0.0
            )
    reached_R = [
        _trials_to(good_T, none_T[EARLY - 1]) for good_T, none_T in zip(good_RT, none_RT, strict=True)
    ]
    reference = f"trials with a good prior until as good as without after {EARLY}; median of {len(repeats)}"
    figures[f"{name}/good/trials_to_early"] = Figure(float(np.median(reached_R)), "trials", reference, EARLY)
    return figures


def _trials_to(losses_T: Floats, target: float) -> int:
    reached = np.flatnonzero(losses_T <= target)
    return int(reached[0]) + 1 if len(reached) else TRIALS + 1


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--record", action="store_true", help="train the real trials anew")
    parser.add_argument("--repeats", type=int, default=40)
    parser.add_argument("--processes", type=int, default=4, help="that work at once")
    args = parser.parse_args()
    if args.record:
        record_trials(args.processes)
    tasks: dict[str, Callable[[int], Repeat]] = {"planted_surfaces": planted, "real_trials": real}
    figures = {}
    for name, task in tasks.items():
        with multiprocessing.get_context("spawn").Pool(args.processes) as pool:
            figures |= figures_of(name, pool.map(task, range(args.repeats)))
    print(record("priors", figures).read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
