"""What the same procedure reads where there is nothing, and the test against it, for every estimator.

Refits are of data in which nothing can be found, such as targets whose groups changed places. If there is
nothing in the data either, the value is as likely as each refit to be the largest, so ranks give an exact
test however the values are distributed (Besag and Clifford 1989).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

LEVEL = 0.05
"""How often nothing passes for something."""
FEWEST_REFITS = round(1 / LEVEL) - 1
"""19: the fewest whose largest is passed by so few values of nothing."""


@dataclass(frozen=True)
class Null:
    """mean: of the refits. bound: a value above it has a p_value of at most ``LEVEL``. p_value: by rank.

    Fewer than ``FEWEST_REFITS`` refits cannot test at that level, so they give no bound.
    """

    mean: float | None = None
    bound: float | None = None
    p_value: float | None = None

    @classmethod
    def of(cls, value: float, refits: Sequence[float]) -> Self:
        """The null of ``value`` from what the refits read.

        p_value = (1 + refits that are at least as large) / (1 + refits), where a refit that differs by
        rounding counts as large.
        """
        if len(refits) == 0:
            return cls()
        refits_P = np.sort(np.asarray(refits, np.float64))
        rounding = 1e-9 * max(1.0, abs(value))
        p_value = float(1 + (refits_P >= value - rounding).sum()) / (1 + len(refits_P))
        may_be_larger = math.floor(LEVEL * (1 + len(refits_P)) + 1e-9) - 1
        bound = float(refits_P[-1 - may_be_larger]) if may_be_larger >= 0 else None
        return cls(float(refits_P.mean()), bound, p_value)

    @property
    def passed(self) -> bool | None:
        """Whether the value is more than nothing gives; None where that was not tested."""
        return None if self.bound is None or self.p_value is None else self.p_value <= LEVEL
