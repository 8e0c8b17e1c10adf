"""The formulas of all metrics, of weighted rows.

Each takes truth and output and the weights of the rows and gives (R,) values, one for each resample, equal to
those of the repeated rows. What is undefined, such as the correlation with a constant, is 0; an AUC without
both classes is 1/2.

Shapes: N rows, R resamples, K labels.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmsa.training.row_weights import Floats, RowWeights, ratio

_CONSTANT = 1e-12  # a smaller part of the whole split's variance is rounding


def mean_absolute_error(truth_N: NDArray[Any], output_N: NDArray[Any], weights: RowWeights) -> Floats:
    """Mean of |output - truth|."""
    return ratio(weights.total(np.abs(output_N - truth_N)), weights.total(np.ones(len(truth_N))))


def root_mean_squared_error(truth_N: NDArray[Any], output_N: NDArray[Any], weights: RowWeights) -> Floats:
    """Root of the mean of (output - truth)^2."""
    errors_N = output_N.astype(np.float64) - truth_N.astype(np.float64)
    found: Floats = np.sqrt(ratio(weights.total(errors_N**2), weights.total(np.ones(len(truth_N)))))
    return found


@dataclass(frozen=True)
class _Moments:
    """Population moments of truth x and output y, (R,) each."""

    x_variance: Floats
    y_variance: Floats
    covariance: Floats
    gap: Floats  # of the means

    @classmethod
    def of(cls, truth_N: NDArray[Any], output_N: NDArray[Any], weights: RowWeights) -> _Moments:
        truth, output = truth_N.astype(np.float64), output_N.astype(np.float64)
        # Against cancellation below: means of squares are of deviations from the means of the whole split.
        x_N, y_N = truth - truth.mean(), output - output.mean()
        num_rows = np.maximum(weights.total(np.ones(len(truth))), 1)
        x, y = weights.total(x_N) / num_rows, weights.total(y_N) / num_rows
        covariance = weights.total(x_N * y_N) / num_rows - x * y
        x_variance = _above_rounding(weights.total(x_N**2) / num_rows - x**2, x_N)
        y_variance = _above_rounding(weights.total(y_N**2) / num_rows - y**2, y_N)
        constant = (x_variance == 0) | (y_variance == 0)
        gap = truth.mean() - output.mean() + x - y
        return cls(x_variance, y_variance, np.where(constant, 0.0, covariance), gap)


def _above_rounding(variance_R: Floats, values_N: Floats) -> Floats:
    return np.where(variance_R <= _CONSTANT * np.var(values_N), 0.0, variance_R)


def pearson(truth_N: NDArray[Any], output_N: NDArray[Any], weights: RowWeights) -> Floats:
    """Pearson correlation; 0 if either is constant."""
    moments = _Moments.of(truth_N, output_N, weights)
    return ratio(moments.covariance, np.sqrt(moments.x_variance * moments.y_variance))


def concordance(truth_N: NDArray[Any], output_N: NDArray[Any], weights: RowWeights) -> Floats:
    """Concordance correlation, 2 cov / (var x + var y + (mean x - mean y)^2), with population moments.

    Lin 1989, and the measure of the AVEC challenges.
    """
    moments = _Moments.of(truth_N, output_N, weights)
    return ratio(2 * moments.covariance, moments.x_variance + moments.y_variance + moments.gap**2)


@dataclass(frozen=True)
class Classes:
    """Truth and output sorted into classes.

    Attributes:
        truth: (N,) class of each row.
        predicted: (N,) class that is predicted.
        counted: (N,) whether the row counts.
    """

    truth: NDArray[Any]
    predicted: NDArray[Any]
    counted: NDArray[np.bool_]

    def counts(self, weights: RowWeights) -> Iterator[tuple[Floats, Floats, Floats]]:
        """Of each class that occurs: rows of it, rows predicted to be of it, and rows that are both."""
        for name in np.unique(np.concatenate([self.truth[self.counted], self.predicted[self.counted]])):
            yield class_counts(self, name, weights)


def class_counts(rows: Classes, name: Any, weights: RowWeights) -> tuple[Floats, Floats, Floats]:
    """Rows of a class, rows that are predicted to be of it, and rows that are both, (R,) each."""
    truth_N, predicted_N = (rows.truth == name) & rows.counted, (rows.predicted == name) & rows.counted
    return weights.total(truth_N), weights.total(predicted_N), weights.total(truth_N & predicted_N)


def accuracy(rows: Classes, weights: RowWeights) -> Floats:
    """Part of the rows that is right."""
    right_N = (rows.truth == rows.predicted) & rows.counted
    return ratio(weights.total(right_N), weights.total(rows.counted))


def weighted_f1(rows: Classes, weights: RowWeights) -> Floats:
    """F1 of each class, weighted by how many rows are of it."""
    parts = [size * ratio(2 * hits, size + told) for size, told, hits in rows.counts(weights)]
    size = weights.total(rows.counted)
    return ratio(np.sum(parts, axis=0), size) if parts else np.zeros_like(size)


def macro_f1(rows: Classes, weights: RowWeights) -> Floats:
    """Mean F1 of the classes that occur in truth or predictions."""
    parts = [(2 * hits, size + told) for size, told, hits in rows.counts(weights)]
    return _mean_where_defined(parts, weights)


def unweighted_average_recall(rows: Classes, weights: RowWeights) -> Floats:
    """Mean recall of the classes that occur in the truth (UAR, balanced accuracy)."""
    return _mean_where_defined([(hits, size) for size, _, hits in rows.counts(weights)], weights)


def _mean_where_defined(parts: list[tuple[Floats, Floats]], weights: RowWeights) -> Floats:
    if not parts:
        return np.zeros_like(weights.total(np.zeros(len(weights.group))))
    found = [ratio(numerator, denominator) for numerator, denominator in parts]
    defined = [(denominator > 0).astype(np.float64) for _, denominator in parts]
    return ratio(np.sum(found, axis=0), np.sum(defined, axis=0))


def positive_f1(rows: Classes, weights: RowWeights) -> Floats:
    """F1 of the positive class."""
    size, told, hits = class_counts(rows, True, weights)
    return ratio(2 * hits, size + told)


def area_under_curve(positive_N: NDArray[np.bool_], output_N: NDArray[Any], weights: RowWeights) -> Floats:
    """Part of the pairs of a positive and a negative row that are in order; equal outputs count half."""
    order = np.argsort(output_N, kind="stable")
    positive, output = positive_N[order], output_N[order]
    starts = np.flatnonzero(np.r_[True, output[1:] != output[:-1]])
    found = []
    for block_RN in weights.blocks():
        sorted_RN = block_RN[:, order]
        of_RU = np.add.reduceat(sorted_RN * positive, starts, axis=1)
        against_RU = np.add.reduceat(sorted_RN * ~positive, starts, axis=1)
        below_RU = np.cumsum(against_RU, axis=1) - against_RU / 2
        pairs_R = of_RU.sum(axis=1) * against_RU.sum(axis=1)
        found.append(ratio((of_RU * below_RU).sum(axis=1), pairs_R, undefined=0.5))
    return np.concatenate(found)


def two_class_accuracy(rows: Classes, weights: RowWeights) -> tuple[Floats, NDArray[np.bool_]]:
    """(TP N / P + TN) / 2N, the weighted accuracy of CMU-MOSEI's emotions; and whether it is defined."""
    size, _, hits = class_counts(rows, True, weights)
    others, _, rejections = class_counts(rows, False, weights)
    return (ratio(hits, size) + ratio(rejections, others)) / 2, (size > 0) & (others > 0)
