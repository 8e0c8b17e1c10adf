"""Measuring a panel of quantities on frozen representations, in the time there is.

Shapes: N rows, D features.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from threadpoolctl import threadpool_limits

from mmsa.information.budget import Budget
from mmsa.information.copula import Array
from mmsa.information.copula_panel import CopulaPanel
from mmsa.information.decomposed import as_measurements, not_decomposed
from mmsa.information.measure import measure
from mmsa.information.measurement import Measurement, not_measured
from mmsa.information.panel import Between, Family, added, pairs, sums
from mmsa.information.target.decompose import FAST, decompose
from mmsa.information.target.mimrl import FUSION, TARGET

EstimatorName = Literal["copula", "networks"]
_ROWS_PER_DIRECTION = 12
"""Three representations and a quantity of all of them still have four rows a feature then."""


def measure_panel(
    representations: Mapping[str, ArrayLike],
    target: ArrayLike,
    groups: ArrayLike,
    families: Sequence[Family],
    *,
    estimator: EstimatorName = "copula",
    budget: Budget | None = None,
    seed: int = 0,
) -> dict[str, Measurement]:
    """Every quantity of the families by name; what there is no time for is ``skipped``.

    Of each representation so many principal directions are measured that there are 12 rows for each: at most
    the information of the whole. They are found without a look at any other representation, so they may be
    those of the measured rows. Time decides whether a quantity is measured and how many permutations its null
    has, never its value or interval.

    Args:
        representations: (N, D) of modalities, and of ``fusion``.
        target: (N,) numbers.
        groups: (N,) video or speaker of each row.
        families: see ``mmsa.information.panel``.
        estimator: ``copula``, milliseconds each; or ``networks`` on top of it (``measure``), seconds each.
        budget: no limit without one.
        seed: decides everything random; the same rows are resampled alike for the same seed.

    Raises:
        DataError: for arrays that do not fit together or are not finite.
    """
    budget = budget or Budget(None)
    modalities = [name for name in representations if name != FUSION]
    with threadpool_limits(1, user_api="blas"):  # the last bits of a sum depend on the number of threads
        sources = {name: principal_directions(values) for name, values in representations.items()}
        sources[TARGET] = np.asarray(target, np.float64)[:, None]
        measuring = _MEASURING[estimator](sources, np.asarray(groups), seed)
        found = {
            name: measuring.within(budget, between) for name, between in pairs(families, modalities).items()
        }
        for name, shares in sums(families, modalities).items():
            found[name] = added([(share, found[part]) for part, share in shares.items()])
        if "decomposition" in families:
            found |= _decomposed(sources, np.asarray(groups), budget, seed)
    return found


def principal_directions(values: ArrayLike) -> Array:
    """(N, D) values, or of more than N / 12 features the principal components, as many as that."""
    values_ND = np.asarray(values, np.float64)
    most = max(1, len(values_ND) // _ROWS_PER_DIRECTION)
    if values_ND.shape[1] <= most:
        return values_ND
    centred_ND = values_ND - values_ND.mean(0)
    axes_DD = np.linalg.eigh(centred_ND.T @ centred_ND).eigenvectors
    components: Array = centred_ND @ axes_DD[:, : -most - 1 : -1]
    return components


def _decomposed(
    sources: Mapping[str, Array], groups_N: NDArray[Any], budget: Budget, seed: int
) -> dict[str, Measurement]:
    modalities = [name for name in sources if name not in (FUSION, TARGET)]
    rows = len(groups_N)
    expected = 15.0 + 0.02 * rows
    if not budget.allows(expected):
        return not_decomposed("skipped", modalities, rows, len(np.unique(groups_N)))
    with budget.spending(expected):
        found = decompose(
            {name: sources[name] for name in modalities},
            sources[TARGET][:, 0],
            groups_N,
            fusion=sources[FUSION],
            effort=FAST,
            seed=seed,
        )
    return as_measurements(found)


class _Measuring(ABC):
    """One estimator on one set of sources.

    permutations: how many refits its null may have, the most first.
    """

    permutations: tuple[int, ...]

    def __init__(self, sources: Mapping[str, Array], groups: ArrayLike, seed: int):
        self.sources, self.groups, self.seed = sources, np.asarray(groups), seed

    def within(self, budget: Budget, between: Between) -> Measurement:
        """With as many permutations as there is time for."""
        dims = tuple(self.sources[name].shape[1] for name in between if name is not None)
        rows = len(self.groups)
        for permutations in self.permutations:
            # Value and halves are read besides the null.
            expected = (2 + permutations) * self.seconds_of_reading(rows, sum(dims))
            if budget.allows(expected):
                with budget.spending(expected):
                    return self.measure(between, permutations)
        return not_measured("skipped", num_samples=rows, num_groups=len(np.unique(self.groups)), dims=dims)

    @abstractmethod
    def seconds_of_reading(self, rows: int, features: int) -> float:
        """A guess, before anything was timed here."""

    @abstractmethod
    def measure(self, between: Between, permutations: int) -> Measurement:
        """Measure one quantity."""


class _Copula(_Measuring):
    permutations = (19,)

    def __init__(self, sources: Mapping[str, Array], groups: ArrayLike, seed: int):
        super().__init__(sources, groups, seed)
        self._panel = CopulaPanel(sources, groups, permutations=self.permutations[0], seed=seed)

    def seconds_of_reading(self, rows: int, features: int) -> float:
        return 1e-4 + 2e-8 * rows * features

    def measure(self, between: Between, permutations: int) -> Measurement:
        return self._panel.measure(*between)


class _Networks(_Measuring):
    permutations = (19, 5, 2)

    def seconds_of_reading(self, rows: int, features: int) -> float:
        return 0.3 + 1e-3 * rows

    def measure(self, between: Between, permutations: int) -> Measurement:
        x, y = self.sources[between.x], self.sources[between.y]
        z = None if between.given is None else self.sources[between.given]
        return measure(x, y, z, groups=self.groups, permutations=permutations, seed=self.seed)


_MEASURING: Mapping[EstimatorName, type[_Measuring]] = {"copula": _Copula, "networks": _Networks}
