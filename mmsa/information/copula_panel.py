"""Many quantities of one set of rows by the Gaussian copula, each as a full measurement in milliseconds.

What takes time is done once for all quantities: ranks, bases, permutations. With an orthonormal basis of the
normal scores of each source, a refit of the null is a product of two small matrices.

Shapes: N rows, D directions of a source, P refits.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike

from mmsa.errors import DataError
from mmsa.information.copula import (
    LARGEST_SQUARED_CORRELATION,
    Array,
    excess_over_products,
    gaussian_bias,
    normal_scores,
    orthonormal_basis,
)
from mmsa.information.copula_critics import leading_copula_terms
from mmsa.information.groups import (
    Rows,
    effective_groups,
    group_codes,
    group_folds,
    group_signs,
    interval_of_mean,
    permuted_rows,
    pieces_of,
)
from mmsa.information.null import Null
from mmsa.information.within import scope_between, within_scores
from mmsa.measurement import Absent, Measurement, Scope, Status, not_measured
from mmsa.seeding import derive_seed

_FEWEST_ROWS = 50
_ROWS_PER_FEATURE = 3
_FEWEST_GROUPS = 10
_FEWEST_EFFECTIVE_GROUPS = 2.0
_GROUPS_PER_FEATURE = 2
_NEAR_CEILING = 0.9
_LEVEL = 0.9
_SMALLEST_RESIDUAL = 1e-6  # of a direction of length 1, once what z explains is taken out
_HALVES = (0, 1)
_REFITS_FOR_BIAS = 99
_MOST_COLUMNS = 128
_NOT_NORMAL = 0.02  # nats of excess that normal variables do not show by chance


class CopulaPanel:
    """Named sources of the same rows, between any two of which information can be measured.

    Exact for Gaussian copulas, whatever the marginals; of any other dependence it sees a part. It fits
    nothing but correlations, whose bias is known and taken off, so it needs no held-out rows (Ince et al.
    2017). Where ``excess_over_products`` shows that variates are not jointly normal, as of features that are
    curves of few latents, the closed form would read too much. Then ``leading_copula_terms`` are read,
    which is a lower bound, and the interval reaches up to the closed form.

    Where groups have two rows or more on average, information is measured within groups: see
    ``mmsa.information.within``. Rows of one group may follow one another; the null then keeps every group as
    it is and turns the sign of all its rows of y at once, and what it reads on average is the bias. A source
    that does not vary within groups is measured over all rows, if there are groups enough.

    Args:
        sources: (N,) or (N, D) finite numbers by name.
        groups: (N,) video or speaker of each row.
        permutations: refits of the null; fewer than 19 test nothing.
        seed: decides everything random; the same for all quantities.
        parts: of how many disjoint parts that are averaged these rows are one; all have as many together.

    Raises:
        DataError: for arrays that do not fit together or are not finite.
    """

    def __init__(
        self,
        sources: Mapping[str, ArrayLike],
        groups: ArrayLike | None = None,
        *,
        permutations: int = 199,
        seed: int = 0,
        parts: int = 1,
    ):
        arrays = {name: np.asarray(values, np.float64) for name, values in sources.items()}
        self.num_rows = len(next(iter(arrays.values())))
        for name, values in arrays.items():
            if len(values) != self.num_rows or not np.isfinite(values).all():
                raise DataError(f"{name}: give {self.num_rows} rows of finite numbers, not {values.shape}")
        self._sources = {name: values.reshape(self.num_rows, -1) for name, values in arrays.items()}
        self.group_N = group_codes(groups, self.num_rows)
        self.num_groups = int(self.group_N.max()) + 1
        self.permutations, self.seed, self._parts = permutations, seed, parts
        self._bases: dict[tuple[str, Scope, int | None], Array] = {}
        self._refits = _Refits.of(self.group_N, permutations, seed)

    def measure(self, x: str, y: str, given: str | None = None) -> Measurement:
        """I(x; y), or I(x; y | given), of the sources of these names."""
        names = (x, y) if given is None else (x, y, given)
        dims = tuple(self._sources[name].shape[1] for name in names)
        scope = scope_between((self._sources[name] for name in names), self.group_N)
        absent = self._absent(dims, scope)
        if absent is not None:
            return not_measured(absent, num_samples=self.num_rows, num_groups=self.num_groups, dims=dims)
        pair = self._pair(x, y, given, scope)
        test_P, bias_P = np.split(pair.refitted(self._refits), [self.permutations])
        bias, excess = float(bias_P.mean()) if len(bias_P) else 0.0, pair.excess()
        closed, terms_N = pair.information() - bias, pair.terms() - bias
        if excess > _NOT_NORMAL:
            terms_N = leading_copula_terms(pair.x_left, pair.y_left, self._halves)
        value = float(terms_N.mean())
        # The bias of a closed form goes as 1 / n.
        halves = [self._pair(x, y, given, scope, half).information() - 2 * bias for half in _HALVES]
        drift = closed - float(np.mean(halves))
        low, high = interval_of_mean(terms_N, self.group_N, _LEVEL)
        low, high = min(value, low + min(0.0, drift)), max(value, high + max(0.0, drift))
        if excess > _NOT_NORMAL:
            high = max(high, closed)  # a bound from below says nothing of what it misses
        null = Null.of(closed, list(test_P - bias))  # a test of independence, whatever is normal
        return Measurement(
            value=value,
            low=low,
            high=high,
            null_mean=null.mean,
            null_bound=null.bound,
            p_value=null.p_value,
            extrapolated=value + drift,
            ceiling=math.log(self.num_rows),
            status=self._status(value, low, null),
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
            scope=scope,
        )

    def _absent(self, dims: tuple[int, ...], scope: Scope) -> Absent | None:
        """Why nothing can be measured of so many directions, if so."""
        if self.num_rows < max(_FEWEST_ROWS / self._parts, _ROWS_PER_FEATURE * sum(dims)):
            return "too_few"
        needed = max(2, math.ceil(_FEWEST_GROUPS / self._parts))
        if scope == "rows" and self.num_groups < self.num_rows:  # rows of a group may be one draw
            needed = max(needed, _GROUPS_PER_FEATURE * sum(dims))
        few = self.num_groups < needed or effective_groups(self.group_N) < _FEWEST_EFFECTIVE_GROUPS
        return "too_few_groups" if few else None

    def _status(self, value: float, low: float, null: Null) -> Status:
        if null.passed is False or (null.passed and low <= 0):
            return "below_null"
        if value > _NEAR_CEILING * math.log(self.num_rows):
            return "saturated"
        return "untested" if null.passed is None else "ok"

    def _pair(self, x: str, y: str, given: str | None, scope: Scope, half: int | None = None) -> _Pair:
        x_ND, y_ND = self._basis(x, scope, half), self._basis(y, scope, half)
        z_ND = self._basis(given, scope, half) if given else np.empty((len(x_ND), 0))
        return _Pair(x_ND, y_ND, z_ND, self._freedom(scope, half))

    def _freedom(self, scope: Scope, half: int | None) -> int:
        """As many rows would have varied as much if nothing but one mean had been taken off."""
        group_N = self.group_N if half is None else self.group_N[self._halves == half]
        taken = len(np.unique(group_N)) - 1 if scope == "within_groups" else 0
        return len(group_N) - taken

    def _basis(self, name: str, scope: Scope, half: int | None = None) -> Array:
        """(N, D) orthonormal basis of the source's normal scores, of all rows or of half of the groups."""
        if (name, scope, half) not in self._bases:
            rows = slice(None) if half is None else self._halves == half
            values_ND = self._sources[name][rows]
            if scope == "within_groups":
                group_N = np.unique(self.group_N[rows], return_inverse=True)[1]
                scores_ND = within_scores(values_ND, group_N)
            else:
                scores_ND = normal_scores(values_ND)
            self._bases[name, scope, half] = orthonormal_basis(scores_ND)
        return self._bases[name, scope, half]

    @cached_property
    def _halves(self) -> Rows:
        """Which half the group of each row belongs to."""
        return group_folds(self.group_N, len(_HALVES), derive_seed("halves", self.seed))


