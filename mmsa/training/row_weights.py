"""How often each row counts: once, or as often as its group was drawn in each of many resamples.

Metrics are functions of weighted sums over rows, so one product with the sums of each group serves all
resamples, and no row is copied.

Shapes: N rows, G groups, R resamples.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_MOST_NUMBERS = 2**22  # of a block of (R, N) weights


@dataclass(frozen=True)
class RowWeights:
    """The weights of N rows in R resamples.

    Attributes:
        group: (N,) number of each row's group.
        weights: (R, G) how often each group occurs; None where every row counts once, and R is 1.
    """

    group: NDArray[np.intp]
    weights: Floats | None = None

    @classmethod
    def once(cls, num_rows: int) -> RowWeights:
        """Every row counts once."""
        return cls(np.zeros(num_rows, np.intp))

    def total(self, values_N: NDArray[Any]) -> Floats:
        """(R,) weighted sums, accumulated in float64."""
        if self.weights is None:
            return np.atleast_1d(np.sum(values_N, dtype=np.float64))
        total_R: Floats = self.weights @ np.bincount(self.group, values_N, self.weights.shape[1])
        return total_R

    def of(self, rows: NDArray[Any]) -> RowWeights:
        """The weights of some of the rows, by mask or position."""
        return RowWeights(self.group[rows], self.weights)

    def blocks(self) -> Iterator[Floats]:
        """The weights of all rows, (r, N) at a time, for what no sums over groups can tell."""
        if self.weights is None:
            yield np.ones((1, len(self.group)))
            return
        step = max(1, _MOST_NUMBERS // max(1, len(self.group)))
        for start in range(0, len(self.weights), step):
            yield self.weights[start : start + step, self.group]


def ratio(numerator: Floats, denominator: Floats, undefined: float = 0.0) -> Floats:
    """A ratio that is ``undefined`` where the denominator is 0."""
    found = np.full_like(denominator, undefined)
    return np.divide(numerator, denominator, out=found, where=denominator > 0)
