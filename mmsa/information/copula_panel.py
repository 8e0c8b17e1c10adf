"""Many quantities of one set of rows by the Gaussian copula, each as a full measurement in milliseconds.

What takes time is done once for all quantities: ranks, bases, resamples, permutations. With an orthonormal
basis of the normal scores of each source, a refit of the null is one product of two small matrices.

Shapes: N rows, D directions of a source, R resamples, P permutations.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike

from mmsa.errors import DataError
from mmsa.information.copula import (
    LARGEST_SQUARED_CORRELATION,
    Array,
    gaussian_bias,
    normal_scores,
    orthonormal_basis,
)
from mmsa.information.groups import (
    Rows,
    bootstrap_weights,
    group_codes,
    group_folds,
    group_sums,
    permuted_rows,
)
from mmsa.information.measurement import Measurement, Status, not_measured
from mmsa.information.null import Null
from mmsa.seeding import derive_seed

_FEWEST_ROWS = 50
_ROWS_PER_FEATURE = 3
_FEWEST_GROUPS = 10
_NEAR_CEILING = 0.9
_SMALLEST_RESIDUAL = 1e-6  # of a direction of length 1, once what z explains is taken out
_HALVES = (0, 1)


class CopulaPanel:
    """Named sources of the same rows, between any two of which information can be measured.

    Exact for Gaussian copulas, whatever the marginals; of any other dependence it sees the part that rank
    correlation shows. It fits nothing but correlations, whose bias is known and taken off, so it needs no
    held-out rows (Ince et al. 2017). Resamples and permutations are the same for all quantities.

    Args:
        sources: (N,) or (N, D) finite numbers by name.
        groups: (N,) video or speaker of each row; resamples and permutations keep groups whole.
        permutations: of the null.
        resamples: of the bootstrap.
        seed: decides everything random.

    Raises:
        DataError: for arrays that do not fit together or are not finite.
    """

    def __init__(
        self,
        sources: Mapping[str, ArrayLike],
        groups: ArrayLike | None = None,
        *,
        permutations: int = 19,
        resamples: int = 1000,
        seed: int = 0,
    ):
        arrays = {name: np.asarray(values, np.float64) for name, values in sources.items()}
        self.num_rows = len(next(iter(arrays.values())))
        for name, values in arrays.items():
            if len(values) != self.num_rows or not np.isfinite(values).all():
                raise DataError(f"{name}: give {self.num_rows} rows of finite numbers, not {values.shape}")
        self._sources = {name: values.reshape(self.num_rows, -1) for name, values in arrays.items()}
        self.group_N = group_codes(groups, self.num_rows)
        self.num_groups = int(self.group_N.max()) + 1
        self.permutations, self.seed = permutations, seed
        self._bases: dict[tuple[str, int | None], Array] = {}
        generator = np.random.default_rng(derive_seed("null", seed))
        self._orders = [permuted_rows(self.group_N, generator) for _ in range(permutations)]
        self._weights_RG = bootstrap_weights(self.num_groups, resamples, derive_seed("bootstrap", seed))

    def measure(self, x: str, y: str, given: str | None = None) -> Measurement:
        """I(x; y), or I(x; y | given), of the sources of these names."""
        names = (x, y) if given is None else (x, y, given)
        dims = tuple(self._sources[name].shape[1] for name in names)
        needed = max(_FEWEST_ROWS, _ROWS_PER_FEATURE * sum(dims))
        if self.num_rows < needed or self.num_groups < _FEWEST_GROUPS:
            return not_measured("too_few", num_samples=self.num_rows, num_groups=self.num_groups, dims=dims)
        pair = self._pair(x, y, given)
        value, terms_N = pair.information(), pair.terms()
        halves = [self._pair(x, y, given, half).information() for half in _HALVES]
        extrapolated = 2 * value - float(np.mean(halves))  # the bias of a closed form goes as 1 / n
        low, high = self._interval(terms_N)
        null = Null.of(value, pair.permuted(self._orders))
        return Measurement(
            value=value,
            low=min(value, low + min(0.0, extrapolated - value)),
            high=max(value, high + max(0.0, extrapolated - value)),
            null_mean=null.mean,
            null_bound=null.bound,
            p_value=null.p_value,
            extrapolated=extrapolated,
            ceiling=math.log(self.num_rows),
            status=self._status(value, null),
            estimator="copula",
            witnesses={"copula": value},
            parts=(),
            num_samples=self.num_rows,
            num_groups=self.num_groups,
            dims=dims,
            folds=0,
            seeds=0,
            permutations=self.permutations,
            seed=self.seed,
        )

    def _status(self, value: float, null: Null) -> Status:
        if null.passed is False:
            return "below_null"
        if value > _NEAR_CEILING * math.log(self.num_rows):
            return "saturated"
        return "untested" if null.passed is None else "ok"

    def _pair(self, x: str, y: str, given: str | None, half: int | None = None) -> _Pair:
        x_ND, y_ND = self._basis(x, half), self._basis(y, half)
        return _Pair(x_ND, y_ND, self._basis(given, half) if given else np.empty((len(x_ND), 0)))

    def _basis(self, name: str, half: int | None = None) -> Array:
        """(N, D) orthonormal basis of the source's normal scores, of all rows or of half of the groups."""
        if (name, half) not in self._bases:
            rows = slice(None) if half is None else self._halves == half
            self._bases[name, half] = orthonormal_basis(normal_scores(self._sources[name][rows]))
        return self._bases[name, half]

    @cached_property
    def _halves(self) -> Rows:
        """Which half the group of each row belongs to."""
        return group_folds(self.group_N, len(_HALVES), derive_seed("halves", self.seed))

    def _interval(self, terms_N: Array) -> tuple[float, float]:
        """5 and 95 % of the mean of the terms over resampled groups."""
        sums_QG = group_sums(np.stack([terms_N, np.ones_like(terms_N)]), self.group_N)
        totals_QR = sums_QG @ self._weights_RG.T
        low, high = np.quantile(totals_QR[0] / totals_QR[1], (0.05, 0.95))
        return float(low), float(high)


