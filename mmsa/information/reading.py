"""What the estimators read from one sample: the part of a measurement that is repeated on halves and nulls.

Shapes: N rows, D features.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mmsa.errors import DataError
from mmsa.information.copula import Array, gaussian_information, normal_scores
from mmsa.information.copula_critics import copula_excess, copula_terms
from mmsa.information.groups import Rows, group_folds
from mmsa.information.ksg import NeighbourLine
from mmsa.information.residual import cross_fitted_ratios
from mmsa.information.within import within_scores
from mmsa.seeding import derive_seed

FEW_DIMS = 3
"""Up to so many features in all, neighbour counting is the most accurate estimator there is."""


_ROUNDING = 1e-6  # of a deviation: what a regression leaves of a feature that it explains completely


@dataclass(frozen=True)
class Sample:
    """Checked arrays (N, D), and the group (N,) of each row."""

    x: Array
    y: Array
    z: Array | None
    group: Rows

    @classmethod
    def of(cls, x: ArrayLike, y: ArrayLike, z: ArrayLike | None, group_N: Rows) -> Sample:
        """Check what was given.

        Raises:
            DataError: for arrays that do not fit together or are not finite.
        """
        given = {"x": x, "y": y} | ({} if z is None else {"z": z})
        arrays = {name: _matrix(name, values) for name, values in given.items()}
        if len({len(array) for array in arrays.values()}) != 1:
            shapes = ", ".join(f"{name} {array.shape}" for name, array in arrays.items())
            raise DataError(f"{shapes}: every array needs one row per sample")
        return cls(arrays["x"], arrays["y"], arrays.get("z"), group_N)

    @property
    def dims(self) -> tuple[int, ...]:
        """Numbers of features."""
        return tuple(part.shape[1] for part in (self.x, self.y, self.z) if part is not None)

    def within(self) -> Sample:
        """What differs within groups, as normal scores."""
        x_ND, y_ND = within_scores(self.x, self.group), within_scores(self.y, self.group)
        z_ND = None if self.z is None else within_scores(self.z, self.group)
        return Sample(x_ND, y_ND, z_ND, self.group)

    def adjusted(self) -> Sample:
        """x and y less their linear regressions on z: for every z a bijection, so I(X; Y | Z) stays."""
        if self.z is None:
            return self
        return replace(self, x=_residuals(self.x, self.z), y=_residuals(self.y, self.z))

    def scores(self) -> tuple[Array, Array, Array | None]:
        """Normal scores of adjusted x and y, and of z."""
        adjusted = self.adjusted()
        z_ND = None if self.z is None else normal_scores(self.z)
        return normal_scores(adjusted.x), normal_scores(adjusted.y), z_ND

    def permuted(self, order_N: Rows) -> Sample:
        """y of other rows; with a condition what it explains of y stays (Freedman and Lane 1983)."""
        if self.z is None:
            return replace(self, y=self.y[order_N])
        left_ND = _residuals(self.y, self.z)
        return replace(self, y=self.y - left_ND + left_ND[order_N])

    def rows(self, rows: Any) -> Sample:
        """Some of the rows."""
        z_ND = None if self.z is None else self.z[rows]
        group_N = np.unique(self.group[rows], return_inverse=True)[1].astype(np.int64)
        return Sample(self.x[rows], self.y[rows], z_ND, group_N)


def _residuals(values_ND: Array, z_ND: Array) -> Array:
    design = np.hstack([np.ones((len(z_ND), 1)), z_ND])
    left_ND: Array = values_ND - design @ np.linalg.lstsq(design, values_ND, rcond=None)[0]
    # Of what z says completely rounding is left, which ranks would take for a feature: of two such columns
    # it can be the same.
    return np.where(left_ND.std(0) > _ROUNDING * values_ND.std(0), left_ND, 0.0)


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
class Reading:
    """What the estimators read: the value, the terms (N,) whose mean it is, and all readings.

    error: what the two readings of the critics differ by. The plain one may err to both sides, the
    calibrated one reads too little; those of a perfect critic would agree. unproven: calibrated reading of a
    critic that gained too little to be believed, which the interval has to hold. limit: where the value leads
    as n grows, if the estimator knows that from one sample.
    """

    value: float
    terms: Array
    estimator: str
    witnesses: Mapping[str, float]
    parts: tuple[str, ...]
    error: float = 0.0
    unproven: float | None = None
    limit: float | None = None


def estimate(sample: Sample, folds: int, seeds: int, seed: int, networks: bool = True) -> Reading:
    """I(X; Y) or I(X; Y | Z). Few features or not ``networks``: the copula stands for them."""
    counted = sum(sample.dims) <= FEW_DIMS
    settings = folds, seeds, seed, networks and not counted
    if sample.z is None:
        reading = _information(sample.x, sample.y, sample.group, *settings)
    else:
        reading = _difference(sample.adjusted(), *settings)
    if not counted:
        return reading
    line = NeighbourLine.of(*sample.scores())
    value = float(line.terms.mean())
    witnesses = {**reading.witnesses, "ksg": value}
    return Reading(value, line.terms, "ksg", witnesses, reading.parts, limit=line.limit)


def _information(
    x_ND: Array, y_ND: Array, group_N: Rows, folds: int, seeds: int, seed: int, networks: bool
) -> Reading:
    reading = _copula_reading(x_ND, y_ND)
    if not networks:
        return reading
    fold_N = group_folds(group_N, folds, derive_seed("folds", seed))
    ratios = cross_fitted_ratios(
        x_ND, y_ND, fold_N, group_N, num_seeds=seeds, seed=derive_seed("critics", seed)
    )
    if not ratios.parts:
        return replace(reading, unproven=ratios.unproven)
    plain, calibrated = float(ratios.total.mean()), float(ratios.calibrated.mean())
    witnesses = {**reading.witnesses, "residual": plain, "calibrated": calibrated}
    if max(plain, calibrated) <= reading.value:
        return replace(reading, witnesses=witnesses, parts=ratios.parts)
    error = abs(plain - calibrated)
    if plain <= calibrated:
        return Reading(calibrated, ratios.calibrated, "calibrated", witnesses, ratios.parts, error)
    return Reading(plain, ratios.total, "residual", witnesses, ratios.parts, error)


def _copula_reading(x_ND: Array, y_ND: Array) -> Reading:
    """The closed form less its excess, which leaves at most the information also of curved features."""
    scores = normal_scores(x_ND), normal_scores(y_ND)
    closed = gaussian_information(*scores)
    terms_N = closed + copula_terms(*scores)
    excess = copula_excess(*scores)
    witnesses = {"copula": closed - excess, "copula_closed_form": closed}
    return Reading(witnesses["copula"], terms_N - excess, "copula", witnesses, ())


def _difference(sample: Sample, folds: int, seeds: int, seed: int, networks: bool) -> Reading:
    """I(X; Y, Z) - I(X; Z) with the same folds; the terms are differences, row by row."""
    assert sample.z is not None
    whole, rest = (
        _information(sample.x, part, sample.group, folds, seeds, seed, networks)
        for part in (np.hstack([sample.y, sample.z]), sample.z)
    )
    terms_N = whole.terms - rest.terms
    value = float(terms_N.mean())
    witnesses = {"copula": whole.witnesses["copula"] - rest.witnesses["copula"], "difference": value}
    parts = (*whole.parts, *rest.parts)
    error = whole.error + rest.error
    unproven = None if whole.unproven is None else whole.unproven - rest.value
    return Reading(value, terms_N, "difference", witnesses, parts, error, unproven)
