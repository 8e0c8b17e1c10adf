"""What is predicted: the kind of a target, its scale or classes, and the metrics it is scored with.

Imports nothing of mmsa, so that readers, which run in a process of their own, may describe what they read.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, cast, get_args

import numpy as np
from numpy.typing import NDArray

TargetKind = Literal["regression", "ordinal", "binary", "multiclass", "multilabel"]
TARGET_KINDS: tuple[TargetKind, ...] = get_args(TargetKind)
Suite = Literal["mosi", "sims", "regression", "phq8", "ordinal", "binary", "multiclass", "multilabel"]
SUITES: tuple[Suite, ...] = get_args(Suite)
SUITES_OF: Mapping[TargetKind, tuple[Suite, ...]] = {
    "regression": ("regression", "mosi", "sims", "phq8"),
    "ordinal": ("ordinal", "phq8"),
    "binary": ("binary",),
    "multiclass": ("multiclass",),
    "multilabel": ("multilabel",),
}
"""The suites that a target of each kind can be scored with, the default first."""

MOST_CLASSES = 10_000
_OF_KIND = cast(Suite, "")


@dataclass(frozen=True)
class TargetSpec:
    """One target of a data set.

    ==============  ============================  ========================================================
    kind            values of a split             meaning
    ==============  ============================  ========================================================
    ``regression``  (N,) within [low, high]       a number on a scale
    ``ordinal``     (N,) whole, low to high       levels with an order, of a questionnaire for instance
    ``binary``      (N,) 0 or 1                   position in ``classes``; 1 is the positive one
    ``multiclass``  (N,) whole, 0 to K - 1        position in ``classes``
    ``multilabel``  (N, K) of 0 or 1              whether each label of ``classes`` applies
    ==============  ============================  ========================================================

    All are float32. NaN is a missing value, which only targets beside the primary one may have.

    Attributes:
        name: in metrics, configurations and reports.
        kind: which of the above.
        low: smallest value of the scale; 0 where values are positions in ``classes``.
        high: largest value; K - 1, or 1 for ``multilabel``.
        classes: names of the K classes or labels; of the levels of ``ordinal``, if they have any.
        threshold: of a scale: values from here on are positive (PHQ-8: 10); None if it has no such view.
        centre: of a scale: its neutral point, which polarity is told by.
        suite: the metrics it is scored with; empty is the default of its kind.

    Raises:
        ValueError: for a combination that means nothing.
    """

    name: str
    kind: TargetKind = "regression"
    low: float = -math.inf
    high: float = math.inf
    classes: tuple[str, ...] = ()
    threshold: float | None = None
    centre: float = 0.0
    suite: Suite = _OF_KIND

    def __post_init__(self) -> None:
        if self.kind in ("binary", "multiclass", "multilabel"):
            if self.kind == "binary" and not self.classes:
                object.__setattr__(self, "classes", ("negative", "positive"))
            object.__setattr__(self, "low", 0.0)
            object.__setattr__(self, "high", 1.0 if self.kind == "multilabel" else len(self.classes) - 1.0)
        if self.suite == _OF_KIND:
            object.__setattr__(self, "suite", SUITES_OF[self.kind][0])
        problem = self._problem()
        if problem:
            raise ValueError(f"target {self.name!r}: {problem}")

    def _problem(self) -> str:
        """What is wrong with it; empty if nothing is."""
        count, levels = len(self.classes), self.high - self.low + 1
        fewest = {"multiclass": 2, "multilabel": 1}.get(self.kind, 0)
        rules = {
            "needs a name without '/'": not self.name or "/" in self.name,
            f"its classes must differ from each other: {', '.join(self.classes)}": len(set(self.classes))
            != count,
            f"is {self.kind} and needs the names of its classes, at least {fewest}": count < fewest,
            f"has {count} classes; more than {MOST_CLASSES} are refused": count > MOST_CLASSES,
            f"is binary and has {count} classes, not 2": self.kind == "binary" and count != 2,
            f"is {self.kind} and has a scale, so it has no classes": self.kind == "regression" and count > 0,
            f"low is {self.low:g} and high {self.high:g}; low must be less": not self.low < self.high
            and self.kind != "multilabel",
            f"is ordinal: low {self.low:g} and high {self.high:g} must be whole numbers, of at most "
            f"{MOST_CLASSES} levels": self.kind == "ordinal"
            and not (levels <= MOST_CLASSES and self.low % 1 == 0 and self.high % 1 == 0),
            f"has names of {count} levels, but {levels:g} levels": self.kind == "ordinal"
            and count not in (0, levels),
            f"is {self.kind}; a threshold cuts a scale": self.threshold is not None and not self.is_scale,
            f"its threshold {self.threshold} must lie above {self.low:g} and at most at {self.high:g}": (
                self.threshold is not None and not self.low < self.threshold <= self.high
            ),
            f"is {self.kind} and cannot be scored with {self.suite!r}; "
            f"it can with {' or '.join(SUITES_OF[self.kind])}": self.suite not in SUITES_OF[self.kind],
            "is scored with 'phq8', which counts positives, and needs a threshold": self.suite == "phq8"
            and self.threshold is None,
        }
        return next((rule for rule, broken in rules.items() if broken), "")

    @property
    def is_scale(self) -> bool:
        """Whether values are numbers with an order, and not classes."""
        return self.kind in ("regression", "ordinal")

    @property
    def is_plain(self) -> bool:
        """Whether it is what a data set has that declares no target: a number called ``label``."""
        return (self.name, self.kind, self.threshold, self.centre) == ("label", "regression", None, 0.0)

    @property
    def scale(self) -> tuple[float, float]:
        """``low`` and ``high``."""
        return self.low, self.high

    @property
    def columns(self) -> int:
        """Numbers a row: K of ``multilabel``, else 1."""
        return len(self.classes) if self.kind == "multilabel" else 1

    @property
    def concept_width(self) -> int:
        """Numbers that terms see of a row: K of classes and labels, else 1."""
        return len(self.classes) if self.kind in ("multiclass", "multilabel") else 1

    def wrong(self, values: NDArray[np.floating[Any]]) -> NDArray[np.bool_]:
        """(N,) whether a row's values break the rule; missing ones do not. Values are (N,) or (N, K)."""
        inside = np.logical_and(values >= self.low, values <= self.high) | np.isnan(values)
        if self.kind != "regression":
            with np.errstate(invalid="ignore"):  # infinities, which are outside anyway
                inside &= ~np.isfinite(values) | (values % 1 == 0)
        rows: NDArray[np.bool_] = ~inside.reshape(len(values), -1).all(axis=1)
        return rows

    def rule(self) -> str:
        """What values must be, in words."""
        if self.kind == "multilabel":
            return f"must be 0 or 1 for each of {len(self.classes)} labels"
        if self.kind == "regression":
            return f"labels must lie within [{self.low:g}, {self.high:g}]"
        what = "levels" if self.kind == "ordinal" else "positions of classes"
        return f"must be whole numbers from {self.low:g} to {self.high:g}, {what}"
