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

from mmsa.data.target_spec import TargetSpec
from mmsa.interface import decimals, direction_of
from mmsa.training.metrics import evaluate, on_scale, own_classes

Values = NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Constant:
    """The best constant predictor by one metric: its name and its value."""

    name: str
    value: float


def constant_metrics(train_labels: Values, labels: Values, target: TargetSpec) -> dict[str, dict[str, float]]:
    """Metrics, on a split, of predictors that say the same of every row; by predictor and metric.

    They are the ``median`` and ``mean`` of train on a scale; the ``majority`` class of train; and
    ``positive``, the class that F1 is of, or all labels: who calls everybody depressed has a high F1.
    On a scale the majority depends on how a metric sorts labels into classes: it is the median of the train
    labels in the largest class, ``positive`` the median of those from the threshold on.

    Args:
        train_labels: (M,) or (M, K) labels that the constants are taken from.
        labels: (N,) or (N, K) labels of the split that is scored.
        target: what is predicted.
    """

    def scored(constant: Any) -> dict[str, float]:
        return evaluate(
            labels, np.broadcast_to(np.asarray(constant, np.float32), _outputs(labels, target)), target
        )

    known = train_labels[~np.isnan(train_labels).reshape(len(train_labels), -1).any(axis=1)]
    if not len(known):
        return {}
    if not target.is_scale:
        return {name: scored(constant) for name, constant in _constant_classes(known, target).items()}
    found = {name: scored(float(of(known))) for name, of in (("median", np.median), ("mean", np.mean))}
    if target.threshold is not None and (known >= target.threshold).any():
        found["positive"] = scored(float(np.median(known[known >= target.threshold])))
    scaled_M = on_scale(known, target)
    majority: dict[str, float] = {}
    for metric, rows in own_classes(known, target).items():
        sizes = np.unique(rows.truth[rows.counted], return_counts=True)
        if len(sizes[0]):
            in_largest = rows.counted & (rows.truth == sizes[0][sizes[1].argmax()])
            majority[metric] = scored(float(np.median(scaled_M[in_largest])))[metric]
    return {**found, **({"majority": majority} if majority else {})}


def _outputs(labels: Values, target: TargetSpec) -> tuple[int, ...]:
    """The shape of predictions for these labels."""
    return (
        (len(labels), len(target.classes)) if target.kind in ("multiclass", "multilabel") else (len(labels),)
    )


def _constant_classes(labels: Values, target: TargetSpec) -> dict[str, Any]:
    """Constant probabilities by name."""
    if target.kind == "multiclass":
        counts_K = np.bincount(labels.astype(np.int64), minlength=len(target.classes))
        return {"majority": np.eye(len(target.classes))[counts_K.argmax()]}
    return {"majority": labels.mean(axis=0) > 0.5, "positive": np.ones(labels.shape[1:])}


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
    floor = f"{decimals(constant.value)}, the {constant.name} of train for every row"
    if not better(metric, value, constant.value):
        return f"no better than {floor}"
    if worse_end is not None and not better(metric, worse_end, constant.value):
        return f"not surely better than {floor}: the {level} % interval includes it"
    return ""


def beaten_by(metrics: Mapping[str, float], constants: Mapping[str, Constant]) -> str:
    """The metrics by which a result is no better than a constant predictor, with both values; empty if none.

    Who is chosen by one metric may know nothing by another: the median for everybody is good by its mean
    absolute error, and finds nobody.

    Args:
        metrics: of the result, without the name of a split.
        constants: the best one by each metric.
    """
    worse = [
        f"{name} {decimals(value)} ({constants[name].name} of train {decimals(constants[name].value)})"
        for name, value in metrics.items()
        if name in constants and not better(name, value, constants[name].value)
    ]
    return ", ".join(worse)


def better(metric: str, value: float, other: float) -> bool:
    """Whether ``value`` of a metric is better than another."""
    return value < other if direction_of(metric) == "minimize" else value > other
