"""What can be predicted, as users and files write it."""

from __future__ import annotations

import math
from typing import Annotated, Self

from pydantic import Field, model_validator

from mmsa.config import Block, refuse
from mmsa.data.target_spec import SUITES_OF, Suite, TargetKind, TargetSpec

_Number = Annotated[float, Field(allow_inf_nan=False)]


class TargetConfig(Block):
    """One target: its kind, and its scale or classes."""

    kind: TargetKind = "regression"
    """``regression`` is a number on a scale, ``ordinal`` levels of a questionnaire, ``binary`` two classes,
    ``multiclass`` one of several, ``multilabel`` any number of several."""
    low: _Number | None = None
    """Smallest value of the scale; null where there is none."""
    high: _Number | None = None
    """Largest value of the scale; null where there is none."""
    classes: Annotated[tuple[str, ...], Field(strict=False)] = ()
    """Names of the classes, in the order of their numbers; text in the file is one of these names."""
    threshold: _Number | None = None
    """Of a scale: values from here on are positive (10 of PHQ-8)."""
    centre: _Number = 0.0
    """Of a scale: its neutral point."""
    suite: Suite | None = None
    """What it is scored with; null is the default of its kind."""

    @model_validator(mode="after")
    def _means_something(self) -> Self:
        try:
            self.spec("target")
        except ValueError as error:
            raise refuse(self.kind, str(error).partition(": ")[2], at=("kind",)) from None
        return self

    def spec(self, name: str) -> TargetSpec:
        """The target under its name; bounds that are not given are infinite.

        Raises:
            ValueError: for a combination that means nothing.
        """
        low = -math.inf if self.low is None else self.low
        high = math.inf if self.high is None else self.high
        suite = self.suite or SUITES_OF[self.kind][0]
        return TargetSpec(name, self.kind, low, high, self.classes, self.threshold, self.centre, suite)

    @classmethod
    def of(cls, target: TargetSpec) -> Self:
        """The inverse of ``spec``, but for the name."""
        bounded = target.kind not in ("binary", "multiclass", "multilabel")
        low, high = (value if bounded and math.isfinite(value) else None for value in target.scale)
        return cls(
            kind=target.kind,
            low=low,
            high=high,
            classes=target.classes,
            threshold=target.threshold,
            centre=target.centre,
            suite=target.suite,
        )
