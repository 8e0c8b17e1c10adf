"""The target as classes: labels as they are, numbers in bins of equally many rows.

A predictive distribution over bins is a density that is constant within each bin. So h(Y) minus its
cross-entropy is the information about the bin, which is at most I(X; Y). All sources have the same bins.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import entr

from mmsa.errors import DataError
from mmsa.information.groups import Rows

_ROWS_PER_BIN, _FEWEST_BINS, _MOST_BINS = 100, 3, 8
_ROWS_OF_A_VALUE = 10
FEWEST_ROWS_PER_CLASS = 5


@dataclass(frozen=True)
class Target:
    """A target that has been made into classes.

    Attributes:
        classes: (N,) class of each row as 0 .. C - 1.
        num_classes: C.
        binned: Whether classes are bins of a continuous target.
        ordered: Whether classes are numbers, or bins of numbers, in their order.

    Examples:
        >>> Target.of(["happy", "sad"] * 5).classes.tolist()[:4]
        [0, 1, 0, 1]
        >>> target = Target.of(np.linspace(-3.0, 3.0, 400))
        >>> target.num_classes, target.binned, target.ordered
        (4, True, True)
    """

    classes: Rows
    num_classes: int
    binned: bool
    ordered: bool

    @classmethod
    def of(cls, values: ArrayLike, bins: int | None = None) -> Target:
        """Take texts, booleans and integers as classes, and put floating-point numbers into quantile bins.

        Args:
            values: (N,).
            bins: How many; by default one for each 100 rows, from 3 to 8. Numbers with no more distinct
                values than that are classes, by default also up to 8 values in at least 10 rows each, since
                bins of several values may hide what a source says.

        Raises:
            DataError: If the target is constant or not finite, or has too many classes for its rows.
        """
        values_N: NDArray[Any] = np.asarray(values)
        if values_N.ndim != 1:
            raise DataError(f"the target has the shape {values_N.shape}; give one value a row, (N,)")
        if values_N.dtype.kind == "f":
            return cls._of_numbers(values_N, bins)
        return cls._of_classes(values_N, binned=False, ordered=False)

    @classmethod
    def _of_numbers(cls, values_N: NDArray[Any], bins: int | None) -> Target:
        if not np.isfinite(values_N).all():
            bad = np.flatnonzero(~np.isfinite(values_N))
            raise DataError(f"the target is not finite in {len(bad)} rows, first {bad[0]}; drop these rows")
        count_V = np.unique(values_N, return_counts=True)[1]
        if bins is None:
            few = len(count_V) <= _MOST_BINS and count_V.min() >= _ROWS_OF_A_VALUE
            by_rows = int(np.clip(len(values_N) // _ROWS_PER_BIN, _FEWEST_BINS, _MOST_BINS))
            bins = _MOST_BINS if few else by_rows
        if len(count_V) <= bins:
            return cls._of_classes(values_N, binned=False, ordered=True)
        edges = np.unique(np.quantile(values_N, np.linspace(0.0, 1.0, bins + 1)[1:-1]))
        return cls._of_classes(np.searchsorted(edges, values_N, side="right"), binned=True, ordered=True)

    @classmethod
    def _of_classes(cls, values_N: NDArray[Any], *, binned: bool, ordered: bool) -> Target:
        names, class_N = np.unique(values_N, return_inverse=True)
        if len(names) < 2:
            raise DataError("the target has the same value in all rows; nothing can be told about it")
        if len(names) * FEWEST_ROWS_PER_CLASS > len(values_N):
            parts = "classes" if not ordered else "bins" if binned else "values"
            told = f"the target has {len(names)} {parts} in {len(values_N)} rows"
            needed = f"{FEWEST_ROWS_PER_CLASS * len(names)} rows are needed for so many"
            binned_if = "" if ordered else "; numbers with an order are binned if they are given as floats"
            raise DataError(f"{told}; {needed}{binned_if}")
        return cls(class_N.astype(np.int64), len(names), binned, ordered)

    def entropy(self) -> float:
        """H(Y) in nats, which no information about Y exceeds."""
        frequencies = np.bincount(self.classes) / len(self.classes)
        return float(entr(frequencies).sum())
