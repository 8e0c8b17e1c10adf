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
    weights = group_resamples(groups_N, seed)
    one_group = len(np.unique(groups_N)) < 2
    by_seed = [weighted_metrics(labels_N, predictions_N, weights, target) for predictions_N in predictions_SN]
    means = {name: np.mean([metrics[name] for metrics in by_seed], axis=0) for name in by_seed[0]}
    return {
        name: Interval(float(values_R[0])) if one_group else interval_of(values_R)
        for name, values_R in means.items()
    }


def group_resamples(groups_N: NDArray[np.str_], seed: int = 0) -> RowWeights:
    """Weights of the rows as they are, and then of each resample of whole groups.

    A resample is a weight for each group, and metrics are computed from weights: no rows are copied, and all
    resamples are one product.
    """
    names, group_N = np.unique(groups_N, return_inverse=True)
    drawn_RG = bootstrap_weights(len(names), _RESAMPLES, seed)
    return RowWeights(group_N, np.vstack([np.ones(len(names)), drawn_RG]))


def interval_of(values_R: Floats) -> Interval:
    """The interval of a value, which comes first, from those of the resamples."""
    tails = [(1 - level) / 2 for level in _LEVELS]
    bounds = [np.quantile(values_R[1:], (tail, 1 - tail)).tolist() for tail in tails]
    return Interval(float(values_R[0]), *bounds[0], *bounds[1])
