"""Information of three sources about a target, against exact truths: error of ``decompose()`` in bits.

Every quantity counts: informations of subsets, gains, ends of brackets, BROJA points (exact ones for bits).
The error includes that of the sample, about 0.01 bits for a bit at n = 10,000. ``--independent`` counts how
often independent data pass for informative, and shows what the published recipe (k-means cells of a source,
counted joint table, decomposition) reads on the same data, where the truth is 0.

    python benchmarks/information/three_sources.py
    python benchmarks/information/three_sources.py --independent --repeats 20
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.cluster import KMeans

from mmsa.data.corpus import MODALITIES, Features
from mmsa.data.planted import Planted
from mmsa.information.distributions.three_sources import BEDS, BitSources, GaussianSources, ThreeSourceSample
from mmsa.information.target import FAST, Decomposition, Effort, decompose, pairs_of, quantities, subsets_of
from mmsa.information.target.pid import broja, broja_redundancy
from mmsa.information.target.quantities import SIGNED, atoms

sys.path.insert(0, str(Path(__file__).parents[1]))
from figures import Figure, record

GOAL, FALSE_POSITIVE_GOAL = 0.03, 0.05
BINS = 8
EFFORT = Effort(folds=5, seeds=2, permutations=0, resamples=200)
PLANTED = {"shared_bits": 0.7, "text_bits": 0.7, "audio_bits": 0.0, "vision_bits": 0.0, "synergy_bits": 0.7}
CELLS = 20  # of the published recipe
REFERENCE = "no published figure; truth exact"


@dataclass(frozen=True)
class Case:
    """Drawn data and the exact quantities, clipped, in bits."""

    name: str
    sample: ThreeSourceSample
    truth: Mapping[str, float]


def cases(size: int, seed: int, names: list[str]) -> Iterator[Case]:
    for name, bed in BEDS.items():
        if name in names:
            yield Case(name, bed.sample(size, seed), truth_of(bed))
    if "planted" in names:
        config = Planted.Config(
            rows_train=size, audio_frames=(1, 1), vision_frames=(1, 1), seed=seed, **PLANTED
        )
        planted = Planted(config)
        split = planted.open(["train"])["train"]
        sources = {name: pooled(getattr(split, name)) for name in MODALITIES}
        known = {subset: planted.truth().information(subset) for subset in subsets_of(MODALITIES)}
        yield Case(
            "planted",
            ThreeSourceSample(sources, split.labels),
            in_bits(quantities(as_arrays(known), MODALITIES)),
        )


def pooled(features: Features) -> NDArray[np.float64]:
    sums = np.add.reduceat(features.values.astype(np.float64), features.offsets[:-1])
    means: NDArray[np.float64] = sums / features.lengths()[:, None]
    return means


def truth_of(bed: BitSources | GaussianSources) -> dict[str, float]:
    if isinstance(bed, GaussianSources):
        known = {subset: bed.information(subset, BINS) for subset in subsets_of(MODALITIES)}
        return in_bits(quantities(as_arrays(known), MODALITIES))
    known = as_arrays({subset: bed.information(subset) for subset in subsets_of(MODALITIES)})
    found = quantities(known, MODALITIES)
    for pair in pairs_of(MODALITIES):
        redundancy = broja_redundancy(bed.table(pair.first), bed.table(pair.second))
        found |= atoms(known, pair, redundancy, MODALITIES)
    return in_bits(found)


def as_arrays(known: Mapping[frozenset[str], float]) -> dict[frozenset[str], NDArray[np.float64]]:
    return {subset: np.array(value) for subset, value in known.items()}


def in_bits(found: Mapping[str, Any]) -> dict[str, float]:
    bits = {name: float(value) / math.log(2) for name, value in found.items()}
    return {name: value if name in SIGNED else max(0.0, value) for name, value in bits.items()}


def errors_of(found: Decomposition, truth: Mapping[str, float]) -> dict[str, float]:
    return {name: abs(found[name].value - value) for name, value in truth.items()}


def measure_error(sizes: list[int], seeds: int, names: list[str]) -> dict[str, Figure]:
    figures = {}
    for size in sizes:
        worst: dict[str, float] = {}
        every: list[float] = []
        for seed in range(seeds):
            for case in cases(size, seed, names):
                started = time.process_time()
                found = decompose(
                    case.sample.sources, case.sample.target, bins=BINS, effort=EFFORT, seed=seed
                )
                errors = errors_of(found, case.truth)
                name, error = max(errors.items(), key=lambda item: item[1])
                worst[case.name] = max(error, worst.get(case.name, 0.0))
                every += errors.values()
                mean, seconds = np.mean(list(errors.values())), time.process_time() - started
                print(
                    f"{size:6d} {case.name:20s} mean {mean:.3f}  max {error:.3f} {name}  {seconds:.0f} s",
                    flush=True,
                )
        goal = GOAL if size == 10_000 else None
        about = f"{REFERENCE}; {seeds} seeds"
        for name, error in worst.items():
            figures[f"three_sources/{name}/max_error/{size}"] = Figure(error, "bit", about, goal)
        if set(names) >= {*BEDS, "planted"}:
            figures[f"three_sources/mean_error/{size}"] = Figure(float(np.mean(every)), "bit", about, goal)
    return figures


def recipe_synergy(
    first_ND: NDArray[np.float64], second_ND: NDArray[np.float64], target_N: NDArray[np.int64]
) -> float:
    """Bits of synergy of k-means cells and a counted joint table, as published."""
    joint = np.zeros((CELLS, CELLS, 2))
    cells = [KMeans(CELLS, n_init=1, random_state=0).fit_predict(part) for part in (first_ND, second_ND)]
    np.add.at(joint, (*cells, target_N), 1 / len(target_N))
    return float(broja(joint).synergy) / math.log(2)


def measure_false_positives(sizes: list[int], repeats: int) -> dict[str, Figure]:
    figures = {}
    for size in sizes:
        called, recipe, synergy = [], [], []
        for repeat in range(repeats):
            generator = np.random.default_rng(repeat)
            sources = {name: generator.standard_normal((size, 2)) for name in MODALITIES}
            target_N = generator.integers(0, 2, size)
            found = decompose(sources, target_N, effort=FAST, seed=repeat)
            watched = [
                name for name in found.quantities if name.startswith(("information/", "gain/", "synergy/"))
            ]
            called += [
                found[name].status in ("ok", "positive") for name in watched if not name.endswith("/broja")
            ]
            synergy.append(
                max(found[f"synergy/{pair}/broja"].value for pair in ("text,audio", "audio,vision"))
            )
            recipe.append(recipe_synergy(sources["text"], sources["audio"], target_N))
        share = float(np.mean(called))
        print(
            f"{size}: {share:.3f} called informative; "
            f"synergy {np.mean(synergy):.3f}, recipe {np.mean(recipe):.3f}"
        )
        about = f"{repeats} repeats, all informations, gains and synergies"
        figures[f"three_sources/independent/false_positive/{size}"] = Figure(
            share, "fraction", about, FALSE_POSITIVE_GOAL
        )
        figures[f"three_sources/independent/synergy/{size}"] = Figure(
            float(np.mean(synergy)), "bit", f"k-means cells and counted table: {np.mean(recipe):.2f}; truth 0"
        )
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sizes", type=int, nargs="+", help="rows")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--beds", nargs="+", default=[*BEDS, "planted"])
    parser.add_argument("--independent", action="store_true", help="false positives instead of errors")
    parser.add_argument("--repeats", type=int, default=20)
    args = parser.parse_args()
    torch.set_num_threads(1)
    if args.independent:
        figures = measure_false_positives(args.sizes or [457, 686, 1284], args.repeats)
    else:
        figures = measure_error(args.sizes or [500, 2000, 10_000], args.seeds, args.beds)
    print(record("information", figures))


if __name__ == "__main__":
    main()
