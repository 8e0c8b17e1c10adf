"""Standard errors of metrics, and intervals of differences, from resampling the groups of a split.

Rows of one video or speaker are alike, so whole groups are drawn with replacement (cluster bootstrap; Field &
Welsh 2007).

Shapes: N rows, G groups, R resamples. Labels and predictions are (N,), or (N, K) as ``evaluate`` takes them.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmsa.data.target_spec import TargetSpec
from mmsa.information.groups import bootstrap_weights
from mmsa.interface import PairedDifference
from mmsa.training.metrics import weighted_metrics
from mmsa.training.row_weights import RowWeights

_RESAMPLES_FOR_INTERVALS = 1000
_RESAMPLES_FOR_ERRORS = 200  # enough to know the standard error itself to 5 %


def standard_errors(
    labels_N: NDArray[np.floating[Any]],
    predictions_N: NDArray[np.floating[Any]],
    groups_N: NDArray[np.str_],
    target: TargetSpec,
) -> dict[str, float]:
    """The bootstrap standard error of every metric of the target.

    Single rows are resampled if all belong to one group.

    Args:
        labels_N: the truth.
        predictions_N: of the rows.
        groups_N: video or speaker of each row.
        target: what is predicted.
    """
    group_N = resampled_groups(groups_N)
    weights_RG = bootstrap_weights(int(group_N.max()) + 1, _RESAMPLES_FOR_ERRORS, seed=0)
    metrics = weighted_metrics(labels_N, predictions_N, RowWeights(group_N, weights_RG), target)
    return {name: float(values_R.std(ddof=1)) for name, values_R in metrics.items()}


def paired_differences(
    labels_N: NDArray[np.floating[Any]],
    predictions_N: NDArray[np.floating[Any]],
    others_N: NDArray[np.floating[Any]],
    groups_N: NDArray[np.str_],
    target: TargetSpec,
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
        target: what is predicted.
    """
    group_N = resampled_groups(groups_N)
    num_groups = int(group_N.max()) + 1
    # The first row is the split as it is.
    resampled_RG = bootstrap_weights(num_groups, _RESAMPLES_FOR_INTERVALS, seed=0)
    weights_RG = np.vstack([np.ones(num_groups), resampled_RG])
    one, other = (
        weighted_metrics(labels_N, values_N, RowWeights(group_N, weights_RG), target)
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
