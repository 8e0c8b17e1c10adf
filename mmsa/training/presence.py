"""Results by what rows have: a mean over rows with and without text hides where a model fails."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmsa.data.corpus import Corpus, Split
from mmsa.data.presence import patterns
from mmsa.interface import decimals
from mmsa.training.constants import Constant, best_constants, constant_metrics
from mmsa.training.metrics import evaluate

_FEWEST_ROWS = 5


@dataclass(frozen=True)
class PatternResult:
    """The rows that have the same modalities.

    Attributes:
        name: what they have, such as ``text+audio``.
        rows: how many there are.
        in_train: how many rows of train are like them; None where train holds these rows, as with folds.
        metrics: of these rows; the mean over all predictions. Empty for fewer than 5 rows.
        constants: the best constant predictor of these rows by metric.
    """

    name: str
    rows: int
    in_train: int | None
    metrics: Mapping[str, float]
    constants: Mapping[str, Constant]

    def line(self, metric: str, width: int) -> str:
        """One line of a table, by one metric."""
        known = "" if self.in_train is None else f" ({self.in_train} in train)"
        head = f"  {self.name:<{width}}{self.rows:>7} rows{known}"
        if metric not in self.metrics:
            return f"{head}  too few to tell"
        constant = self.constants.get(metric)
        beside = "" if constant is None else f"  constant {decimals(constant.value)}"
        return f"{head}  {metric} {decimals(self.metrics[metric])}{beside}"


def by_presence(
    corpus: Corpus, split: Split, predictions: Sequence[NDArray[np.floating[Any]]]
) -> list[PatternResult]:
    """Metrics for rows of each pattern of presence; an empty list where all rows have the same modalities.

    Args:
        corpus: with train, for the constants.
        split: that was predicted.
        predictions: of one or more models, each (N,) or (N, K); rows that are NaN do not count.
    """
    found = patterns(split)
    if len(found) < 2:
        return []
    labels_of_train, train = corpus["train"].labels, patterns(corpus["train"])
    results = []
    for name, rows in found.items():
        by_model = [
            evaluate(split.labels[there], values[there], corpus.target)
            for values in predictions
            for there in [rows[~np.isnan(values[rows]).reshape(len(rows), -1).any(axis=1)]]
            if len(there) >= _FEWEST_ROWS
        ]
        metrics = {
            metric: float(np.mean([one[metric] for one in by_model])) for metric in (by_model or [{}])[0]
        }
        constants = constant_metrics(labels_of_train, split.labels[rows], corpus.target) if metrics else {}
        pooled = bool(corpus.folds) and split is corpus["valid"]
        in_train = None if pooled else len(train.get(name, ()))
        results.append(PatternResult(name, len(rows), in_train, metrics, best_constants(constants)))
    return results


def presence_lines(results: Sequence[PatternResult], metric: str) -> list[str]:
    """A table for people; no lines without results.

    Args:
        results: of ``by_presence``.
        metric: without a prefix.
    """
    width = max((len(result.name) for result in results), default=0) + 2
    return [result.line(metric, width) for result in results]
