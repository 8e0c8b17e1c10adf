"""Rows of one video are alike: what the panel of a trial, and ``measure``, read where that is all there is.

Two representations of 64 features, of few groups of unequal size, by the path that trials take
(``measure_panel`` with the copula). Rows of a group share an offset in every feature, ``offset`` deviations
wide, drawn for each representation by itself, so the information is 0: false positives are readings that are
not ``below_null``. Then four pairs of correlated latents, each bent by a monotone map, stand among the
features, three deviations wide: the truth is that of the latents, and 90 % intervals should hold it.

``label``: the second representation is one number with an offset of .7. ``serial``: rows follow one another
with an autocorrelation of .5. ``measure``: by ``mmsa.information.measure``, 2 + 1 features, whose neighbours
are counted; fewer draws.

    python benchmarks/information/groups.py --draws 100
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from mmsa.information import measure
from mmsa.information.measure_panel import measure_panel
from mmsa.measurement import Measurement
from mmsa.seeding import derive_seed

sys.path.insert(0, str(Path(__file__).parents[1]))
from figures import Figure, record

Floats = NDArray[np.float64]
FEATURES, LATENTS, WIDTH = 64, 4, 3.0
OFFSETS = (0.0, 0.2, 0.4, 1.0)
TRUTHS = {"0.575": 0.5, "2.04": 0.8}
SIZES = {229: 10, 686: 31, 1284: 52}
BENT: tuple[Callable[[Floats], Floats], ...] = (
    lambda values: values,
    lambda values: np.sign(values) * np.abs(values) ** 1.5,
    lambda values: np.exp(values / 2),
    np.arctan,
)


@dataclass(frozen=True)
class Draw:
    """Representations (N, D) and the group (N,) of each row."""

    x: Floats
    y: Floats
    groups: NDArray[np.int64]


def unequal_groups(rows: int, groups: int, generator: np.random.Generator) -> NDArray[np.int64]:
    """(N,) group of each row, sorted; two rows and a Dirichlet share of the others each."""
    shares = generator.dirichlet(np.full(groups, 2.0))
    sizes = 2 + generator.multinomial(rows - 2 * groups, shares)
    return np.repeat(np.arange(groups), sizes)


def noise(groups: NDArray[np.int64], features: int, serial: float, generator: np.random.Generator) -> Floats:
    """(N, D) standard normal, autoregressive within groups."""
    drawn = generator.standard_normal((len(groups), features))
    for row in range(1, len(groups) if serial else 0):
        if groups[row] == groups[row - 1]:
            drawn[row] = serial * drawn[row - 1] + math.sqrt(1 - serial**2) * drawn[row]
    return drawn


def draw(rows: int, seed: int, *, offset: float = 0.0, correlation: float = 0.0, serial: float = 0.0) -> Draw:
    """One sample; its generator depends on the seed and on what is drawn."""
    generator = np.random.default_rng(derive_seed("groups", seed, rows, offset, correlation, serial))
    groups = unequal_groups(rows, SIZES[rows], generator)
    x, y = (noise(groups, FEATURES, serial, generator) for _ in range(2))
    if correlation:
        first, other = (noise(groups, LATENTS, serial, generator) for _ in range(2))
        second = correlation * first + math.sqrt(1 - correlation**2) * other
        for feature in range(LATENTS):
            for features, latents, shift in ((x, first, 0), (y, second, 1)):
                bent = BENT[(feature + shift) % LATENTS](latents[:, feature])
                features[:, feature] = WIDTH * (bent - bent.mean()) / bent.std()
    x, y = (part + offset * generator.standard_normal((groups[-1] + 1, FEATURES))[groups] for part in (x, y))
    return Draw(x, y, groups)


def by_panel(x: Floats, y: Floats, groups: NDArray[np.int64]) -> Measurement:
    """I(x; y) as a trial measures it."""
    found = measure_panel({"text": x, "audio": y}, y[:, 0], groups, ("invariant",))
    return found["invariant/text-audio"]


def told(measured: Measurement) -> bool:
    """Whether the reading passes for something."""
    return measured.status in ("ok", "saturated", "disagree")


def nothing(rows: int, draws: int, name: str, read: Callable[[int], Measurement]) -> dict[str, Figure]:
    """Figures of readings where the truth is 0."""
    found = [read(seed) for seed in range(draws)]
    rate = sum(map(told, found)) / draws
    bias = float(np.mean([measured.value for measured in found if measured.value is not None]))
    print(f"{name}/{rows}: false positives {rate:.3f}, bias {bias:+.4f} of {draws}", flush=True)
    reference = f"{draws} draws of {SIZES[rows]} groups of unequal size; truth 0"
    return {
        f"groups/false_positive/{name}/{rows}": Figure(rate, "of the draws", reference, 0.07),
        f"groups/bias/{name}/{rows}": Figure(round(bias, 5), "nats, mean of the values", reference, 0.05),
    }


def coverage(rows: int, draws: int, name: str) -> dict[str, Figure]:
    """How often intervals hold the information of four bent pairs."""
    truth = -0.5 * LATENTS * math.log1p(-(TRUTHS[name] ** 2))
    found = []
    for seed in range(draws):
        sample = draw(rows, seed, correlation=TRUTHS[name])
        found.append(by_panel(sample.x, sample.y, sample.groups))
    held = sum(m.low is not None and m.high is not None and m.low <= truth <= m.high for m in found) / draws
    mean = float(np.mean([m.value for m in found if m.value is not None]))
    print(f"{name}/{rows}: held {held:.3f}, mean {mean:.3f} for {truth:.3f} of {draws}", flush=True)
    reference = f"{draws} draws of {SIZES[rows]} groups; mean value {mean:.3f}, truth {truth:.3f} nats"
    return {f"groups/coverage90/{name}/{rows}": Figure(held, "of the draws", reference, 0.85, "higher")}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--draws", type=int, default=100)
    parser.add_argument("--rows", type=int, nargs="+", default=list(SIZES), choices=list(SIZES))
    parser.add_argument("--measure-draws", type=int, default=20, help="of measure, which takes seconds each")
    args = parser.parse_args()
    torch.set_num_threads(1)

    def label(sample: Draw, seed: int) -> Floats:
        generator = np.random.default_rng(derive_seed("label", seed))
        return sample.y[:, :1] + 0.7 * generator.standard_normal((sample.groups[-1] + 1, 1))[sample.groups]

    for rows in args.rows:

        def both(seed: int, rows: int = rows, **settings: float) -> Measurement:
            sample = draw(rows, seed, **settings)
            return by_panel(sample.x, sample.y, sample.groups)

        def with_label(seed: int, rows: int = rows) -> Measurement:
            sample = draw(rows, seed, offset=0.3)
            return by_panel(sample.x, label(sample, seed), sample.groups)

        def by_measure(seed: int, rows: int = rows) -> Measurement:
            sample = draw(rows, seed, offset=0.4)
            y = label(sample, seed)
            return measure(sample.x[:, :2], y, groups=sample.groups, extrapolate=False, seed=seed)

        figures: dict[str, Figure] = {}
        for name in TRUTHS:
            figures |= coverage(rows, args.draws, name)
        for offset in OFFSETS:
            figures |= nothing(rows, args.draws, f"{offset:g}", partial(both, offset=offset))
        figures |= nothing(rows, args.draws, "label", with_label)
        figures |= nothing(rows, args.draws, "serial", partial(both, offset=0.4, serial=0.5))
        if args.measure_draws:
            figures |= nothing(rows, args.measure_draws, "measure", by_measure)
        record("information", figures)


if __name__ == "__main__":
    main()
