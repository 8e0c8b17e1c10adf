"""Confidence intervals of test metrics: the cluster bootstrap.

Rows of one video or speaker are alike, so whole groups are drawn with replacement (Field & Welsh 2007), and
intervals are percentiles. They say how the result would vary over other videos, not over seeds.

Shapes: N rows, G groups, S seeds, R resamples.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmsa.data.target_spec import TargetSpec
from mmsa.information.groups import bootstrap_weights
from mmsa.training.metrics import weighted_metrics
from mmsa.training.row_weights import Floats, RowWeights

_RESAMPLES = 2000
_LEVELS = (0.90, 0.95)


@dataclass(frozen=True)
class Interval:
    """A metric averaged over seeds, with its 90 % and 95 % intervals.

    Attributes:
        estimate: on the split as it is.
        low90: None, as every bound, where there is only one group.
        high90: likewise.
        low95: likewise.
        high95: likewise.
    """

    estimate: float
    low90: float | None = None
    high90: float | None = None
    low95: float | None = None
    high95: float | None = None


def cluster_bootstrap(
    labels_N: NDArray[np.floating[Any]],
    predictions_SN: NDArray[np.floating[Any]],
    groups_N: NDArray[np.str_],
    target: TargetSpec,
    seed: int = 0,
) -> dict[str, Interval]:
    """Intervals of every metric of the target, averaged over seeds.

    All seeds and metrics see the same resamples, each of G groups.

    Args:
        labels_N: of the split.
        predictions_SN: of each seed.
        groups_N: video or speaker of each row.
        target: what is predicted.
        seed: of the resampling.
    """
    names, group_N = np.unique(groups_N, return_inverse=True)
    num_groups = len(names)
    # The first row is the split as it is.
    weights_RG = np.vstack([np.ones(num_groups), bootstrap_weights(num_groups, _RESAMPLES, seed)])
    # A resample is a weight for each group, and metrics are computed from weights: no rows are copied, and
    # all resamples are one product.
    weights = RowWeights(group_N, weights_RG)
    by_seed = [weighted_metrics(labels_N, predictions_N, weights, target) for predictions_N in predictions_SN]
    means = {name: np.mean([metrics[name] for metrics in by_seed], axis=0) for name in by_seed[0]}
    return {name: _interval(values_R[0], values_R[1:], num_groups) for name, values_R in means.items()}


def _interval(estimate: np.float64, resampled_R: Floats, num_groups: int) -> Interval:
    if num_groups < 2:
        return Interval(float(estimate))
    tails = [(1 - level) / 2 for level in _LEVELS]
    bounds = [np.quantile(resampled_R, (tail, 1 - tail)).tolist() for tail in tails]
    return Interval(float(estimate), *bounds[0], *bounds[1])