@dataclass(frozen=True)
class _Refits:
    """What is done to the rows of y so that x says nothing about it, and y's own covariance stays.

    orders: (P, N) of rows, where every row is a group. signs: (P, G) of the rows of each of the ``pieces``,
    else. The first are as likely as the data, if there is nothing in the data; the mean of the
    others is the bias. There are no others where rows are independent, whose bias is known.
    """

    orders: Rows
    signs: Array
    pieces: Sequence[Rows]

    @classmethod
    def of(cls, group_N: Rows, num_test: int, seed: int) -> _Refits:
        generator, pieces = np.random.default_rng(derive_seed("null", seed)), pieces_of(group_N)
        if len(pieces) == len(group_N):
            orders = [permuted_rows(group_N, generator) for _ in range(num_test)]
            return cls(np.array(orders, np.int64).reshape(num_test, -1), np.empty((0, 0)), pieces)
        test_PG = group_signs(group_N, num_test, generator)
        bias_PG = group_signs(group_N, _REFITS_FOR_BIAS, generator, balanced=True)
        return cls(np.empty((0, 0), np.int64), np.vstack([test_PG, bias_PG]), pieces)

    def __len__(self) -> int:
        return len(self.orders) + len(self.signs)

    def products(self, left_ND: Array, right_ND: Array) -> Array:
        """(P, D, D') sums of products of left rows and the right rows of each refit."""
        if len(self.orders):
            return np.stack([left_ND.T @ right_ND[order_N] for order_N in self.orders])
        products_GDD = np.stack([left_ND[rows].T @ right_ND[rows] for rows in self.pieces])
        return np.tensordot(self.signs, products_GDD, axes=1)


