"""Measuring the information between arrays that no longer change.

A loss is a bound that an encoder and its critic pursue together; a measurement is made afterwards, on frozen
arrays, with critics of its own that never score a row, or a group, they were fitted on. See
``mmsa.information.reading`` for the estimators and ``Measurement`` for what is reported.

Shapes: N rows, D features, R resamples.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import t as student

from mmsa.information.groups import bootstrap_weights, group_codes, group_folds, group_sums, permuted_rows
from mmsa.information.ksg import NEIGHBOURS, NeighbourLine
from mmsa.information.measurement import Measurement, Status, not_measured
from mmsa.information.reading import Reading, Sample, estimate
from mmsa.seeding import derive_seed

_FEWEST_ROWS = 50
_ROWS_PER_FEATURE = 3
_NEAR_CEILING = 0.9
_LEVEL = 0.9
_PARTS = 10


def measure(
    x: ArrayLike,
    y: ArrayLike,
    z: ArrayLike | None = None,
    *,
    groups: ArrayLike | None = None,
    folds: int = 5,
    seeds: int = 1,
    permutations: int = 5,
    resamples: int = 1000,
    extrapolate: bool = True,
    seed: int = 0,
) -> Measurement:
    """I(X; Y), or I(X; Y | Z), in nats, with a 90 % interval, a refitted null and a verdict.

    Up to three features in all the value is that of neighbour counts on normal scores; beyond, the larger of
    the bias-corrected Gaussian copula and the best of three cross-fitted critics, networks, a mixture of
    normal distributions and trees (where that reads less, its calibrated reading): all read at most the
    information, up to sampling error. Discrete values (integers, booleans) are spread by bounded noise, from
    which they can be read back, so the information stays the same. With a condition, x and y are first
    replaced by their residuals of a linear regression on z, which changes no I(X; Y | Z); what is left is
    I(X; Y, Z) - I(X; Z).

    Args:
        x, y, z: (N,) or (N, D) arrays of numbers, one row per sample.
        groups: (N,) video or speaker of each row; folds, resamples and permutations keep groups whole.
        folds: a critic scores the fold it was not fitted on.
        seeds: critics per fold, averaged.
        permutations: refits with the groups of y permuted; 0 skips the null, and the status ``below_null``.
        resamples: of the bootstrap.
        extrapolate: also measure two halves and report where 1 / n -> 0 leads.
        seed: decides everything random.

    Raises:
        DataError: for arrays that do not fit together or are not finite.
    """
    sample = Sample.of(x, y, z, group_codes(groups, len(np.asarray(x))))
    num_groups, dims = len(np.unique(sample.group)), sample.dims
    design: dict[str, Any] = {
        "num_samples": len(sample.x),
        "num_groups": num_groups,
        "dims": dims,
        "folds": folds,
        "seeds": seeds,
        "permutations": permutations,
        "seed": seed,
    }
    if len(sample.x) < max(_FEWEST_ROWS, _ROWS_PER_FEATURE * sum(dims)) or num_groups < 2 * folds:
        return not_measured("too_few", **design)
    ceiling = math.log(len(sample.x))
    reading = estimate(sample, folds, seeds, seed)
    extrapolated = _extrapolated(reading, sample, folds, seed) if extrapolate else None
    low, high = _interval(reading, sample, resamples, seed)
    drift = 0.0 if extrapolated is None else extrapolated - reading.value
    low, high = low + min(0.0, drift), high + max(0.0, drift)
    null = _null(reading.value, sample, folds, permutations, seed)
    return Measurement(
        value=reading.value,
        low=low,
        high=high,
        null_mean=null.mean,
        null_bound=null.bound,
        p_value=null.p_value,
        extrapolated=extrapolated,
        ceiling=ceiling,
        status=_status(reading, null.bound, high, ceiling),
        estimator=reading.estimator,
        witnesses=reading.witnesses,
        parts=reading.parts,
        **design,
    )


def _extrapolated(reading: Reading, sample: Sample, folds: int, seed: int) -> float:
    """Where the value leads as n grows.

    Neighbour counts: see ``NeighbourLine``. Else a in value = a + b / n^rate, with the mean of two halves of
    the groups as the value at n / 2. The bias of closed forms goes as 1 / n. That of trained critics falls
    more slowly; it is taken to go as 1 / sqrt(n).
    """
    if reading.limit is not None:
        return reading.limit
    half_N = group_folds(sample.group, 2, derive_seed("halves", seed))
    halves = [
        estimate(sample.rows(half_N == half), folds, 1, derive_seed("half", seed, half), bool(reading.parts))
        for half in (0, 1)
    ]
    rate = 0.5 if reading.parts else 1.0
    return reading.value + (reading.value - float(np.mean([half.value for half in halves]))) / (2**rate - 1)


def _interval(reading: Reading, sample: Sample, resamples: int, seed: int) -> tuple[float, float]:
    """5 and 95 % of the mean of the terms over resampled groups, widened by the estimator's own error."""
    sums_QG = group_sums(np.stack([reading.terms, np.ones_like(reading.terms)]), sample.group)
    weights_RG = bootstrap_weights(sums_QG.shape[1], resamples, derive_seed("bootstrap", seed))
    totals_R, counts_R = weights_RG @ sums_QG[0], weights_RG @ sums_QG[1]
    low, high = np.quantile(totals_R / counts_R, (0.5 - _LEVEL / 2, 0.5 + _LEVEL / 2))
    if reading.estimator == "ksg":
        half = _half_width_from_parts(sample, seed)
        low, high = min(low, reading.value - half), max(high, reading.value + half)
    low, high = float(low) - reading.error, float(high) + reading.error
    return low, high if reading.unproven is None else max(high, reading.unproven)


