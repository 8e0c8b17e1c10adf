"""Measuring the information between arrays that no longer change.

A loss is a bound that an encoder and its critic pursue together; a measurement is made afterwards, on frozen
arrays, with critics of its own that never score a row, or a group, they were fitted on. See
``mmsa.information.residual`` for the estimator and ``Measurement`` for what is reported.

Shapes: N rows, D features, R resamples.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import t as student

from mmsa.errors import DataError
from mmsa.information.copula import Array, gaussian_copula_information, normal_scores
from mmsa.information.groups import (
    Rows,
    bootstrap_weights,
    group_codes,
    group_folds,
    group_sums,
    permuted_rows,
)
from mmsa.information.ksg import ksg_terms
from mmsa.information.measurement import Measurement, Status
from mmsa.information.residual import cross_fitted_ratios
from mmsa.seeding import derive_seed

_FEWEST_ROWS = 50
_ROWS_PER_FEATURE = 3
_FEW_DIMS = 3
"""Up to so many features in all, neighbour counting is the most accurate estimator there is."""
_NEAR_CEILING = 0.9


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
    the bias-corrected Gaussian copula and the cross-fitted copula with networks: both read at most the
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
    sample = _Sample.of(x, y, z, group_codes(groups, len(np.asarray(x))))
    num_groups, dims = len(np.unique(sample.group)), sample.dims
    ceiling = math.log(max(1, len(sample.x)))
    record = partial(
        Measurement,
        ceiling=ceiling,
        num_samples=len(sample.x),
        num_groups=num_groups,
        dims=dims,
        folds=folds,
        seeds=seeds,
        permutations=permutations,
        seed=seed,
    )
    if len(sample.x) < max(_FEWEST_ROWS, _ROWS_PER_FEATURE * sum(dims)) or num_groups < 2 * folds:
        return record(
            value=None,
            low=None,
            high=None,
            null_mean=None,
            null_bound=None,
            p_value=None,
            extrapolated=None,
            status="too_few",
            estimator="",
            witnesses={},
            parts=(),
        )
    reading = _estimate(sample, folds, seeds, seed)
    extrapolated = _extrapolated(reading, sample, folds, seed) if extrapolate else None
    low, high = _interval(reading, sample.group, resamples, seed)
    drift = 0.0 if extrapolated is None else extrapolated - reading.value
    low, high = low + min(0.0, drift), high + max(0.0, drift)
    null = _null(reading.value, sample, folds, permutations, seed)
    return record(
        value=reading.value,
        low=low,
        high=high,
        null_mean=null.mean,
        null_bound=null.bound,
        p_value=null.p_value,
        extrapolated=extrapolated,
        status=_status(reading, null.bound, high, ceiling),
        estimator=reading.estimator,
        witnesses=reading.witnesses,
        parts=reading.parts,
    )


@dataclass(frozen=True)
class _Sample:
    """Checked arrays (N, D), and the group (N,) of each row."""

    x: Array
    y: Array
    z: Array | None
    group: Rows

    @classmethod
    def of(cls, x: ArrayLike, y: ArrayLike, z: ArrayLike | None, group_N: Rows) -> _Sample:
        given = {"x": x, "y": y} | ({} if z is None else {"z": z})
        arrays = {name: _matrix(name, values) for name, values in given.items()}
        if len({len(array) for array in arrays.values()}) != 1:
            shapes = ", ".join(f"{name} {array.shape}" for name, array in arrays.items())
            raise DataError(f"{shapes}: every array needs one row per sample")
        return cls(arrays["x"], arrays["y"], arrays.get("z"), group_N)

    @property
    def dims(self) -> tuple[int, ...]:
        return tuple(part.shape[1] for part in (self.x, self.y, self.z) if part is not None)

    def rows(self, rows: Any) -> _Sample:
        z_ND = None if self.z is None else self.z[rows]
        group_N = np.unique(self.group[rows], return_inverse=True)[1].astype(np.int64)
        return _Sample(self.x[rows], self.y[rows], z_ND, group_N)


def _matrix(name: str, values: ArrayLike) -> Array:
    """(N, D) numbers of double precision, discrete ones spread by noise of less than half a step."""
    array: NDArray[Any] = np.asarray(values)
    if array.dtype.kind not in "fiub" or array.ndim not in (1, 2):
        raise DataError(
            f"{name} is an array of {array.dtype} with {array.ndim} axes; give numbers as (N,) or (N, D)"
        )
    matrix_ND = array.reshape(len(array), -1).astype(np.float64)
    if not np.isfinite(matrix_ND).all():
        rows = np.flatnonzero(~np.isfinite(matrix_ND).all(1))
        raise DataError(f"{name} is not finite in {len(rows)} rows, first {rows[0]}; drop or impute them")
    if array.dtype.kind in "iub":
        noise = np.random.default_rng(derive_seed("spread", name)).uniform(-0.49, 0.49, matrix_ND.shape)
        matrix_ND = matrix_ND + noise
    return matrix_ND


@dataclass(frozen=True)
class _Reading:
    """What the estimators read: the value, the terms (N,) whose mean it is, and all readings."""

    value: float
    terms: Array
    estimator: str
    witnesses: Mapping[str, float]
    parts: tuple[str, ...]


def _estimate(sample: _Sample, folds: int, seeds: int, seed: int, networks: bool = True) -> _Reading:
    if sample.z is None:
        return _information(sample.x, sample.y, sample.group, folds, seeds, seed, networks)
    return _conditional(sample, folds, seeds, seed, networks)


def _information(
    x_ND: Array, y_ND: Array, group_N: Rows, folds: int, seeds: int, seed: int, networks: bool
) -> _Reading:
    """I(X; Y). Without ``networks``, the copula stands for them."""
    fold_N = group_folds(group_N, folds, derive_seed("folds", seed))
    ratios = cross_fitted_ratios(
        x_ND, y_ND, fold_N, group_N, num_seeds=seeds, seed=derive_seed("critics", seed), networks=networks
    )
    witnesses = {"copula": gaussian_copula_information(x_ND, y_ND)}
    terms_N, estimator = ratios.copula - ratios.copula.mean() + witnesses["copula"], "copula"
    if ratios.parts:
        witnesses["residual"] = float(ratios.total.mean())
        if witnesses["residual"] > witnesses["copula"]:
            terms_N, estimator = ratios.total, "residual"
    if x_ND.shape[1] + y_ND.shape[1] <= _FEW_DIMS:
        terms_N, estimator = ksg_terms(normal_scores(x_ND), normal_scores(y_ND)), "ksg"
        witnesses["ksg"] = float(terms_N.mean())
    return _Reading(float(terms_N.mean()), terms_N, estimator, witnesses, ratios.parts)


def _conditional(sample: _Sample, folds: int, seeds: int, seed: int, networks: bool) -> _Reading:
    """I(X; Y, Z) - I(X; Z) of residuals, with the same folds; the terms are differences, row by row."""
    assert sample.z is not None
    x_ND, y_ND = (_residuals(part, sample.z) for part in (sample.x, sample.y))
    whole, rest = (
        _information(x_ND, part, sample.group, folds, seeds, seed, networks)
        for part in (np.hstack([y_ND, sample.z]), sample.z)
    )
    terms_N = whole.terms - rest.terms
    witnesses = {"copula": whole.witnesses["copula"] - rest.witnesses["copula"]}
    estimator = "difference"
    if sum(sample.dims) <= _FEW_DIMS:
        terms_N, estimator = (
            ksg_terms(normal_scores(x_ND), normal_scores(y_ND), normal_scores(sample.z)),
            "ksg",
        )
    witnesses[estimator] = float(terms_N.mean())
    return _Reading(witnesses[estimator], terms_N, estimator, witnesses, (*whole.parts, *rest.parts))


def _residuals(values_ND: Array, z_ND: Array) -> Array:
    """What a linear regression on z leaves; a bijection of the values for every z."""
    design = np.hstack([np.ones((len(z_ND), 1)), z_ND])
    left_ND: Array = values_ND - design @ np.linalg.lstsq(design, values_ND, rcond=None)[0]
    return left_ND


def _extrapolated(reading: _Reading, sample: _Sample, folds: int, seed: int) -> float:
    """a in value = a + b / n^rate, with the mean of two halves of the groups as the value at n / 2.

    The bias of closed forms and neighbour counts goes as 1 / n. That of trained critics falls more slowly; it
    is taken to go as 1 / sqrt(n).
    """
    half_N = group_folds(sample.group, 2, derive_seed("halves", seed))
    trained = bool(reading.parts) and reading.estimator != "ksg"
    halves = [
        _estimate(sample.rows(half_N == half), folds, 1, derive_seed("half", seed, half), trained).value
        for half in (0, 1)
    ]
    rate = 0.5 if trained else 1.0
    return reading.value + (reading.value - float(np.mean(halves))) / (2**rate - 1)


def _interval(reading: _Reading, group_N: Rows, resamples: int, seed: int) -> tuple[float, float]:
    """5 and 95 % of the mean of the terms over resampled groups."""
    sums_QG = group_sums(np.stack([reading.terms, np.ones_like(reading.terms)]), group_N)
    weights_RG = bootstrap_weights(sums_QG.shape[1], resamples, derive_seed("bootstrap", seed))
    totals_R, counts_R = weights_RG @ sums_QG[0], weights_RG @ sums_QG[1]
    low, high = np.quantile(totals_R / counts_R, (0.05, 0.95))
    return float(low), float(high)


@dataclass(frozen=True)
class _Null:
    mean: float | None = None
    bound: float | None = None
    p_value: float | None = None


def _null(value: float, sample: _Sample, folds: int, permutations: int, seed: int) -> _Null:
    """The whole procedure, refitted with the groups of y permuted among x and z.

    Few refits give no 95 % quantile; the bound is that of a normal prediction interval (Student's t).
    """
    if permutations == 0:
        return _Null()
    values = []
    for permutation in range(permutations):
        order = permuted_rows(sample.group, np.random.default_rng(derive_seed("null", seed, permutation)))
        permuted = _Sample(sample.x, sample.y[order], sample.z, sample.group)
        values.append(_estimate(permuted, folds, 1, derive_seed("null critic", seed, permutation)).value)
    p_value = (1 + sum(null >= value for null in values)) / (1 + permutations)
    mean = float(np.mean(values))
    if permutations == 1:
        return _Null(mean, None, p_value)
    spread = float(np.std(values, ddof=1)) * math.sqrt(1 + 1 / permutations)
    return _Null(mean, mean + float(student.ppf(0.95, permutations - 1)) * spread, p_value)


def _status(reading: _Reading, bound: float | None, high: float, ceiling: float) -> Status:
    if bound is not None and reading.value <= bound:
        return "below_null"
    if reading.value > _NEAR_CEILING * ceiling:
        return "saturated"
    if reading.witnesses["copula"] > high:
        return "disagree"
    return "ok"
