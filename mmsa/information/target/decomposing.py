"""How much each modality, and each group of them, says about a target, and in which way.

I(X_S; Y) of every subset S of the modalities is the held-out gain of predicting Y with X_S over predicting it
without. All subsets have one kind of network, ordered probit beside it if the target has an order, and the
same folds, so that differences between subsets are paired row by row. Everything else follows from these
numbers. A network that learns too little makes I(X_S; Y) too small, and a difference of two subsets too small
or too large. What no joint distribution can have, a subset that reads less than a part of it, is called
incoherent.

Shapes: N rows, Q quantities, G groups, R resamples, P permutations.
"""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtri, stdtrit

from mmsa.errors import DataError
from mmsa.information.groups import (
    Rows,
    bootstrap_weights,
    effective_groups,
    group_codes,
    group_folds,
    group_sums,
    permuted_rows,
)
from mmsa.information.null import Null
from mmsa.information.target.decomposition import (
    Decomposition,
    Missing,
    Quantity,
    QuantityStatus,
    can_be_negative,
    is_signed,
)
from mmsa.information.target.labels import Target
from mmsa.information.target.mimrl import FUSION
from mmsa.information.target.ordinal import ordered_probit
from mmsa.information.target.pid import broja_redundancy, cells, most_cells, tables
from mmsa.information.target.predictive import PredictiveDistribution, best_of, combined, cross_fit
from mmsa.information.target.quantities import (
    GAIN,
    INFORMATION,
    Subset,
    atoms,
    closure,
    label,
    pairs_of,
    quantities,
    subsets_of,
)
from mmsa.seeding import derive_seed

Floats = NDArray[np.float64]
_FEWEST_ROWS, _FEWEST_GROUPS = 60, 5
_TAILS = (0.05, 0.95)
_RESAMPLES_OF_POINTS = 200
_ROUNDING = 1e-9
"""In bits. A sum of equal numbers that is 0 may come out as slightly more or less."""


@dataclass(frozen=True)
class Effort:
    """How much work goes into a decomposition.

    Attributes:
        folds: Of the cross-fit: a network predicts the fold that it was not fitted on.
        seeds: Networks per fold, which are averaged.
        permutations: Refits of the null, with one seed each. 19 are the fewest that give a level of 5 %, and
            fewer decide nothing. Without them quantities are tested by the resamples of held-out rows alone.
        resamples: Of the bootstrap.
    """

    folds: int = 5
    seeds: int = 2
    permutations: int = 19
    resamples: int = 1000


FULL = Effort()
FAST = Effort(folds=3, seeds=1, permutations=0, resamples=500)


def decompose(
    modalities: Mapping[str, ArrayLike],
    target: ArrayLike,
    groups: ArrayLike | None = None,
    *,
    fusion: ArrayLike | None = None,
    fusion_of: Collection[str] | None = None,
    bins: int | None = None,
    effort: Effort = FULL,
    budget_s: float | None = None,
    seed: int = 0,
) -> Decomposition:
    """Decompose what one to three modalities say about a target, in bits, with intervals and tests.

    Args:
        modalities: (N,) or (N, D) numbers by name. Absent modalities are left out.
        target: (N,). Texts, booleans and integers are classes; floating-point numbers are binned.
        groups: (N,) video or speaker of each row. Folds, resamples and permutations keep groups whole.
        fusion: (N, D) fused representation, to see what it keeps of the total and shares with each modality.
        fusion_of: The modalities that the fusion is computed from, which together know what it knows; by
            default all that are given. ``()`` for a fusion that was computed from anything else.
        bins: Of a floating-point target; by default one for each 100 rows, from 3 to 8.
        effort: ``FULL`` to publish, ``FAST`` to watch.
        budget_s: Wall-clock seconds after which no further permutation begins. Values do not depend on it.
        seed: Decides everything random.

    Returns:
        All quantities by name, see ``mmsa.information.target.quantities``.

    Raises:
        DataError: If arrays do not fit together or are not finite, names are unknown, or the target cannot
            be used; see ``Target.of``.

    Examples:
        >>> rng = np.random.default_rng(0)
        >>> text, audio = rng.standard_normal((2, 300))
        >>> found = decompose({"text": text, "audio": audio}, text > 0, effort=FAST)
        >>> found["information/text"].status, found["information/audio"].status
        ('ok', 'below_null')
        >>> 0.8 < found["information/text"].value <= found.entropy < 1.001
        True
    """
    started = time.monotonic()
    found = Target.of(target, bins)
    sources = _checked(modalities, fusion, fusion_of, len(found.classes))
    group_N = group_codes(groups, len(found.classes))
    fit = _Fit(
        sources, tuple(modalities) if fusion_of is None else tuple(fusion_of), found, group_N, effort, seed
    )
    missing = fit.missing()
    if missing:
        return fit.record({}, permutations=0, seconds=time.monotonic() - started, status=missing)
    predictions = fit.predictions(sources, found.classes, effort.seeds, seed)
    deadline = math.inf if budget_s is None else started + budget_s
    refits = fit.refits(predictions, time.monotonic() - started, deadline)
    read = fit.read(predictions, refits)
    return fit.record(read, permutations=len(refits), seconds=time.monotonic() - started)


