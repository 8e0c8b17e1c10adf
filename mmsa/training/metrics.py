"""Metrics of a whole split, as the literature of multimodal sentiment analysis and depression computes them.

The suite that a target is scored with decides which. Labels that happen to lie within the same numbers say
nothing of the suite: ``mosi`` is that of CMU-MOSI and CMU-MOSEI, ``sims`` that of CH-SIMS, ``regression`` has
what needs no classes, ``phq8`` is that of E-DAIC; the others are named by the kind of the target.

=============================  =============================================================================
``mae``, ``rmse``              mean of abs(prediction - label); root of the mean of its square
``pearson``, ``ccc``           Pearson correlation; concordance correlation with population moments (AVEC)
``acc7``, ``acc5``             MOSI: clipped to [-3, 3] or [-2, 2], rounded half to even, part that agrees
``acc2_negative_nonnegative``  MOSI ("has0"): all rows, classes ``>= 0``
``acc2_negative_positive``     MOSI ("non0"): rows whose label is not 0, classes ``> 0``
``acc2_nonpositive_positive``  SIMS: all rows, classes ``> 0``
``acc3``, ``acc5``             SIMS: right-closed bins with inner edges -0.1, 0.1 and -0.7, -0.1, 0.1, 0.7
``f1_negative_…``, ``f1_non…`` F1 of the classes of that Acc-2, weighted by how many labels each class has
``accuracy``, ``uar``          part of the rows that is right; mean recall of the classes (UAR)
``f1_macro``                   mean F1 of the classes
``f1_weighted``                F1 of the classes, weighted by how many labels each class has
``f1_positive``, ``auc``       F1 of the positive class; area under the ROC curve
``weighted_accuracy``          labels: (TP N / P + TN) / 2N, mean over the labels that occur
``label_accuracy``             labels: part of all decisions that is right
=============================  =============================================================================

In ``sims`` labels and predictions are first clipped to [-1, 1], for MAE and Pearson as well. The classes of
``phq8`` are below the threshold and from there on; those of ``ordinal`` are the nearest levels. A binary
probability is positive from 1/2 on. With several labels a row, F1 and AUC are means over the labels: of the
class that applies (``f1_macro``), or of both classes by how many rows are in each (``f1_weighted``, as
published for CMU-MOSEI). Undefined values are 0.0 and not NaN: Pearson where labels or predictions are
constant, accuracy and F1 of no rows; an AUC without both classes is 0.5. Rows whose label is missing do not
count.

Shapes: N rows of the split, M of them that count, K classes, R resamples.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmsa.data.corpus import Corpus
from mmsa.data.target_spec import Suite, TargetSpec
from mmsa.interface import Direction, direction_of
from mmsa.training import measures
from mmsa.training.measures import Classes
from mmsa.training.row_weights import Floats, RowWeights

Values = NDArray[np.floating[Any]]
Rows = NDArray[Any]

TWO_CLASSES = "acc2_"
"""Prefix of the accuracies that have an F1 beside them."""

_NEARLY_ALL = 0.9  # of the labels in one class
_SIMS_EDGES_3 = np.array([-0.1, 0.1], np.float32)
_SIMS_EDGES_5 = np.array([-0.7, -0.1, 0.1, 0.7], np.float32)


@dataclass(frozen=True)
class ClassView:
    """How truth and output are sorted into classes.

    Attributes:
        sort: gives the class of each row of values on the scale, for truth and output alike.
        counts: gives which rows count, by their truth; None if all do.
    """

    sort: Callable[[Rows, TargetSpec], Rows]
    counts: Callable[[Rows], NDArray[np.bool_]] | None = None

    def classes(self, truth: Rows, output: Rows, target: TargetSpec) -> Classes:
        """Truth and output in classes; both as ``on_scale`` gives them."""
        counted = np.ones(len(truth), np.bool_) if self.counts is None else self.counts(truth)
        return Classes(self.sort(truth, target), self.sort(output, target), counted)


@dataclass(frozen=True)
class Metric:
    """A number that says how good outputs are; one of a suite.

    Attributes:
        name: without the name of a split.
        value: (R,) values from truth and output as ``on_scale`` gives them, the target, and row weights.
        view: the classes that it looks at; None if there are none.
        is_accuracy: whether it is the part of rows in their right class of ``view``.
    """

    name: str
    value: Callable[[Rows, Rows, TargetSpec, RowWeights], Floats]
    view: ClassView | None = None
    is_accuracy: bool = False

    @property
    def direction(self) -> Direction:
        """Which way it is better."""
        return direction_of(self.name)


def _of_values(name: str, measure: Callable[[Rows, Rows, RowWeights], Floats]) -> Metric:
    return Metric(name, lambda truth, output, target, weights: measure(truth, output, weights))


def _of_classes(
    name: str, measure: Callable[[Classes, RowWeights], Floats], view: ClassView, is_accuracy: bool = False
) -> Metric:
    def value(truth: Rows, output: Rows, target: TargetSpec, weights: RowWeights) -> Floats:
        return measure(view.classes(truth, output, target), weights)

    return Metric(name, value, view, is_accuracy)


def _acc(name: str, view: ClassView) -> Metric:
    return _of_classes(name, measures.accuracy, view, is_accuracy=True)


def _two(classes: str, view: ClassView) -> tuple[Metric, Metric]:
    f1 = _of_classes(f"f1_{classes}", measures.weighted_f1, view)
    return _acc(TWO_CLASSES + classes, view), f1


def _auc(view: ClassView) -> Metric:
    def value(truth: Rows, output: Rows, target: TargetSpec, weights: RowWeights) -> Floats:
        return measures.area_under_curve(view.sort(truth, target) == 1, output, weights)

    return Metric("auc", value, view)


def _of_labels(name: str, value: Callable[[Classes, RowWeights], Floats]) -> Metric:
    """The mean over labels of what is measured of each."""

    def mean(truth: Rows, output: Rows, target: TargetSpec, weights: RowWeights) -> Floats:
        found: Floats = np.mean([value(rows, weights) for rows in _each_label(truth, output)], axis=0)
        return found

    return Metric(name, mean)


def _each_label(truth_NK: Rows, output_NK: Rows) -> list[Classes]:
    every_N = np.ones(len(truth_NK), np.bool_)
    return [
        Classes(one_N >= 0.5, other_N >= 0.5, every_N)
        for one_N, other_N in zip(truth_NK.T, output_NK.T, strict=True)
    ]


def _weighted_accuracy(truth_NK: Rows, output_NK: Rows, target: TargetSpec, weights: RowWeights) -> Floats:
    parts = [measures.two_class_accuracy(rows, weights) for rows in _each_label(truth_NK, output_NK)]
    values_KR, defined_KR = (np.stack(part) for part in zip(*parts, strict=True))
    found: Floats = np.sum(values_KR * defined_KR, axis=0) / np.maximum(defined_KR.sum(axis=0), 1)
    return found


def _auc_of_labels(truth_NK: Rows, output_NK: Rows, target: TargetSpec, weights: RowWeights) -> Floats:
    parts = [
        measures.area_under_curve(truth_N >= 0.5, output_N, weights)
        for truth_N, output_N in zip(truth_NK.T, output_NK.T, strict=True)
    ]
    found: Floats = np.mean(parts, axis=0)
    return found


def _level(values_N: Rows, target: TargetSpec) -> Rows:
    levels_N: Rows = np.rint(np.clip(values_N, target.low, target.high))
    return levels_N


def _named_class(values: Rows, target: TargetSpec) -> Rows:
    """Class ids of truth (N,), or the most probable class of (N, K)."""
    return values.argmax(axis=1) if values.ndim == 2 else values.astype(np.int64)


_SEVEN = ClassView(lambda values, target: np.rint(np.clip(values, -3, 3)))
_FIVE = ClassView(lambda values, target: np.rint(np.clip(values, -2, 2)))
_NONNEGATIVE = ClassView(lambda values, target: values >= 0)
_POSITIVE = ClassView(lambda values, target: values > 0)
_POLAR = ClassView(lambda values, target: values > 0, lambda labels: labels != 0)
_SIMS_3 = ClassView(lambda values, target: np.digitize(values, _SIMS_EDGES_3, right=True))
_SIMS_5 = ClassView(lambda values, target: np.digitize(values, _SIMS_EDGES_5, right=True))
_FROM_THRESHOLD = ClassView(lambda values, target: values >= target.threshold)
_LEVEL = ClassView(_level)
_HALF = ClassView(lambda values, target: values >= 0.5)
_CLASS = ClassView(_named_class)

_MAE = _of_values("mae", measures.mean_absolute_error)
_RMSE = _of_values("rmse", measures.root_mean_squared_error)
_PEARSON = _of_values("pearson", measures.pearson)
_CCC = _of_values("ccc", measures.concordance)


def _macro(view: ClassView) -> Metric:
    return _of_classes("f1_macro", measures.macro_f1, view)


def _weighted(view: ClassView) -> Metric:
    return _of_classes("f1_weighted", measures.weighted_f1, view)


def _uar(view: ClassView) -> Metric:
    return _of_classes("uar", measures.unweighted_average_recall, view)


def _positive(view: ClassView) -> Metric:
    return _of_classes("f1_positive", measures.positive_f1, view)


_METRICS: Mapping[Suite, tuple[Metric, ...]] = {
    "mosi": (
        *(_MAE, _PEARSON, _acc("acc7", _SEVEN), _acc("acc5", _FIVE)),
        *(*_two("negative_nonnegative", _NONNEGATIVE), *_two("negative_positive", _POLAR)),
    ),
    "sims": (
        *(_MAE, _PEARSON, _acc("acc3", _SIMS_3), _acc("acc5", _SIMS_5)),
        *_two("nonpositive_positive", _POSITIVE),
    ),
    "regression": (_MAE, _PEARSON, _RMSE, _CCC),
    "phq8": (
        *(_CCC, _RMSE, _MAE, _PEARSON, _macro(_FROM_THRESHOLD)),
        *(_positive(_FROM_THRESHOLD), _auc(_FROM_THRESHOLD)),
    ),
    "ordinal": (_MAE, _RMSE, _PEARSON, _CCC, _acc("accuracy", _LEVEL), _uar(_LEVEL), _macro(_LEVEL)),
    "binary": (
        *(_acc("accuracy", _HALF), _uar(_HALF), _macro(_HALF), _weighted(_HALF)),
        *(_positive(_HALF), _auc(_HALF)),
    ),
    "multiclass": (_acc("accuracy", _CLASS), _uar(_CLASS), _macro(_CLASS), _weighted(_CLASS)),
    "multilabel": (
        Metric("weighted_accuracy", _weighted_accuracy),
        _of_labels("label_accuracy", measures.accuracy),
        _of_labels("f1_macro", measures.positive_f1),
        _of_labels("f1_weighted", measures.weighted_f1),
        Metric("auc", _auc_of_labels),
    ),
}


def metrics_of(suite: Suite) -> dict[str, Metric]:
    """The metrics of a suite by name, in the order in which they are shown."""
    return {metric.name: metric for metric in _METRICS[suite]}


def metric_names(suite: Suite) -> tuple[str, ...]:
    """The names of the metrics of a suite."""
    return tuple(metrics_of(suite))


def target_metric(corpus: Corpus, target: TargetSpec, metric: str) -> str:
    """The name of a metric without its split: of a target beside the primary one, ``<target>/<metric>``."""
    return metric if target == corpus.target else f"{target.name}/{metric}"


def evaluate(truth: Values, output: Values, target: TargetSpec) -> dict[str, float]:
    """All metrics of the suite of a target, by name.

    Args:
        truth: (N,) or (N, K) values as a split has them; NaN where one is missing.
        output: finite predictions: (N,) numbers of a scale, (N,) probabilities of the positive class, or
            (N, K) probabilities of the classes or labels.
        target: what is predicted.
    """
    found = weighted_metrics(truth, output, RowWeights.once(len(truth)), target)
    return {name: float(values_R[0]) for name, values_R in found.items()}


def weighted_metrics(
    truth: Values, output: Values, weights: RowWeights, target: TargetSpec
) -> dict[str, Floats]:
    """All metrics of the suite of a target, (R,) each: ``evaluate`` of the rows repeated by their weights."""
    there_N = np.logical_not(np.isnan(truth).reshape(len(truth), -1).any(axis=1))
    truth, output = on_scale(truth, target)[there_N], on_scale(output, target)[there_N]
    weights = weights.of(there_N)
    if not len(truth):
        undefined_R = weights.total(np.zeros(0))
        return {metric.name: undefined_R + (metric.name == "auc") / 2 for metric in _METRICS[target.suite]}
    return {metric.name: metric.value(truth, output, target, weights) for metric in _METRICS[target.suite]}


def on_scale(values: Values, target: TargetSpec) -> NDArray[np.float32]:
    """Labels or predictions as they are compared.

    In float32: a label written as 0.1 lies on the edge 0.1 in the precision it was stored in.
    """
    found = np.asarray(values, np.float32)
    return np.clip(found, -1, 1) if target.suite == "sims" else found


def largest_classes(labels: Values, target: TargetSpec) -> dict[str, float]:
    """The part of the rows in the largest class of each accuracy, which a constant prediction reaches."""
    parts = {}
    for name, rows in own_classes(labels, target).items():
        truth_M = rows.truth[rows.counted]
        counts = np.unique(truth_M, return_counts=True)[1]
        if metrics_of(target.suite)[name].is_accuracy:
            parts[name] = float(counts.max() / len(truth_M)) if len(truth_M) else 1.0
    return parts


def own_classes(labels: Values, target: TargetSpec) -> dict[str, Classes]:
    """Labels in the classes of each metric that looks at classes, taken for their own predictions."""
    labels_N = on_scale(labels, target)
    return {
        metric.name: metric.view.classes(labels_N, labels_N, target)
        for metric in _METRICS[target.suite]
        if metric.view is not None
    }


def lopsided(labels: Values, target: TargetSpec, split: str) -> list[str]:
    """A warning if nearly all labels are in one class of an accuracy, which then says next to nothing."""
    parts = {name: part for name, part in largest_classes(labels, target).items() if part >= _NEARLY_ALL}
    if not parts:
        return []
    found = ", ".join(f"{part:.1%} of {name}" for name, part in parts.items())
    advice = "see uar and f1_macro"
    if target.is_scale:
        advice = (
            f"these labels hardly use the scale of the metrics {target.suite!r}; see mae and pearson, or "
            "data.metrics"
        )
    return [
        f"{split}: one class holds nearly all labels ({found}), and always predicting it scores as much: "
        f"{advice}"
    ]
