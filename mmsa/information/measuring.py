"""Measuring the information between arrays that no longer change.

A loss is a bound that an encoder and its critic pursue together; a measurement is made afterwards, on frozen
arrays, with critics of its own that never score a row, or a group, they were fitted on. See
``mmsa.information.reading`` for the estimators and ``Measurement`` for what is reported.

Shapes: N rows, D features.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import stdtrit

from mmsa.information.groups import group_codes, group_folds, interval_of_mean, permuted_rows
from mmsa.information.ksg import NEIGHBOURS, NeighbourLine
from mmsa.information.null import FEWEST_REFITS, Null
from mmsa.information.reading import Reading, Sample, estimate
from mmsa.information.within import scope_between
from mmsa.measurement import Measurement, Status, not_measured
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
    permutations: int = FEWEST_REFITS,
    extrapolate: bool = True,
    seed: int = 0,
) -> Measurement:
    """I(X; Y), or I(X; Y | Z), in nats, with a 90 % interval, a refitted null and a verdict.

    Up to three features in all the value is that of neighbour counts on normal scores; beyond, the larger of
    the bias-corrected Gaussian copula and the best of several cross-fitted critics, networks and those of
    ``mmsa.information.stacking`` (where that reads less, its calibrated reading). All of them read at most
    the information, up to sampling error: from the closed form of the copula is taken what it reads too much
    where features are curves of few latents (``excess_over_products``). Discrete values (integers, booleans)
    are spread by bounded noise, from which they can be read back, so the information stays the same. With a
    condition, x and y are first replaced by their residuals of a linear regression on z, which changes no
    I(X; Y | Z); what is left is I(X; Y, Z) - I(X; Z).

    With two rows a group on average, what differs within groups is measured (``mmsa.information.within``),
    unless an array differs between groups alone; ``scope`` says which it was. Where groups have several rows,
    the mean of the null is taken off.

    Args:
        x, y, z: (N,) or (N, D) arrays of numbers, one row per sample.
        groups: (N,) video or speaker of each row; folds, intervals and permutations keep groups whole.
        folds: a critic scores the fold it was not fitted on.
        seeds: critics per fold, averaged.
        permutations: refits with the groups of y permuted; fewer than 19 leave the value ``untested``.
        extrapolate: also measure two halves and report where 1 / n -> 0 leads.
        seed: decides everything random.

    Raises:
        DataError: for arrays that do not fit together or are not finite.

    Examples:
        >>> x, noise = np.random.default_rng(0).standard_normal((2, 400))
        >>> found = measure(x, x + noise)  # 0.3466 nats
        >>> found.status, found.low < 0.3466 < found.high
        ('ok', True)
    """
    sample = Sample.of(x, y, z, group_codes(groups, len(np.asarray(x))))
    scope = scope_between([np.asarray(part) for part in (x, y, z) if part is not None], sample.group)
    if scope == "within_groups":
        sample = sample.within()
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
    if len(sample.x) < max(_FEWEST_ROWS, _ROWS_PER_FEATURE * sum(dims)):
        return not_measured("too_few", **design)
    if num_groups < 2 * folds:
        return not_measured("too_few_groups", **design)
    ceiling = math.log(len(sample.x))
    reading = estimate(sample, folds, seeds, seed)
    extrapolated = _extrapolated(reading, sample, folds, seed) if extrapolate else None
    low, high = _interval(reading, sample, seed)
    drift = 0.0 if extrapolated is None else extrapolated - reading.value
    # Critics that read more of halves than of the whole are unsure, and mostly read too little.
    low, high = low + min(0.0, drift), high + (abs(drift) if reading.parts else max(0.0, drift))
    null = _null(reading.value, sample, folds, permutations, seed)
    measured = Measurement(
        value=reading.value,
        low=low,
        high=high,
        null_mean=null.mean,
        null_bound=null.bound,
        p_value=null.p_value,
        extrapolated=extrapolated,
        ceiling=ceiling,
        status=_status(reading, null, high, ceiling),
        estimator=reading.estimator,
        witnesses=reading.witnesses,
        parts=reading.parts,
        scope=scope,
        **design,
    )
    return measured if null.mean is None or num_groups == len(sample.x) else measured.less(null.mean)


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


def _interval(reading: Reading, sample: Sample, seed: int) -> tuple[float, float]:
    """Of the mean of the terms over other groups, widened by the estimator's own error."""
    low, high = interval_of_mean(reading.terms, sample.group, _LEVEL)
    if reading.estimator == "ksg":
        half = _half_width_from_parts(sample, seed)
        low, high = min(low, reading.value - half), max(high, reading.value + half)
    low, high = low - reading.error, high + reading.error
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
    return float(stdtrit(len(parts) - 1, 0.5 + _LEVEL / 2) * deviation / math.sqrt(len(parts)))


def _null(value: float, sample: Sample, folds: int, permutations: int, seed: int) -> Null:
    """The whole procedure, refitted with the groups of y permuted among x, what z says of y left in place."""
    refits = []
    for permutation in range(permutations):
        order = permuted_rows(sample.group, np.random.default_rng(derive_seed("null", seed, permutation)))
        critics = derive_seed("null critic", seed, permutation)
        refits.append(estimate(sample.permuted(order), folds, 1, critics).value)
    return Null.of(value, refits)


def _status(reading: Reading, null: Null, high: float, ceiling: float) -> Status:
    if null.passed is False:
        return "below_null"
    if reading.value > _NEAR_CEILING * ceiling:
        return "saturated"
    if reading.witnesses["copula"] > high:
        return "disagree"
    return "untested" if null.passed is None else "ok"
