"""Metrics of constant predictors: the floor under every result.

A metric without this floor beside it flatters. On skewed labels a constant has the accuracy of the largest
class, and on few rows its mean absolute error is below that of many trained models.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmsa.data.target_spec import Suite
from mmsa.training.metrics import TWO_CLASSES, classes, evaluate, f1_name, on_scale

Values = NDArray[np.floating[Any]]

LOWER_IS_BETTER = {"mae"}
"""The metrics that are errors; of all others more is better."""


@dataclass(frozen=True)
class Constant:
    """The best constant predictor by one metric: its name and its value."""

    name: str
    value: float


def constant_metrics(train_labels: Values, labels: Values, suite: Suite) -> dict[str, dict[str, float]]:
    """Metrics, on a split, of the median, the mean and the majority class of train; by predictor and metric.

    The majority depends on how an accuracy sorts labels into classes. So for each accuracy, and the F1 beside
    it, the constant is the median of the train labels in its largest class.

    Args:
        train_labels: (M,) labels that the constants are taken from.
        labels: (N,) labels of the split that is scored.
        suite: of metrics that the data set is scored with.
    """

    def scored(constant: float) -> dict[str, float]:
        return evaluate(labels, np.full(len(labels), constant), suite)

    found = {name: scored(float(of(train_labels))) for name, of in (("median", np.median), ("mean", np.mean))}
    scaled_M = on_scale(train_labels, suite)
    majority: dict[str, float] = {}
    for accuracy, rows in classes(scaled_M, scaled_M, suite).items():
        sizes = np.unique(rows.truth[rows.counted], return_counts=True)
        if not len(sizes[0]):
            continue
        in_largest = rows.counted & (rows.truth == sizes[0][sizes[1].argmax()])
        metrics = scored(float(np.median(scaled_M[in_largest])))
        majority[accuracy] = metrics[accuracy]
        if accuracy.startswith(TWO_CLASSES):
            majority[f1_name(accuracy)] = metrics[f1_name(accuracy)]
    return {**found, **({"majority": majority} if majority else {})}


def best_constants(constants: Mapping[str, Mapping[str, float]]) -> dict[str, Constant]:
    """The best constant predictor by each metric; the first one of equals."""
    best: dict[str, Constant] = {}
    for name, metrics in constants.items():
        for metric, value in metrics.items():
            if metric not in best or better(metric, value, best[metric].value):
                best[metric] = Constant(name, value)
    return best


def short_of(metric: str, value: float, worse_end: float | None, constant: Constant, level: int = 95) -> str:
    """Say how a result falls short of a constant predictor; empty if it is surely better.

    Args:
        metric: without the name of a split.
        value: of the result.
        worse_end: of its 95 % interval; None if unknown.
        constant: the best one by this metric.
        level: of the interval, in percent.
    """
    floor = f"{constant.value:.4f}, the {constant.name} of train for every row"
    if not better(metric, value, constant.value):
        return f"no better than {floor}"
    if worse_end is not None and not better(metric, worse_end, constant.value):
        return f"not surely better than {floor}: the {level} % interval includes it"
    return ""


def better(metric: str, value: float, other: float) -> bool:
    """Whether ``value`` of a metric is better than another."""
    return value < other if metric in LOWER_IS_BETTER else value > other
