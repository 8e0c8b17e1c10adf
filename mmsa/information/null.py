"""What the same procedure reads where there is nothing: the summary of a refitted permutation null."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from scipy.stats import t as student


@dataclass(frozen=True)
class Null:
    """mean: of the refits. bound: 95 % of such values stay below it. p_value: share of them as large.

    Few refits give no 95 % quantile; the bound is that of a normal prediction interval (Student's t).
    """

    mean: float | None = None
    bound: float | None = None
    p_value: float | None = None

    @classmethod
    def of(cls, value: float, refits: Sequence[float]) -> Self:
        """The null of ``value`` from what the refits read; a single one gives no bound."""
        if not refits:
            return cls()
        mean, count = float(np.mean(refits)), len(refits)
        p_value = (1 + sum(refit >= value for refit in refits)) / (1 + count)
        if count == 1:
            return cls(mean, None, p_value)
        spread = float(np.std(refits, ddof=1)) * math.sqrt(1 + 1 / count)
        return cls(mean, mean + float(student.ppf(0.95, count - 1)) * spread, p_value)
