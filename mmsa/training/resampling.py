"""Standard errors of metrics, and intervals of differences, from resampling the groups of a split.

Rows of one video or speaker are alike, so whole groups are drawn with replacement (cluster bootstrap; Field &
Welsh 2007).

Shapes: N rows, G groups, R resamples.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmsa.data.target_spec import Suite
from mmsa.information.groups import bootstrap_weights
from mmsa.interface import PairedDifference
from mmsa.training.metrics import TWO_CLASSES, classes, f1_name, on_scale

Floats = NDArray[np.float64]
Total = Callable[[NDArray[Any]], Floats]  # (N,) values to their (R,) weighted sums
_RESAMPLES_FOR_INTERVALS = 1000
_RESAMPLES_FOR_ERRORS = 200  # enough to know the standard error itself to 5 %
_CONSTANT = 1e-12  # a smaller part of the whole split's variance is rounding


def standard_errors(
    labels_N: NDArray[np.floating[Any]],
    predictions_N: NDArray[np.floating[Any]],
    groups_N: NDArray[np.str_],
    suite: Suite,
) -> dict[str, float]:
    """The bootstrap standard error of every metric of the suite.

    Single rows are resampled if all belong to one group.

    Args:
        labels_N: the truth.
        predictions_N: of the rows.
        groups_N: video or speaker of each row.
        suite: which metrics.
    """
    group_N = resampled_groups(groups_N)
    weights_RG = bootstrap_weights(int(group_N.max()) + 1, _RESAMPLES_FOR_ERRORS, seed=0)
    metrics = weighted_metrics(labels_N, predictions_N, group_N, weights_RG, suite)
    return {name: float(values_R.std(ddof=1)) for name, values_R in metrics.items()}


def paired_differences(
    labels_N: NDArray[np.floating[Any]],
    predictions_N: NDArray[np.floating[Any]],
    others_N: NDArray[np.floating[Any]],
    groups_N: NDArray[np.str_],
    suite: Suite,
) -> dict[str, PairedDifference]:
    """By how much each metric of one prediction exceeds that of another, with its 95 % interval.

    Both see the same resamples, so what makes rows hard for both cancels: the interval is that of the
    difference, and narrower than those of the two metrics suggest. Single rows are resampled if all belong to
    one group.

    Args:
        labels_N: the truth.
        predictions_N: from whose metrics is subtracted.
        others_N: whose metrics are subtracted.
        groups_N: video or speaker of each row.
        suite: which metrics.
    """
    group_N = resampled_groups(groups_N)
    num_groups = int(group_N.max()) + 1
    # The first row is the split as it is.
    resampled_RG = bootstrap_weights(num_groups, _RESAMPLES_FOR_INTERVALS, seed=0)
    weights_RG = np.vstack([np.ones(num_groups), resampled_RG])
    one, other = (
        weighted_metrics(labels_N, values_N, group_N, weights_RG, suite)
        for values_N in (predictions_N, others_N)
    )
    differences = {name: one[name] - other[name] for name in one}
    return {
        name: PairedDifference(float(all_R[0]), *np.quantile(all_R[1:], (0.025, 0.975)).tolist())
        for name, all_R in differences.items()
    }


def resampled_groups(groups_N: NDArray[np.str_]) -> NDArray[np.intp]:
    """(N,) the number of each row's group; its own where all rows are of one group."""
    _, group_N = np.unique(groups_N, return_inverse=True)
    return np.arange(len(groups_N)) if group_N.max() == 0 else group_N


def weighted_metrics(
    labels: NDArray[np.floating[Any]],
    predictions: NDArray[np.floating[Any]],
    group_N: NDArray[np.intp],
    weights_RG: Floats,
    suite: Suite,
) -> dict[str, Floats]:
    """Every metric, (R,), of a split in which group g occurs ``weights_RG[r, g]`` times.

    Equal to ``mmsa.training.metrics.evaluate`` on the repeated rows. All metrics are functions of sums over
    rows, so one product with the sums of each group serves all resamples.
    """
    labels_N, predictions_N = on_scale(labels, suite), on_scale(predictions, suite)

    def total(values_N: NDArray[Any]) -> Floats:
        sums_G = np.bincount(group_N, values_N, weights_RG.shape[1])
        total_R: Floats = weights_RG @ sums_G
        return total_R

    num_rows = total(np.ones(len(labels_N)))
    metrics = {
        "mae": total(np.abs(predictions_N - labels_N).astype(np.float64)) / num_rows,
        "pearson": _pearson(labels_N.astype(np.float64), predictions_N.astype(np.float64), total, num_rows),
    }
    for name, rows in classes(labels_N, predictions_N, suite).items():
        right_N = rows.truth == rows.predicted
        metrics[name] = _ratio(total(right_N & rows.counted), total(rows.counted))
        if name.startswith(TWO_CLASSES):
            metrics[f1_name(name)] = _weighted_f1(rows.truth, right_N, rows.counted, total)
    return metrics


def _pearson(labels_N: Floats, predictions_N: Floats, total: Total, num_rows: Floats) -> Floats:
    x_N, y_N = labels_N - labels_N.mean(), predictions_N - predictions_N.mean()  # against cancellation below
    x, y = total(x_N) / num_rows, total(y_N) / num_rows
    covariance = total(x_N * y_N) / num_rows - x * y
    x_variance, y_variance = total(x_N**2) / num_rows - x**2, total(y_N**2) / num_rows - y**2
    constant = (x_variance <= _CONSTANT * np.var(x_N)) | (y_variance <= _CONSTANT * np.var(y_N))
    return _ratio(np.where(constant, 0.0, covariance), np.sqrt(np.maximum(x_variance * y_variance, 0.0)))


def _weighted_f1(
    truth_N: NDArray[np.bool_], right_N: NDArray[np.bool_], counted_N: NDArray[np.bool_], total: Total
) -> Floats:
    """F1 of both classes, weighted by how many labels each has."""
    errors = total(~right_N & counted_N)

    def f1_times_size(class_N: NDArray[np.bool_]) -> Floats:
        hits = total(class_N & right_N & counted_N)
        return total(class_N & counted_N) * _ratio(2 * hits, 2 * hits + errors)

    return _ratio(f1_times_size(truth_N) + f1_times_size(~truth_N), total(counted_N))


def _ratio(numerator: Floats, denominator: Floats) -> Floats:
    """A ratio that is 0 where it is undefined, as in ``evaluate``."""
    return np.divide(numerator, denominator, out=np.zeros_like(denominator), where=denominator > 0)
