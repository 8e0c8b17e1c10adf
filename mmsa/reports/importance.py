"""Which choices decide whether a trial is among the best: PED-ANOVA, with an interval and a null.

Watanabe et al. (2023), in the form of Optuna's ``PedAnovaImportanceEvaluator`` with its regimes for what does
not exist at every point: the Pearson divergence between the density of a choice in the best quarter of trials
and in all of them. A test compares the two. Optuna's evaluates one table of trials in about a tenth of a
second; the interval and the null need hundreds of them for every quantity, which are one matrix product here.

Two things differ for the better. An exact 0 is a value of its coefficient, of its own density, and no second
parameter. And trials that were stopped early or diverged count as not among the best; left out, the regions
that a scheduler abandons would vanish.

Shapes: N trials, R resamples, G places of a grid.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.signal import fftconvolve
from scipy.special import ndtr
from scipy.stats import rankdata

from mmsa.reports.naming import FEWEST_TRIALS
from mmsa.reports.points import Axis, Floats
from mmsa.seeding import derive_seed

QUARTER = 0.25
_GRID = 50
_RESAMPLES, _REFITS = 200, 1000
_TAIL = 0.05
_NARROWEST = 0.5 / 1.64  # of a kernel: nine tenths of it lie in one place of the grid
_TINY = 1e-12

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Importance:
    """How much a choice matters for being in the best quarter.

    Attributes:
        share: of the sum over all choices.
        low: lower end of its 90 % interval over resampled trials.
        high: upper end.
        first: best rank among the choices within that interval, counted from 1.
        last: worst rank.
        above_null: whether it is more than shuffled results give, at 5 % over all choices together.
    """

    share: float
    low: float
    high: float
    first: int
    last: int
    above_null: bool


class ImportanceTable:
    """A table of trials, from which the importance of each choice for any result can be read.

    Args:
        axes: the choices.
        value_NP: from ``table_of``.
        seed: of the resampling.
    """

    def __init__(self, axes: Sequence[Axis], value_NP: Floats, seed: int = 0):
        self._axes, self._value_NP = axes, value_NP
        self._generator_seed = derive_seed("importance", seed)
        self._nulls: dict[tuple[bytes, int], Floats] = {}

    def importances(self, loss_N: Floats) -> list[Importance]:
        """The importance of each axis; none with fewer than 16 trials or losses that are all equal.

        Args:
            loss_N: the smaller, the better; infinite for trials that are not among the best whatever they
                were, NaN for those to leave out.
        """
        known_N = ~np.isnan(loss_N)
        loss_K, value_KP, num = loss_N[known_N], self._value_NP[known_N], int(known_N.sum())
        if num < FEWEST_TRIALS or not self._axes or len(np.unique(loss_K)) < 2:
            return []
        generator = np.random.default_rng(self._generator_seed)
        drawn_RK = generator.multinomial(num, np.full(num, 1 / num), size=_RESAMPLES).astype(np.float64)
        weight_RK = np.vstack([np.ones(num), drawn_RK])
        best_RK = _best_quarter(np.broadcast_to(loss_K, weight_RK.shape), weight_RK)
        own_PR = self._divergences(value_KP, best_RK, weight_RK)
        is_told_P = _exceeds(own_PR[:, 0], self._null(known_N, value_KP, int(best_RK[0].sum())))
        share_PR = own_PR / np.maximum(own_PR.sum(0), _TINY)
        rank_PR = 1 + (-share_PR).argsort(0, kind="stable").argsort(0, kind="stable")
        ends, found = (_TAIL, 1 - _TAIL), []
        for share_R, rank_R, is_told in zip(share_PR, rank_PR, is_told_P.tolist(), strict=True):
            low, high = np.quantile(share_R[1:], ends)
            first, last = np.quantile(rank_R[1:], ends, method="nearest")
            found.append(
                Importance(float(share_R[0]), float(low), float(high), int(first), int(last), is_told)
            )
        return found

    def _null(self, known_N: Mask, value_KP: Floats, num_best: int) -> Floats:
        """(P, R) divergences where chance decides which trials are the best: the same for all results."""
        key = known_N.tobytes(), num_best
        if key not in self._nulls:
            generator = np.random.default_rng(self._generator_seed)
            num = len(value_KP)
            best_RK = generator.random((_REFITS, num)).argsort(1) < num_best
            self._nulls[key] = self._divergences(value_KP, best_RK, np.ones((1, num)))
        return self._nulls[key]

    def _divergences(self, value_KP: Floats, best_RK: Mask, weight_RK: Floats) -> Floats:
        """(P, R)."""
        return np.array(
            [divergence(axis, value_KP[:, p], best_RK, weight_RK) for p, axis in enumerate(self._axes)]
        )


def _exceeds(own_P: Floats, null_PR: Floats) -> Mask:
    """(P,) which choices are more than the null, at 5 % over all of them together.

    By their p-values, since divergences of a few choices and of many places are differently large by chance,
    and with the least p-value of each shuffle as what the smallest of all has to be below.
    """
    num = null_PR.shape[1]
    p_value_P = (1 + (null_PR >= own_P[:, None]).sum(1)) / (1 + num)
    # Ties get the largest p-value, as for the own one.
    p_null_PR = np.array([1 + num - rankdata(null_R, "min") for null_R in null_PR]) / (1 + num)
    told: Mask = p_value_P <= np.quantile(p_null_PR.min(0), _TAIL, method="lower")
    return told


def _best_quarter(loss_RN: Floats, weight_RN: Floats) -> Mask:
    """(R, N) the trials up to the quarter's last, and those equal to it; never one with an infinite loss."""
    order_RN = loss_RN.argsort(1, kind="stable")
    sorted_RN = np.take_along_axis(loss_RN, order_RN, 1)
    so_far_RN = np.take_along_axis(weight_RN, order_RN, 1).cumsum(1)
    wanted_R1 = np.ceil(QUARTER * so_far_RN[:, -1:])
    last_R1 = (so_far_RN < wanted_R1).sum(1, keepdims=True)
    best: Mask = (loss_RN <= np.take_along_axis(sorted_RN, last_R1, 1)) & np.isfinite(loss_RN)
    return best


