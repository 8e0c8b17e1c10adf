"""Results of each label of a multi-label target: a mean over labels hides those that a model never gives.

Shapes: N rows, K labels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mmsa.data.target_spec import TargetSpec
from mmsa.interface import decimals
from mmsa.training.metrics import evaluate


@dataclass(frozen=True)
class LabelResult:
    """One label on one split.

    Attributes:
        name: of the label, behind the name of its target if that is not the primary one.
        positives: rows to which it applies.
        rows: rows of which that is known.
        f1: of the rows to which it applies, the mean over seeds; None without such rows.
        everybody: the same F1 if it is given to every row.
        auc: the mean over seeds; None where all rows or none are positive.
    """

    name: str
    positives: int
    rows: int
    f1: float | None
    everybody: float | None
    auc: float | None

    def line(self, width: int) -> str:
        """One row of a table."""
        told = "".join(f"{'-' if value is None else decimals(value):>12}" for value in self._values())
        return f"  {self.name:<{width}}{self.positives:>9} of {self.rows:<6}{told}"

    def _values(self) -> tuple[float | None, ...]:
        return self.f1, self.everybody, self.auc


def by_label(
    values: Mapping[TargetSpec, NDArray[np.float32]],
    predictions: Sequence[Mapping[str, NDArray[np.float32]]],
    primary: TargetSpec,
) -> list[LabelResult]:
    """A result for each label of each multi-label target.

    Args:
        values: (N, K) truth of such targets, NaN where it is missing; other targets are left out.
        predictions: of each seed, (N, K) probabilities by target.
        primary: the target whose labels need no name before theirs.
    """
    return [
        _of_label(
            label if target == primary else f"{target.name}/{label}",
            truth_NK[:, column],
            [told[target.name][:, column] for told in predictions],
        )
        for target, truth_NK in values.items()
        if target.kind == "multilabel"
        for column, label in enumerate(target.classes)
    ]


def label_lines(results: Sequence[LabelResult]) -> list[str]:
    """A table for people; no lines without results."""
    if not results:
        return []
    width = max(len("label"), *(len(result.name) for result in results)) + 2
    head = f"  {'label':<{width}}{'positive rows':<19}{'f1':>12}{'f1 of all':>12}{'auc':>12}"
    return ["by label (mean over fresh seeds; f1 of all: if every row is given it)", head] + [
        result.line(width) for result in results
    ]


def _of_label(
    name: str, truth_N: NDArray[np.float32], probabilities: Sequence[NDArray[np.float32]]
) -> LabelResult:
    known_N = ~np.isnan(truth_N)
    positives, rows = int(np.nansum(truth_N)), int(known_N.sum())
    if not positives:
        return LabelResult(name, positives, rows, None, None, None)
    one = TargetSpec("label", "binary", classes=("no", "yes"))
    found = [evaluate(truth_N, probability_N, one) for probability_N in probabilities]
    auc = None if positives == rows else float(np.mean([metrics["auc"] for metrics in found]))
    f1 = float(np.mean([metrics["f1_positive"] for metrics in found]))
    return LabelResult(name, positives, rows, f1, 2 * positives / (rows + positives), auc)