class _Fit:
    """One set of sources and targets, and all that is fitted to it."""

    def __init__(
        self,
        sources: Mapping[str, Floats],
        fusion_of: Collection[str],
        target: Target,
        group_N: Rows,
        effort: Effort,
        seed: int,
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
        self.fusion_of = frozenset(fusion_of if self.with_fusion else ())
        self.subsets = subsets_of(self.modalities, self.with_fusion)
        self.num_groups = len(np.unique(group_N))
        self.cells = most_cells(len(group_N), target.num_classes)

    def missing(self) -> Missing | None:
        """What there is too little of: rows, also of a class, or groups for the folds and for an interval."""
        rarest = np.bincount(self.target.classes).min()
        if len(self.group_N) < _FEWEST_ROWS or rarest < self.effort.folds:
            return "too_few"
        enough = self.num_groups >= 2 * self.effort.folds and effective_groups(self.group_N) >= _FEWEST_GROUPS
        return None if enough else "too_few_groups"

    def predictions(
        self,
        sources: Mapping[str, Floats],
        class_N: Rows,
        num_seeds: int,
        seed: int,
        known: Mapping[Subset, PredictiveDistribution] | None = None,
    ) -> dict[Subset, PredictiveDistribution]:
        """Held-out predictions from every subset, or from all modalities where those of others are known.

        All with the same folds.
        """
        fold_N = group_folds(self.group_N, self.effort.folds, derive_seed("folds", self.seed))
        own = {}
        for subset in self.subsets if known is None else [frozenset(self.modalities)]:
            x_ND = np.hstack([sources[name] for name in sources if name in subset])
            of_subset = derive_seed("posterior", seed, sorted(subset))
            candidates = [cross_fit(x_ND, class_N, fold_N, num_seeds=num_seeds, seed=of_subset)]
            if self.target.ordered:
                candidates.append(ordered_probit(x_ND, class_N, fold_N))
            own[subset] = best_of(candidates, class_N, fold_N)
        return combined(
            own, class_N, fold_N, num_seeds=num_seeds, seed=seed, fusion_of=self.fusion_of, known=known
        )

    def refits(
        self, predictions: Mapping[Subset, PredictiveDistribution], seconds_of_one: float, deadline: float
    ) -> list[dict[str, float]]:
        """Informations with whole groups of targets permuted, and gains with those of the modality."""
        values = []
        for permutation in range(self.effort.permutations):
            begun = time.monotonic()
            if begun + seconds_of_one > deadline:
                break
            seed = derive_seed("null", self.seed, permutation)
            source_N = permuted_rows(self.group_N, np.random.default_rng(seed))
            values.append(self._informations(source_N, seed) | self._gains(predictions, source_N, seed))
            seconds_of_one = time.monotonic() - begun
        return values

    def _informations(self, source_N: Rows, seed: int) -> dict[str, float]:
        class_N = self.target.classes[source_N]
        predictions = self.predictions(self.sources, class_N, 1, seed)
        order = (*self.modalities, FUSION)
        return {
            f"{INFORMATION}{label(subset, order)}": _mean(predicted, class_N)
            for subset, predicted in predictions.items()
        }

    def _gains(
        self, predictions: Mapping[Subset, PredictiveDistribution], source_N: Rows, seed: int
    ) -> dict[str, float]:
        """What a modality of other rows adds to the others, with the target and the others as they are.

        What subsets without the modality say stays as it is, and that of subsets with it and not all others
        is what they say without it. A fusion that is computed from the modality says nothing then.
        """
        everything, class_N, found = frozenset(self.modalities), self.target.classes, {}
        for name in self.modalities if len(self.modalities) > 1 else ():
            gone = {name, *({FUSION} if name in self.fusion_of else ())}
            known = {subset: fitted for subset, fitted in predictions.items() if not subset & gone}
            sources = {**self.sources, name: self.sources[name][source_N]}
            total = self.predictions(sources, class_N, 1, derive_seed("gain", seed, name), known)[everything]
            rest = predictions[everything - {name}]
            found[f"{GAIN}{name}"] = _mean(total, class_N) - _mean(rest, class_N)
        return found

    def read(
        self, predictions: Mapping[Subset, PredictiveDistribution], refits: Sequence[Mapping[str, float]]
    ) -> dict[str, Quantity]:
        """Every quantity from the predictions; the first row of weights is the data as they are."""
        draws_RG = bootstrap_weights(
            self.num_groups, self.effort.resamples, derive_seed("bootstrap", self.seed)
        )
        weights_RG = np.vstack([np.ones(self.num_groups), draws_RG])
        terms_QN = np.stack([predictions[subset].terms(self.target.classes) for subset in self.subsets])
        sums_QG = group_sums(np.vstack([terms_QN, np.ones(len(self.group_N))]), self.group_N)
        totals_QR = sums_QG @ weights_RG.T
        known = dict(zip(self.subsets, totals_QR[:-1] / totals_QR[-1] / math.log(2), strict=True))
        values = quantities(known, self.modalities)
        values |= self._points(predictions, known, weights_RG[: 1 + _RESAMPLES_OF_POINTS])
        impossible = self._impossible(known)
        return {
            name: _quantity(
                name,
                self._widened(values_R),
                [refit[name] / math.log(2) for refit in refits if name in refit],
                "incoherent" if name in impossible else None,
            )
            for name, values_R in values.items()
        }

    def _widened(self, values_R: Floats) -> Floats:
        """The resamples as far from the value as those of Student's t, with as many groups as there are."""
        freedom = max(effective_groups(self.group_N) - 1, 1.0)
        factor = stdtrit(freedom, _TAILS[1]) / ndtri(_TAILS[1]) * math.sqrt((freedom + 1) / freedom)
        widened_R: Floats = values_R[0] + (values_R - values_R[0]) * factor
        return widened_R

    def _impossible(self, known: Mapping[Subset, Floats]) -> set[str]:
        """The quantities made of a subset that reads less than a part of it, beyond the interval."""
        read = dict(known)
        for part, whole in itertools.permutations(self.subsets, 2):
            if part <= closure(whole, self.fusion_of):
                _, high = np.quantile(self._widened(known[whole] - known[part])[1:], _TAILS)
                if high < -_ROUNDING:
                    read[whole] = np.full_like(known[whole], np.nan)
        found = quantities(read, self.modalities)
        for pair in pairs_of(self.modalities, self.with_fusion):
            found |= atoms(read, pair, np.zeros(1), (*self.modalities, FUSION))
        return {name for name, values_R in found.items() if np.isnan(values_R).any()}

    def _points(
        self,
        predictions: Mapping[Subset, PredictiveDistribution],
        known: Mapping[Subset, Floats],
        weights_RG: Floats,
    ) -> dict[str, Floats]:
        pairs = pairs_of(self.modalities, self.with_fusion)
        used = {subset for pair in pairs for subset in (pair.first, pair.second)}
        seed = derive_seed("cells", self.seed)
        counted = {
            subset: tables(
                cells(predictions[subset], self.cells, seed), self.target.classes, self.group_N, weights_RG
            )
            for subset in used
        }
        known = {subset: values_R[: len(weights_RG)] for subset, values_R in known.items()}
        found: dict[str, Floats] = {}
        for pair in pairs:
            redundancy_R = broja_redundancy(counted[pair.first], counted[pair.second]) / math.log(2)
            found |= atoms(known, pair, redundancy_R, (*self.modalities, FUSION))
        return found

    def record(
        self,
        read: Mapping[str, Quantity],
        permutations: int,
        seconds: float,
        status: Literal["ok"] | Missing = "ok",
    ) -> Decomposition:
        """The record of what was read and done."""
        return Decomposition(
            quantities=read,
            modalities=self.modalities,
            status=status,
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


def _mean(predicted: PredictiveDistribution, class_N: Rows) -> float:
    return float(predicted.terms(class_N).mean())


def _told(low: float, high: float) -> QuantityStatus:
    """What the interval says of a quantity that may be negative; ends next to 0 are 0 but for rounding."""
    if low > _ROUNDING:
        return "positive"
    return "negative" if high < -_ROUNDING else "undetermined"


def _quantity(
    name: str, values_R: Floats, refits: Sequence[float], status: QuantityStatus | None
) -> Quantity:
    """One quantity from its value and resamples, and refits where there are any, in bits.

    Predictions that learnt nothing lose on held-out rows, so what resamples of groups tell from 0 is more
    than nothing, without any refit. How far this is exact, and why refits are asked too:
    docs/decisions/2026-11-29-held-out-gains-are-their-own-test.md.
    """
    value, signed = float(values_R[0]), is_signed(name)
    low, high = (float(end) for end in np.quantile(values_R[1:], _TAILS))
    if can_be_negative(name):
        return Quantity(value, low, high, signed=signed, status=status or _told(low, high))
    if name.endswith("/broja"):
        return Quantity(value, low, high, status=status or "untested")
    null = Null.of(value, refits)
    p_value = (1 + int((values_R[1:] <= _ROUNDING).sum())) / len(values_R)
    if null.bound is not None and null.p_value is not None:
        p_value = max(p_value, null.p_value)
    found = p_value <= _TAILS[0]
    return Quantity(
        value,
        low if found else min(low, 0.0),
        high,
        null.mean,
        null.bound,
        p_value,
        status=status or ("ok" if found else "below_null"),
    )


def _checked(
    modalities: Mapping[str, ArrayLike],
    fusion: ArrayLike | None,
    fusion_of: Collection[str] | None,
    num_rows: int,
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
    unknown = [name for name in fusion_of or () if name not in modalities]
    problems, checked = [], {}
    if unknown:
        problems.append(f"fusion_of names {', '.join(unknown)}; the modalities are {', '.join(modalities)}")
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
