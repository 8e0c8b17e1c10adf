"""What a measurement of information came to: a record that can be stored and compared."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, Self, get_args

Status = Literal[
    "ok",
    "below_null",
    "untested",
    "saturated",
    "disagree",
    "incoherent",
    "positive",
    "negative",
    "undetermined",
    "too_few",
    "too_few_groups",
    "skipped",
]
"""What may be said of a value.

ok: more than nothing gives; may be published. below_null: not more than nothing gives: with these rows none
was found. untested: no refits were made, or too few to test. saturated: so near the most that this many
samples can show that the truth may lie far above. disagree: the copula's reading lies above the interval, so
one of the estimators is wrong. incoherent: no set of true values fits this one and another.

Of quantities that may be negative, by their interval. positive: above 0. negative: below. undetermined:
neither.

Of what was not measured. too_few: too few rows. too_few_groups: enough rows, of too few groups to tell what
other groups would say. skipped: no time.
"""
Absent = Literal["too_few", "too_few_groups", "skipped"]
ABSENT: tuple[Absent, ...] = get_args(Absent)
"""The statuses of what was not measured."""
CLAIMS: tuple[Status, ...] = ("ok", "positive", "negative", "saturated")
"""The statuses of what was told from nothing."""
Scope = Literal["rows", "within_groups"]
"""What varies where information is measured. rows: everything that differs between rows. within_groups: what
differs between rows of one group; what a whole group has in common is taken out first."""


def signed_status(low: float, high: float) -> Status:
    """What the interval says of a quantity that may be negative."""
    if low > 0:
        return "positive"
    return "negative" if high < 0 else "undetermined"


@dataclass(frozen=True)
class Measurement:
    """Information between frozen arrays, with what is needed to judge it.

    value: raw estimate in ``unit``, never clipped; None when nothing was measured.
    low, high: interval of probability ``level`` over other groups of this kind (neighbour counts: also of
        their deviation between parts), widened by what two readings of the critics differ by and the drift.
    null_mean, null_bound, p_value: of the same procedure, refitted where there is nothing to find; see
        ``Null``. Without a bound nothing was tested.
    extrapolated: where the value leads as n grows, from the whole and from halves; neighbour counts, from
        readings of more neighbours.
    ceiling: about what a method without assumptions can show with n samples, ln n.
    estimator: the one whose reading ``value`` is; witnesses: the readings of all.
    parts: what was added to the copula: radial and warped (networks), and the best of the critics of
        ``mmsa.information.stacking``, if it is better.
    folds, seeds: of the networks; 0 where no estimator has any.
    scope: what varied.
    """

    value: float | None
    low: float | None
    high: float | None
    null_mean: float | None
    null_bound: float | None
    p_value: float | None
    extrapolated: float | None
    ceiling: float
    status: Status
    estimator: str
    witnesses: Mapping[str, float]
    parts: tuple[str, ...]
    num_samples: int
    num_groups: int
    dims: tuple[int, ...]
    folds: int
    seeds: int
    permutations: int
    seed: int
    level: float = 0.9
    unit: Literal["nat", "bit"] = "nat"
    scope: Scope = "rows"

    @property
    def clipped(self) -> float | None:
        """The value, or 0 where it is negative."""
        return None if self.value is None else max(0.0, self.value)

    @property
    def drift(self) -> float | None:
        """How much the value still moves with n, |extrapolated - value| / |value|; above 0.2 is a lot."""
        if self.value is None or self.extrapolated is None:
            return None
        return abs(self.extrapolated - self.value) / max(abs(self.value), 1e-12)

    def text(self, digits: int = 3) -> str:
        """The value with its interval and what must be said of it, or why there is none."""
        if self.status == "ok":
            return self._shown(digits)
        said = self.status.replace("_", " ")
        if self.status == "saturated":
            return f"{said} at {self.ceiling:.{digits}f}"
        if self.status in ABSENT:
            counts = {"too_few": f" rows ({self.num_samples})", "too_few_groups": f" ({self.num_groups})"}
            return said + counts.get(self.status, "")
        return f"{self._shown(digits)} {said}"

    def _shown(self, digits: int) -> str:
        ends = [] if self.low is None or self.high is None else [self.low, self.high]
        interval = ", ".join(f"{end:.{digits}f}" for end in ends)
        return f"{self.value:.{digits}f}" + (f" [{interval}]" if ends else "")

    def less(self, bias: float) -> Measurement:
        """The same with a bias taken off the value and all that it is compared with."""
        return self._with_each(lambda reading: reading - bias)

    def bits(self) -> Measurement:
        """The same measurement in bits."""
        if self.unit == "bit":
            return self
        return replace(
            self._with_each(lambda reading: reading / math.log(2)),
            ceiling=self.ceiling / math.log(2),
            witnesses={name: reading / math.log(2) for name, reading in self.witnesses.items()},
            unit="bit",
        )

    def _with_each(self, change: Callable[[float], float]) -> Measurement:
        """The same with the value and all that it is compared with changed, where they are there."""

        def changed(reading: float | None) -> float | None:
            return None if reading is None else change(reading)

        return replace(
            self,
            value=changed(self.value),
            low=changed(self.low),
            high=changed(self.high),
            null_mean=changed(self.null_mean),
            null_bound=changed(self.null_bound),
            extrapolated=changed(self.extrapolated),
        )

    def to_dict(self) -> dict[str, Any]:
        """Content for JSON; ``clipped`` is written for readers and ignored by ``from_dict``."""
        return {**asdict(self), "parts": list(self.parts), "dims": list(self.dims), "clipped": self.clipped}

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Self:
        """Inverse of ``to_dict``."""
        kept = {name: value for name, value in content.items() if name != "clipped"}
        return cls(**{**kept, "parts": tuple(kept["parts"]), "dims": tuple(kept["dims"])})


def not_measured(
    status: Absent,
    *,
    num_samples: int,
    num_groups: int,
    dims: tuple[int, ...],
    folds: int = 0,
    seeds: int = 0,
    permutations: int = 0,
    seed: int = 0,
) -> Measurement:
    """The record of a measurement that did not take place."""
    return Measurement(
        value=None,
        low=None,
        high=None,
        null_mean=None,
        null_bound=None,
        p_value=None,
        extrapolated=None,
        ceiling=math.log(max(1, num_samples)),
        status=status,
        estimator="",
        witnesses={},
        parts=(),
        num_samples=num_samples,
        num_groups=num_groups,
        dims=dims,
        folds=folds,
        seeds=seeds,
        permutations=permutations,
        seed=seed,
    )