def _half_width_from_parts(sample: Sample, seed: int) -> float:
    """Half the interval of neighbour counts, from the deviation of readings on tenths of the groups.

    Their variance goes as 1 / n (Holmes and Nemenman 2019). Rows share neighbours, so resampling the terms
    alone shows too little.
    """
    part_N = group_folds(sample.group, min(_PARTS, len(np.unique(sample.group))), derive_seed("parts", seed))
    parts = [rows_N for part in np.unique(part_N) if (rows_N := part_N == part).sum() > NEIGHBOURS]
    if len(parts) < 2:  # nearly all rows are of one group
        return 0.0
    deviation = np.std(
        [NeighbourLine.of(*sample.rows(rows_N).scores()).terms.mean() for rows_N in parts], ddof=1
    )
    return float(student.ppf(0.5 + _LEVEL / 2, len(parts) - 1) * deviation / math.sqrt(len(parts)))


@dataclass(frozen=True)
class _Null:
    mean: float | None = None
    bound: float | None = None
    p_value: float | None = None


def _null(value: float, sample: Sample, folds: int, permutations: int, seed: int) -> _Null:
    """The whole procedure, refitted with the groups of y permuted among x and z.

    Few refits give no 95 % quantile; the bound is that of a normal prediction interval (Student's t).
    """
    if permutations == 0:
        return _Null()
    values = []
    for permutation in range(permutations):
        order = permuted_rows(sample.group, np.random.default_rng(derive_seed("null", seed, permutation)))
        permuted = Sample(sample.x, sample.y[order], sample.z, sample.group)
        values.append(estimate(permuted, folds, 1, derive_seed("null critic", seed, permutation)).value)
    p_value = (1 + sum(null >= value for null in values)) / (1 + permutations)
    mean = float(np.mean(values))
    if permutations == 1:
        return _Null(mean, None, p_value)
    spread = float(np.std(values, ddof=1)) * math.sqrt(1 + 1 / permutations)
    return _Null(mean, mean + float(student.ppf(0.95, permutations - 1)) * spread, p_value)


def _status(reading: Reading, bound: float | None, high: float, ceiling: float) -> Status:
    if bound is not None and reading.value <= bound:
        return "below_null"
    if reading.value > _NEAR_CEILING * ceiling:
        return "saturated"
    if reading.witnesses["copula"] > high:
        return "disagree"
    return "ok"