def divergence(axis: Axis, value_N: Floats, top_RN: Mask, weight_RN: Floats) -> Floats:
    """(R,) Pearson divergence of the best trials from all, over the trials that have the axis.

    Args:
        axis: the choice.
        value_N: of each trial, NaN where the axis does not exist.
        top_RN: which trials are the best, by resample.
        weight_RN: how often each trial was drawn.
    """
    region_RN = weight_RN * ~np.isnan(value_N)
    target_RN = region_RN * top_RN
    in_region_R, in_target_R = region_RN.sum(1), target_RN.sum(1)
    local_RG, best_RG = (_density(axis, value_N, drawn_RN) + _TINY for drawn_RN in (region_RN, target_RN))
    pearson_R = (local_RG * (best_RG / local_RG - 1) ** 2).sum(1)
    alpha_R = in_target_R / np.maximum((weight_RN * top_RN).sum(1), 1)
    beta_R = np.maximum(in_region_R, 1) / weight_RN.sum(1)
    return np.where((in_region_R > 1) & (in_target_R > 0), alpha_R**2 / beta_R * pearson_R, 0.0)


def _density(axis: Axis, value_N: Floats, weight_RN: Floats) -> Floats:
    """(R, G) of weighted trials over the places of an axis, an exact 0 being a place of its own."""
    if axis.choices:
        return _of_choices(_counted(np.nan_to_num(value_N), weight_RN, len(axis.choices)))
    unit_N = axis.unit(value_N)
    places = _places(axis)
    # Ties between two places go to the lower one, as Optuna has them.
    place_N = np.clip(np.ceil(np.nan_to_num(unit_N) * (places - 1) - 0.5), 0, places - 1)
    range_RG = _of_numbers(_counted(place_N, weight_RN * ~np.isnan(unit_N), places))
    if not axis.has_zero:
        return range_RG
    parts_R2 = _of_choices(_counted(1.0 * np.isnan(unit_N), weight_RN, 2))
    return np.hstack([parts_R2[:, :1] * range_RG, parts_R2[:, 1:]])


def _places(axis: Axis) -> int:
    if axis.step is None:
        return _GRID
    if axis.log:
        return min(int(np.ceil(np.log2(axis.high - axis.low + 1))) + 1, _GRID)
    return min(round((axis.high - axis.low) / axis.step) + 1, _GRID)


def _counted(place_N: Floats, weight_RN: Floats, places: int) -> Floats:
    counts_RG: Floats = weight_RN @ np.eye(places)[place_N.astype(int)]
    return counts_RG


def _of_choices(counts_RC: Floats) -> Floats:
    """A kernel for each choice that occurs and a uniform prior, as Optuna smooths categorical values."""
    choices = counts_RC.shape[1]
    total_R1 = counts_RC.sum(1, keepdims=True)
    prior_R1 = 1 / (1 + (counts_RC > 0).sum(1, keepdims=True))
    own_RC = (total_R1 * prior_R1 + counts_RC) / (1 + choices * prior_R1)
    smoothed: Floats = (own_RC + 1 / choices) / (total_R1 + 1)
    return smoothed


def _of_numbers(counts_RG: Floats) -> Floats:
    """Normal kernels of Scott's width, cut off at the ends of the grid, and one wide one as a prior."""
    places = counts_RG.shape[1]
    at_G = np.arange(places)
    total_R = counts_RG.sum(1)
    safe_R = np.maximum(total_R, 1)
    mean_R1 = (counts_RG @ at_G / safe_R)[:, None]
    deviation_R = np.sqrt((counts_RG * (at_G - mean_R1) ** 2).sum(1) / np.maximum(1, total_R - 1))
    so_far_RG = counts_RG.cumsum(1)
    first_R1 = np.maximum(total_R // 4, 1)[:, None]
    third_R1 = (total_R * 3 // 4)[:, None]
    between_R = (so_far_RG <= third_R1).sum(1) - (so_far_RG < first_R1).sum(1)
    width_R = 1.059 * np.minimum(between_R / 1.34, deviation_R) * safe_R**-0.2
    # By Fourier transform: kernels of one width differ by their place alone, and by what the ends cut off.
    width_R1 = np.maximum(width_R, _NARROWEST)[:, None]
    below_RE = ndtr((np.arange(1 - places, places + 1) - 0.5) / width_R1)
    inside_RG = below_RE[:, 2 * places - 1 - at_G] - below_RE[:, places - 1 - at_G]
    kernels_RG = fftconvolve(np.diff(below_RE), counts_RG / inside_RG, mode="valid", axes=1)
    prior_E = ndtr((np.arange(places + 1) - places / 2) / places)
    density: Floats = kernels_RG + np.diff(prior_E) / (prior_E[-1] - prior_E[0])
    density /= total_R[:, None] + 1
    return density
