"""Measuring a panel of quantities on frozen representations, in the time there is.

Shapes: N rows, D features.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike
from threadpoolctl import threadpool_limits

from mmsa.data.target_spec import TargetKind
from mmsa.information.budget import TimeBudget
from mmsa.information.copula import Array, normal_scores
from mmsa.information.copula_panel import CopulaPanel
from mmsa.information.groups import Rows, group_codes
from mmsa.information.measuring import measure
from mmsa.information.null import FEWEST_REFITS
from mmsa.information.panel import Between, EstimatorName, Family, added, pairs, sums
from mmsa.information.target.decomposing import FAST, decompose
from mmsa.information.target.decomposition import as_measurements, not_decomposed
from mmsa.information.target.labels import FEWEST_ROWS_PER_CLASS
from mmsa.information.target.mimrl import FUSION, TARGET
from mmsa.information.within import group_means, is_of_groups, less_group_means, less_offsets, scope_of
from mmsa.measurement import Measurement, not_measured

SCALES: frozenset[TargetKind] = frozenset(("regression", "ordinal"))
"""Kinds of target that ranks say something about."""
_ROWS_PER_DIRECTION = 12
"""Three representations and a quantity of all of them still have four rows a feature then."""


def measure_panel(
    representations: Mapping[str, ArrayLike],
    target: ArrayLike,
    groups: ArrayLike,
    families: Sequence[Family],
    *,
    estimator: EstimatorName = "copula",
    budget: TimeBudget | None = None,
    seed: int = 0,
    parts: int = 1,
    kind: TargetKind = "regression",
) -> dict[str, Measurement]:
    """Every quantity of the families by name; what there is no time for is ``skipped``.

    Of each representation so many principal directions are measured that there are 12 rows for each: at most
    the information of the whole. They are found without a look at any other representation, so they may be
    those of the measured rows. What is measured differs within groups, see ``CopulaPanel``; where the target
    is one number for each group, the groups are the rows, with the means of their representations. A
    decomposition is of all that differs between rows: its networks never saw the group they predict. Time
    decides whether a quantity is measured and whether it is tested, never its value or interval.

    Classes have no ranks. What modalities and fusion say about them is measured by cross-fitted predictions,
    as a decomposition is; quantities given the target, and of several labels at once, are not measured.

    Args:
        representations: (N, D) of modalities, and of ``fusion``.
        target: (N,) numbers or ids of classes, (N, K) labels.
        groups: (N,) video or speaker of each row.
        families: see ``mmsa.information.panel``.
        estimator: ``copula``, milliseconds each; or ``networks`` on top of it (``measure``), seconds each.
        budget: no limit without one.
        seed: decides everything random; the same rows are resampled alike for the same seed.
        parts: of how many disjoint parts, measured one by one and then averaged, these rows are one. The
            copula asks for rows and groups enough in all of them together.
        kind: of the target.

    Raises:
        DataError: for arrays that do not fit together or are not finite.
    """
    budget = budget or TimeBudget(None)
    modalities = [name for name in representations if name != FUSION]
    with threadpool_limits(1, user_api="blas"):  # the last bits of a sum depend on the number of threads
        vectors = {name: np.asarray(values, np.float64) for name, values in representations.items()}
        values = np.asarray(target, np.float64)
        vectors[TARGET] = values.reshape(len(values), -1)
        group_N = group_codes(groups, len(vectors[TARGET]))
        rows, group_of_row = vectors, group_N
        if is_of_groups(vectors[TARGET], group_N):
            rows = {name: group_means(values, group_N) for name, values in vectors.items()}
            group_of_row = np.arange(len(rows[TARGET]))
        sources = {
            name: principal_directions(values, group_of_row) if name != TARGET or kind in SCALES else values
            for name, values in rows.items()
        }
        measuring = _MEASURING[estimator](sources, group_of_row, seed, parts)
        wanted = pairs(families, modalities).items()
        found = {
            name: measuring.within(budget, between)
            for name, between in wanted
            if kind in SCALES or TARGET not in between
        }
        if kind in SCALES:
            for name, shares in sums(families, modalities).items():
                found[name] = added([(share, found[part]) for part, share in shares.items()])
        decomposes = "decomposition" in families or ("target" in families and kind not in SCALES)
        if decomposes and kind != "multilabel":
            decomposed = _decomposed(vectors, group_N, budget, seed, kind)
            if "decomposition" in families:
                found |= decomposed
            if "target" in families and kind not in SCALES:
                for name in (FUSION, *modalities):
                    found[f"target/{name}"] = decomposed[f"decomposition/subset/{name}"]
    # The most wanted first, as a summary shows them, and not what was measured first.
    return {name: found[name] for name in pairs(families, modalities) if name in found} | found


def principal_directions(values: ArrayLike, group_N: Rows | None = None) -> Array:
    """(N, D) values, or of more than N / 12 features the principal components, as many as that.

    Of normal scores with the spread of the features, since a sum of skewed features hides from ranks what
    each of them shows; with groups, of what differs within them, since speakers would take all directions.
    """
    values_ND = np.asarray(values, np.float64)
    most = max(1, len(values_ND) // _ROWS_PER_DIRECTION)
    if values_ND.shape[1] <= most:
        return values_ND
    group_N = np.arange(len(values_ND)) if group_N is None else group_N
    within = scope_of(group_N) == "within_groups"
    if within:
        values_ND = less_offsets(values_ND, group_N)
    scores_ND = normal_scores(values_ND)
    scores_ND *= values_ND.std(0) / np.maximum(scores_ND.std(0), np.finfo(np.float64).tiny)
    centred_ND = less_group_means(scores_ND, group_N) if within else scores_ND - scores_ND.mean(0)
    axes_DD = np.linalg.eigh(centred_ND.T @ centred_ND).eigenvectors
    components: Array = scores_ND @ axes_DD[:, : -most - 1 : -1]
    return components


def _decomposed(
    vectors: Mapping[str, Array], groups_N: Rows, budget: TimeBudget, seed: int, kind: TargetKind
) -> dict[str, Measurement]:
    modalities = [name for name in vectors if name not in (FUSION, TARGET)]
    rows = len(groups_N)
    expected = 15.0 + 0.02 * rows
    if not budget.allows(expected):
        return not_decomposed("skipped", modalities, rows, len(np.unique(groups_N)))
    with budget.spending(expected):
        sources = {name: principal_directions(values) for name, values in vectors.items()}
        target_N = vectors[TARGET][:, 0]
        if kind not in SCALES and _fewest_of_a_class(target_N) < FEWEST_ROWS_PER_CLASS:
            return not_decomposed("too_few", modalities, rows, len(np.unique(groups_N)))
        found = decompose(
            {name: sources[name] for name in modalities},
            sources[TARGET][:, 0] if kind in SCALES else target_N.astype(np.int64),
            groups_N,
            fusion=sources[FUSION],
            effort=FAST,
            seed=seed,
        )
    return as_measurements(found)


def _fewest_of_a_class(target_N: Array) -> int:
    """Rows of the smallest class, or 0 if there is only one."""
    counts = np.unique(target_N, return_counts=True)[1]
    return int(counts.min()) if len(counts) > 1 else 0


class _Measuring(ABC):
    """One estimator on one set of sources.

    permutations: how many refits its null may have, the most first; 0 leaves the value untested.
    """

    permutations: tuple[int, ...]

    def __init__(self, sources: Mapping[str, Array], groups: ArrayLike, seed: int, parts: int):
        self.sources, self.groups, self.seed = sources, np.asarray(groups), seed

    def within(self, budget: TimeBudget, between: Between) -> Measurement:
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
    permutations = (199,)

    def __init__(self, sources: Mapping[str, Array], groups: ArrayLike, seed: int, parts: int):
        super().__init__(sources, groups, seed, parts)
        self._panel = CopulaPanel(sources, groups, permutations=self.permutations[0], seed=seed, parts=parts)

    def seconds_of_reading(self, rows: int, features: int) -> float:
        return 2e-5 + 6e-9 * rows * features

    def measure(self, between: Between, permutations: int) -> Measurement:
        return self._panel.measure(*between)


class _Networks(_Measuring):
    permutations = (FEWEST_REFITS, 0)

    def seconds_of_reading(self, rows: int, features: int) -> float:
        return 0.3 + 1e-3 * rows

    def measure(self, between: Between, permutations: int) -> Measurement:
        x, y = self.sources[between.x], self.sources[between.y]
        z = None if between.given is None else self.sources[between.given]
        return measure(x, y, z, groups=self.groups, permutations=permutations, seed=self.seed)


_MEASURING: Mapping[EstimatorName, type[_Measuring]] = {"copula": _Copula, "networks": _Networks}
