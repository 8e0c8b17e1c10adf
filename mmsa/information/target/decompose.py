"""How much each modality, and each group of them, says about a target, and in which way.

I(X_S; Y) of every subset S of the modalities is the held-out gain of predicting Y with X_S over predicting it
without: one kind of network for all subsets, ordered probit beside it where the target has an order, the same
folds, so that differences between subsets are paired row by row. Everything else follows from these numbers.
A network that learns too little makes I(X_S; Y) too small; to a difference of two subsets this can do either.

Shapes: N rows, Q quantities, G groups, R resamples, P permutations.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import t as student

from mmsa.errors import DataError
from mmsa.information.groups import (
    Rows,
    bootstrap_weights,
    group_codes,
    group_folds,
    group_sums,
    permuted_rows,
)
from mmsa.information.pid import broja_redundancy
from mmsa.information.target.combined import best_of, combined
from mmsa.information.target.decomposition import Decomposition, Quantity, is_signed
from mmsa.information.target.labels import Target
from mmsa.information.target.ordinal import ordered_probit
from mmsa.information.target.posterior import Posterior, cross_fit
from mmsa.information.target.quantities import FUSION, Subset, atoms, pairs_of, quantities, subsets_of
from mmsa.information.target.summaries import cells, most_cells, tables
from mmsa.seeding import derive_seed

Floats = NDArray[np.float64]
_FEWEST_ROWS = 60
_TAILS = (0.05, 0.95)
_RESAMPLES_OF_POINTS = 200


@dataclass(frozen=True)
class Effort:
    """How much work goes into a decomposition.

    folds: a network predicts the fold it was not fitted on. seeds: networks per fold, averaged. permutations:
    refits of the null with one seed each; 0 tests nothing. resamples: of the bootstrap.
    """

    folds: int = 5
    seeds: int = 2
    permutations: int = 20
    resamples: int = 1000


FULL = Effort()
FAST = Effort(folds=3, seeds=1, permutations=5, resamples=500)


def decompose(
    modalities: Mapping[str, ArrayLike],
    target: ArrayLike,
    groups: ArrayLike | None = None,
    *,
    fusion: ArrayLike | None = None,
    bins: int | None = None,
    effort: Effort = FULL,
    budget_s: float | None = None,
    seed: int = 0,
) -> Decomposition:
    """Information of one to three modalities about a target, in bits, with intervals and a refitted null.

    Args:
        modalities: (N,) or (N, D) numbers by name; absent modalities are left out.
        target: (N,). Texts, booleans and integers are classes; floating-point numbers are binned.
        groups: (N,) video or speaker of each row; folds, resamples and permutations keep groups whole.
        fusion: (N, D) fused representation: what it keeps of the total and shares with each modality.
        bins: of a floating-point target; by default one for each 100 rows, from 3 to 8.
        effort: ``FULL`` to publish, ``FAST`` to watch.
        budget_s: wall-clock seconds after which no further permutation begins; values and intervals do not
            depend on it.
        seed: decides everything random.

    Raises:
        DataError: for arrays that do not fit together or are not finite, unknown names, or a target that
            cannot be used; see ``Target.of``.
    """
    started = time.monotonic()
    found = Target.of(target, bins)
    sources = _checked(modalities, fusion, len(found.classes))
    group_N = group_codes(groups, len(found.classes))
    fit = _Fit(sources, found, group_N, effort, seed)
    if not fit.feasible():
        return fit.record({}, permutations=0, seconds=time.monotonic() - started)
    posteriors = fit.posteriors(found.classes, effort.seeds, seed)
    deadline = math.inf if budget_s is None else started + budget_s
    null = fit.null((time.monotonic() - started) / effort.seeds, deadline)
    read = fit.read(posteriors, null)
    return fit.record(read, permutations=len(null), seconds=time.monotonic() - started)


class _Fit:
    """One set of sources and targets, and all that is fitted to it."""

    def __init__(
        self, sources: Mapping[str, Floats], target: Target, group_N: Rows, effort: Effort, seed: int
    ):
        self.sources, self.target, self.group_N, self.effort, self.seed = (
            sources,
            target,
            group_N,
            effort,
            seed,
        )
        self.modalities = tuple(name for name in sources if name != FUSION)
        self.with_fusion = FUSION in sources
        self.subsets = subsets_of(self.modalities, self.with_fusion)
        self.num_groups = len(np.unique(group_N))
        self.cells = most_cells(len(group_N), target.num_classes)

    def feasible(self) -> bool:
        """Whether there are rows and groups enough for the folds, and rows enough of every class."""
        rarest = np.bincount(self.target.classes).min()
        enough_groups = self.num_groups >= 2 * self.effort.folds
        return len(self.group_N) >= _FEWEST_ROWS and enough_groups and bool(rarest >= self.effort.folds)

    def posteriors(self, class_N: Rows, num_seeds: int, seed: int) -> dict[Subset, Posterior]:
        """Held-out predictions from every subset, all with the same folds."""
        fold_N = group_folds(self.group_N, self.effort.folds, derive_seed("folds", self.seed))
        own = {}
        for subset in self.subsets:
            x_ND = np.hstack([self.sources[name] for name in self.sources if name in subset])
            of_subset = derive_seed("posterior", seed, sorted(subset))
            candidates = [cross_fit(x_ND, class_N, fold_N, num_seeds=num_seeds, seed=of_subset)]
            if self.target.ordered:
                candidates.append(ordered_probit(x_ND, class_N, fold_N))
            own[subset] = best_of(candidates, class_N, fold_N)
        return combined(own, class_N, fold_N, num_seeds=num_seeds, seed=seed)

    def null(self, seconds_of_one: float, deadline: float) -> list[dict[str, float]]:
        """All quantities with whole groups of targets permuted, refitted each time."""
        values = []
        for permutation in range(self.effort.permutations):
            if time.monotonic() + seconds_of_one > deadline:
                break
            generator = np.random.default_rng(derive_seed("null", self.seed, permutation))
            class_N = self.target.classes[permuted_rows(self.group_N, generator)]
            posteriors = self.posteriors(class_N, 1, derive_seed("null", self.seed, permutation))
            known = {
                subset: fitted.terms(class_N).mean(keepdims=True) for subset, fitted in posteriors.items()
            }
            values.append({name: value.item() for name, value in quantities(known, self.modalities).items()})
        return values

    def read(
        self, posteriors: Mapping[Subset, Posterior], null: list[dict[str, float]]
    ) -> dict[str, Quantity]:
        """Every quantity from the predictions; the first row of weights is the data as they are."""
        draws_RG = bootstrap_weights(
            self.num_groups, self.effort.resamples, derive_seed("bootstrap", self.seed)
        )
        weights_RG = np.vstack([np.ones(self.num_groups), draws_RG])
        terms_QN = np.stack([posteriors[subset].terms(self.target.classes) for subset in self.subsets])
        sums_QG = group_sums(np.vstack([terms_QN, np.ones(len(self.group_N))]), self.group_N)
        totals_QR = sums_QG @ weights_RG.T
        known = dict(zip(self.subsets, totals_QR[:-1] / totals_QR[-1], strict=True))
        values = quantities(known, self.modalities)
        values |= self._points(posteriors, known, weights_RG[: 1 + _RESAMPLES_OF_POINTS])
        return {
            name: _quantity(name, values_R, [sample[name] for sample in null if name in sample])
            for name, values_R in values.items()
        }

    def _points(
        self, posteriors: Mapping[Subset, Posterior], known: Mapping[Subset, Floats], weights_RG: Floats
    ) -> dict[str, Floats]:
        pairs = pairs_of(self.modalities, self.with_fusion)
        used = {subset for pair in pairs for subset in (pair.first, pair.second)}
        seed = derive_seed("cells", self.seed)
        counted = {
            subset: tables(
                cells(posteriors[subset], self.cells, seed), self.target.classes, self.group_N, weights_RG
            )
            for subset in used
        }
        known = {subset: values_R[: len(weights_RG)] for subset, values_R in known.items()}
        found: dict[str, Floats] = {}
        for pair in pairs:
            redundancy_R = broja_redundancy(counted[pair.first], counted[pair.second])
            found |= atoms(known, pair, redundancy_R, (*self.modalities, FUSION))
        return found

    def record(self, read: Mapping[str, Quantity], permutations: int, seconds: float) -> Decomposition:
        """The record; without quantities, ``too_few``."""
        return Decomposition(
            quantities=read,
            modalities=self.modalities,
            status="ok" if read else "too_few",
            entropy=self.target.entropy() / math.log(2),
            num_samples=len(self.group_N),
            num_groups=self.num_groups,
            num_classes=self.target.num_classes,
            binned=self.target.binned,
            cells=self.cells,
            folds=self.effort.folds,
            seeds=self.effort.seeds,
            permutations=permutations,
            resamples=self.effort.resamples,
            seed=self.seed,
            seconds=seconds,
        )


def _quantity(name: str, values_R: Floats, null: list[float]) -> Quantity:
    """One quantity in bits from its value and resamples in nats.

    Few refits give no 95 % quantile; the bound is that of a normal prediction interval (Student's t).
    """
    value, signed = float(values_R[0]) / math.log(2), is_signed(name)
    low, high = (float(end) / math.log(2) for end in np.quantile(values_R[1:], _TAILS))
    if len(null) < 2:
        return Quantity(value, low, high, signed=signed)
    null_P = np.array(null) / math.log(2)
    mean, count = float(null_P.mean()), len(null_P)
    spread = float(null_P.std(ddof=1)) * math.sqrt(1 + 1 / count)
    bound = mean + float(student.ppf(_TAILS[1], count - 1)) * spread
    beyond = np.abs(null_P - mean) >= abs(value - mean) if signed else null_P >= value
    return Quantity(value, low, high, mean, bound, float((1 + beyond.sum()) / (1 + count)), signed)


def _checked(
    modalities: Mapping[str, ArrayLike], fusion: ArrayLike | None, num_rows: int
) -> dict[str, Floats]:
    """(N, D) features of each source.

    Raises:
        DataError: with every problem of every source.
    """
    if not 1 <= len(modalities) <= 3 or FUSION in modalities:
        raise DataError(
            f"modalities {', '.join(modalities) or '(none)'}: give one to three, none called {FUSION!r}"
        )
    given = {**modalities, **({} if fusion is None else {FUSION: fusion})}
    problems, checked = [], {}
    for name, values in given.items():
        array: NDArray[Any] = np.asarray(values)
        if array.dtype.kind not in "fiub" or array.ndim not in (1, 2) or len(array) != num_rows:
            problems.append(f"{name} is {array.dtype} of shape {array.shape}; give ({num_rows}, D) numbers")
        elif not np.isfinite(array).all():
            problems.append(f"{name} has values that are not finite; drop or impute these rows")
        else:
            checked[name] = array.reshape(num_rows, -1).astype(np.float64)
    if problems:
        raise DataError("\n".join(problems))
    return checked
