"""Which kind of information a study says that its data reward: the rule, and nothing that runs.

It was written before the first result of ``benchmarks/headline``, whose README has it in words. Two sources:

rewarded  the shares of the kinds in the best quarter of the trials, against those in the others
held      the information about the label that the best trials hold, by decomposition of held-out rows

Each names a kind or is silent. A kind is named with confidence where one source names it and the other does
not name another. Everything else is undecided, above all two sources that contradict each other.

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


@dataclass(frozen=True)
class Naming:
    """What a study says.

    Attributes:
        rewarded: the kind that the shares of the best trials name, None if they are silent.
        held: the kind that the information in the best trials names, None if it is silent.
    """

    rewarded: Kind | None
    held: Kind | None

    @property
    def named(self) -> Kind | None:
        """The kind that is named with confidence; None where the study is undecided."""
        found = {self.rewarded, self.held} - {None}
        return found.pop() if len(found) == 1 else None

    def text(self) -> str:
        """The verdict in words."""
        if self.named:
            return self.named
        return f"undecided: {self.rewarded} rewarded, {self.held} held" if self.held else "undecided"


def best_quarter(error_N: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which trials are the best quarter, (N,): the lowest errors, rounded up."""
    chosen_N = np.zeros(len(error_N), bool)
    chosen_N[np.argsort(error_N, kind="stable")[: math.ceil(len(error_N) / 4)]] = True
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