@dataclass(frozen=True)
class _Pair:
    """Orthonormal bases (N, D) of x, y and a condition z, which may have no direction.

    freedom: rows, less those that means of groups took away.
    """

    x: Array
    y: Array
    z: Array
    freedom: int

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
        return gaussian_bias(self.freedom - self.z.shape[1], self.x_left.shape[1], self.y_left.shape[1])

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

    def excess(self) -> float:
        """``excess_over_products`` of the variates."""
        left, r_K, right = self.canonical()
        a_NK, b_NK = (math.sqrt(len(self.x)) * basis for basis in (self.x_left @ left, self.y_left @ right.T))
        return excess_over_products(a_NK, b_NK, r_K, most_columns=_MOST_COLUMNS)

    def refitted(self, refits: _Refits) -> Array:
        """(P,) ``information`` of x and what z leaves of y, rearranged.

        What z explains of y stays in place (Freedman and Lane 1983); what z explains of the rearranged rest,
        and its mean, are taken out. By determinants, in place of singular values; x is free of z.
        """
        if not len(refits):
            return np.empty(0)
        common_N1 = np.full((len(self.x), 1), 1 / math.sqrt(len(self.x)))
        left_ND = np.hstack([common_N1, self.z, self.x_left])
        products_PDD = refits.products(left_ND, self.y_left)
        explained_PDD, product_PDD = np.split(products_PDD, [1 + self.z.shape[1]], axis=1)
        own_PDD = np.eye(self.y_left.shape[1]) - explained_PDD.mT @ explained_PDD
        unexplained_PDD = own_PDD - LARGEST_SQUARED_CORRELATION * product_PDD.mT @ product_PDD
        log_ratio_P = np.linalg.slogdet(unexplained_PDD).logabsdet - np.linalg.slogdet(own_PDD).logabsdet
        refitted_P: Array = -0.5 * log_ratio_P - self.bias()
        return refitted_P


def _without(basis_ND: Array, z_ND: Array) -> Array:
    """An orthonormal basis of what is left of the directions when their projections on z are taken out."""
    if not z_ND.shape[1]:
        return basis_ND
    left, size_K, _ = np.linalg.svd(basis_ND - z_ND @ (z_ND.T @ basis_ND), full_matrices=False)
    kept: Array = left[:, size_K > _SMALLEST_RESIDUAL]
    return kept
