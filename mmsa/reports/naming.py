"""Which kind of information data hold, and which one good trials have more of: two rules, nothing that runs.

held      what a decomposition says about the label: a kind that is surely more than both others together is
          named as that of the data
rewarded  the shares of the kinds in the best quarter of the trials, against those in the others: told beside
          it, and named as nothing. Of planted data it is no sign of what they hold (``benchmarks/headline``)

Shapes: N trials, K kinds.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm, ttest_ind

Kind = Literal["invariant", "specific", "complementary"]
KINDS: tuple[Kind, ...] = get_args(Kind)
"""What is named. Fusion information is a level, not a kind that data consist of."""

FEWEST_TRIALS = 16
"""A best quarter of fewer than four trials shows nothing."""
LEVEL_OF_SHARES = 0.01
"""Of the one-sided Welch test against each rival. The sampler looks at results when it chooses what to try,
so trials are not independent; the level is therefore a fifth of what is usual."""
LEVEL_OF_AMOUNTS = 0.05
"""One-sided."""


@dataclass(frozen=True)
class Amount:
    """Information about the label, in bits.

    Attributes:
        bits: its estimate.
        error: the standard error of the estimate.
    """

    bits: float
    error: float


def best_quarter(error_N: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which trials are the best quarter, (N,): the lowest errors, rounded up, and all equal to these."""
    chosen_N: NDArray[np.bool_] = error_N <= np.sort(error_N)[math.ceil(len(error_N) / 4) - 1]
    return chosen_N


def rewarded_kind(share_NK: NDArray[np.float64], error_N: NDArray[np.float64]) -> Kind | None:
    """The kind whose share is larger in the best quarter of trials, by more than any other kind's.

    Args:
        share_NK: of each kind in the order of ``KINDS``. Trials without any of the kinds are left out.
        error_N: on valid.
    """
    sums_N = share_NK.sum(1)
    share_NK, error_N = share_NK[sums_N > 0] / sums_N[sums_N > 0, None], error_N[sums_N > 0]
    if len(error_N) < FEWEST_TRIALS:
        return None
    best_N = best_quarter(error_N)
    if best_N.all():
        return None
    for own, kind in enumerate(KINDS):
        # A contrast with each rival: shares add up to 1, so that one that falls lifts all others by itself.
        lead_NR = share_NK[:, [own]] - np.delete(share_NK, own, axis=1)
        if np.ptp(lead_NR, axis=0).min() > 0:  # without any spread there is no test
            test = ttest_ind(lead_NR[best_N], lead_NR[~best_N], equal_var=False, alternative="greater")
            if (test.pvalue < LEVEL_OF_SHARES).all():
                return kind
    return None


def held_kind(amounts: Mapping[Kind, Amount]) -> Kind | None:
    """The kind that is surely more than half of all three together.

    Errors are taken as independent, which they are not: all come from the same rows, and what one kind has
    too much of, another has too little. What the level is worth is measured by the benchmark.
    """
    deviations = norm.ppf(1 - LEVEL_OF_AMOUNTS)
    error = math.sqrt(sum(amount.error**2 for amount in amounts.values()))
    for kind in KINDS:
        others = sum(amounts[other].bits for other in KINDS if other != kind)
        if amounts[kind].bits - others > deviations * error:
            return kind
    return None