@dataclass(frozen=True)
class _Pair:
    """Orthonormal bases (N, D) of x, y and a condition z, which may have no direction."""

    x: Array
    y: Array
    z: Array

    @cached_property
    def x_left(self) -> Array:
        """The basis of what z does not explain of x."""
        return _without(self.x, self.z)

    @cached_property
    def y_left(self) -> Array:
        """The same of y."""
        return _without(self.y, self.z)

    def bias(self) -> float:
        """Of Gaussian information; a condition takes as many rows away as it has directions."""
        dims = self.x_left.shape[1], self.y_left.shape[1]
        return gaussian_bias(len(self.x) - self.z.shape[1], *dims)

    def information(self) -> float:
        """I(x; y | z) in nats, with the bias taken off."""
        return float(-0.5 * np.log1p(-(self.canonical()[1] ** 2)).sum() - self.bias())

    def canonical(self) -> tuple[Array, Array, Array]:
        """Directions (D, K) in x, correlations (K,), directions (K, D) in y."""
        left, correlation_K, right = np.linalg.svd(self.x_left.T @ self.y_left, full_matrices=False)
        return left, np.minimum(correlation_K, math.sqrt(LARGEST_SQUARED_CORRELATION)), right

    def terms(self) -> Array:
        """(N,) log density ratio of each row under the fitted copula, whose mean is ``information``.

        The correlations are where the likelihood is largest, so that to first order the mean over a resample
        is what a refit to the resample would give.
        """
        left, r_K, right = self.canonical()
        a_NK, b_NK = (math.sqrt(len(self.x)) * basis for basis in (self.x_left @ left, self.y_left @ right.T))
        unexplained_K = 1 - r_K**2
        squares_NK = (r_K**2 * (a_NK**2 + b_NK**2) - 2 * r_K * a_NK * b_NK) / (2 * unexplained_K)
        terms_N: Array = -squares_NK.sum(1) - 0.5 * np.log(unexplained_K).sum() - self.bias()
        return terms_N

    def permuted(self, orders: list[Rows]) -> list[float]:
        """The information with the rows of y in each of the orders."""
        return [_Pair(self.x_left, self.y[order], self.z).information_of_refit() for order in orders]

    def information_of_refit(self) -> float:
        """``information`` by a determinant in place of singular values; x is free of z already."""
        product_DD = self.x.T @ self.y_left
        unexplained_DD = np.eye(product_DD.shape[1]) - LARGEST_SQUARED_CORRELATION * product_DD.T @ product_DD
        log_determinant = np.linalg.slogdet(unexplained_DD).logabsdet
        bias = gaussian_bias(len(self.x) - self.z.shape[1], self.x.shape[1], self.y_left.shape[1])
        return float(-0.5 * log_determinant - bias)


def _without(basis_ND: Array, z_ND: Array) -> Array:
    """An orthonormal basis of what is left of the directions when their projections on z are taken out."""
    if not z_ND.shape[1]:
        return basis_ND
    left, size_K, _ = np.linalg.svd(basis_ND - z_ND @ (z_ND.T @ basis_ND), full_matrices=False)
    kept: Array = left[:, size_K > _SMALLEST_RESIDUAL]
    return kept
