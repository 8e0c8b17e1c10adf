"""Metrics of a whole split, as the literature of multimodal sentiment analysis computes them.

The suite that a data set is scored with decides which: ``mosi`` is that of CMU-MOSI and CMU-MOSEI, ``sims``
that of CH-SIMS, and ``regression`` has the two metrics that need no classes. Labels that happen to lie within
the same numbers say nothing of the suite. Names say how a zero label is counted, because both conventions are
published as "Acc-2":

=============================  =============================================================================
``mae``, ``pearson``           mean of abs(prediction - label); Pearson correlation
``acc7``, ``acc5``             MOSI: clipped to [-3, 3] or [-2, 2], rounded half to even, part that agrees
``acc2_negative_nonnegative``  MOSI ("has0"): all rows, classes ``>= 0``
``acc2_negative_positive``     MOSI ("non0"): rows whose label is not 0, classes ``> 0``
``acc2_nonpositive_positive``  SIMS: all rows, classes ``> 0``
``acc3``, ``acc5``             SIMS: right-closed bins with inner edges -0.1, 0.1 and -0.7, -0.1, 0.1, 0.7
``f1_…``                       F1 of the classes of that Acc-2, weighted by how many labels each class has
=============================  =============================================================================

In ``sims`` labels and predictions are first clipped to [-1, 1], for MAE and Pearson as well. Undefined values
are 0.0 and not NaN: Pearson where labels or predictions are constant, Acc-2 and F1 of no rows.

Shapes: N rows of the split, M of them that count.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import pearsonr
from sklearn.metrics import f1_score

from mmsa.data.target_spec import Suite

Values = NDArray[np.floating[Any]]
Rows = NDArray[Any]

TWO_CLASSES = "acc2_"
"""Prefix of the accuracies that have an F1 beside them."""

_NEARLY_ALL = 0.9  # of the labels in one class
_SIMS_EDGES_3 = np.array([-0.1, 0.1], np.float32)
_SIMS_EDGES_5 = np.array([-0.7, -0.1, 0.1, 0.7], np.float32)


def evaluate(labels: Values, predictions: Values, suite: Suite) -> dict[str, float]:
    """All metrics of a suite, by name.

    Args:
        labels: (N,) the truth.
        predictions: (N,) finite predictions.
        suite: which metrics.
    """
    labels_N, predictions_N = on_scale(labels, suite), on_scale(predictions, suite)
    metrics = {
        "mae": float(np.abs(predictions_N - labels_N).mean(dtype=np.float64)),
        "pearson": _pearson(labels_N, predictions_N),
    }
    for name, sorted_rows in classes(labels_N, predictions_N, suite).items():
        labels_M = sorted_rows.truth[sorted_rows.counted]
        predictions_M = sorted_rows.predicted[sorted_rows.counted]
        metrics[name] = float((labels_M == predictions_M).mean()) if len(labels_M) else 0.0
        if name.startswith(TWO_CLASSES):
            metrics[f1_name(name)] = _weighted_f1(labels_M, predictions_M)
    return metrics


def metric_names(suite: Suite) -> tuple[str, ...]:
    """The names of the metrics that ``evaluate`` computes for a suite."""
    anything = np.zeros(1, np.float32)
    return tuple(evaluate(anything, anything, suite))


def f1_name(accuracy: str) -> str:
    """The F1 that belongs to an Acc-2."""
    return accuracy.replace(TWO_CLASSES, "f1_", 1)


def on_scale(values: Values, suite: Suite) -> NDArray[np.float32]:
    """Labels or predictions as they are compared.

    In float32: a label written as 0.1 lies on the edge 0.1 in the precision it was stored in.
    """
    values_N = np.asarray(values, np.float32)
    return np.clip(values_N, -1, 1) if suite == "sims" else values_N


@dataclass(frozen=True)
class Classes:
    """Labels and predictions sorted into classes.

    Attributes:
        truth: (N,) class of each label.
        predicted: (N,) class of each prediction.
        counted: (N,) whether the row counts.
    """

    truth: Rows
    predicted: Rows
    counted: NDArray[np.bool_]


def classes(labels_N: Values, predictions_N: Values, suite: Suite) -> dict[str, Classes]:
    """The classes behind each accuracy of the suite, by its name; takes values from ``on_scale``."""
    sort_by: dict[str, Callable[[Values], Rows]] = {}
    if suite == "mosi":
        sort_by = {
            "acc7": lambda values: np.rint(np.clip(values, -3, 3)),
            "acc5": lambda values: np.rint(np.clip(values, -2, 2)),
            "acc2_negative_nonnegative": lambda values: values >= 0,
            "acc2_negative_positive": lambda values: values > 0,
        }
    if suite == "sims":
        sort_by = {
            "acc3": lambda values: np.digitize(values, _SIMS_EDGES_3, right=True),
            "acc5": lambda values: np.digitize(values, _SIMS_EDGES_5, right=True),
            "acc2_nonpositive_positive": lambda values: values > 0,
        }
    every_N = np.ones(len(labels_N), bool)
    counted = {"acc2_negative_positive": labels_N != 0}
    return {
        name: Classes(sort(labels_N), sort(predictions_N), counted.get(name, every_N))
        for name, sort in sort_by.items()
    }


def largest_classes(labels: Values, suite: Suite) -> dict[str, float]:
    """The part of the rows in the largest class of each accuracy, which a constant prediction reaches."""
    labels_N, parts = on_scale(labels, suite), {}
    for name, found in classes(labels_N, labels_N, suite).items():
        truth_M = found.truth[found.counted]
        counts = np.unique(truth_M, return_counts=True)[1]
        parts[name] = float(counts.max() / len(truth_M)) if len(truth_M) else 1.0
    return parts


def lopsided(labels: Values, suite: Suite, split: str) -> list[str]:
    """A warning if nearly all labels are in one class of an accuracy, which then says next to nothing."""
    parts = {name: part for name, part in largest_classes(labels, suite).items() if part >= _NEARLY_ALL}
    if not parts:
        return []
    found = ", ".join(f"{part:.1%} of {name}" for name, part in parts.items())
    return [
        f"{split}: one class holds nearly all labels ({found}), and always predicting it scores as much: "
        f"these labels hardly use the scale of the metrics {suite!r}; see mae and pearson, or data.metrics"
    ]


def _pearson(labels_N: Values, predictions_N: Values) -> float:
    if np.ptp(labels_N) == 0 or np.ptp(predictions_N) == 0:
        return 0.0
    return float(pearsonr(labels_N.astype(np.float64), predictions_N.astype(np.float64)).statistic)


def _weighted_f1(labels_M: Rows, predictions_M: Rows) -> float:
    if len(labels_M) == 0:
        return 0.0
    return float(f1_score(labels_M, predictions_M, average="weighted", zero_division=0.0))
