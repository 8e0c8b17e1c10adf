"""Conditional information: models F and G of CCMI and the Gaussian chain of CMINE, by ``measure(x, y, z)``.

Reference: the logs of sudiptodip15/CCMI (``logs/*.txt``), n = 20,000, its best all-rounder. Both models are
linear in z with additive noise, which the residuals that ``measure`` takes remove exactly; the methods it is
compared with cannot use that.

    python benchmarks/information/ccmi.py
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import torch

from mmsa.information import measure
from mmsa.information.distributions import ConditionalTruth, gaussian_chain, model_f, model_g

sys.path.insert(0, str(Path(__file__).parents[1]))
from figures import Figure, record

MODELS = {"F": model_f, "G": model_g}
PUBLISHED = {  # MI-Diff with a classifier, the best of its logs in all columns but F/10
    "F": {1: 2.301, 10: 2.176, 20: 2.153, 50: 1.980, 100: 1.669},
    "G": {1: 2.254, 10: 2.194, 20: 2.121, 50: 1.932, 100: 1.692},
}
GOALS = {20: 0.08, 50: 0.10, 100: 0.25}


def error_of(truth: ConditionalTruth, size: int, seeds: int, published: float | None) -> float:
    errors = []
    for seed in range(seeds):
        started = time.process_time()
        measurement = measure(*truth.sample(size, seed), permutations=0, extrapolate=False, seed=seed)
        assert measurement.value is not None
        errors.append(abs(measurement.value - truth.information))
        print(
            f"{truth.name:14s} truth {truth.information:7.4f} ours {measurement.value:7.4f} "
            f"[{measurement.low:.3f}, {measurement.high:.3f}] published {published or '-'} "
            f"{measurement.parts} {time.process_time() - started:.0f} s CPU",
            flush=True,
        )
    return sum(errors) / len(errors)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--size", type=int, default=20_000)
    parser.add_argument("--dims", type=int, nargs="+", default=[1, 10, 20, 50, 100])
    parser.add_argument("--chain-dims", type=int, nargs="*", default=[1, 5, 10])
    parser.add_argument("--seeds", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(1)
    for dim in args.dims:
        for name, model in MODELS.items():
            best = PUBLISHED[name].get(dim)
            truth = model(dim)
            error = error_of(truth, args.size, args.seeds, best)
            theirs = f"published error {abs(best - truth.information):.3f}" if best else "not published"
            reference = f"n = {args.size}, {args.seeds} seed(s); MI-Diff classifier of CCMI: {theirs}"
            figure = Figure(round(error, 4), "nat", reference, GOALS.get(dim))
            record("information", {f"ccmi/{name}/dz{dim}": figure})
    for dim in args.chain_dims:
        for key, truth in zip(("chain", "chain_null"), gaussian_chain(dim), strict=True):
            error = error_of(truth, args.size, args.seeds, None)
            reference = f"n = {args.size}, {args.seeds} seed(s); truth {truth.information:.4f}"
            record("information", {f"ccmi/{key}/d{dim}": Figure(round(error, 4), "nat", reference)})


if __name__ == "__main__":
    main()
