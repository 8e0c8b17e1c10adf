"""What differs between rows of one group, once what the whole group has in common is taken out.

Rows of one speaker share a voice, a face and a way of talking. Ten speakers are ten draws of that, so whether
two sources share it cannot be learnt from a thousand rows; within the speakers, a thousand rows are nearly a
thousand draws.

Shapes: N rows, D features, G groups.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import fdtri

from mmsa.information.copula import Array, normal_scores
from mmsa.information.groups import Rows
from mmsa.measurement import Scope

_LEVEL = 0.05
_ROWS_PER_GROUP = 2
_ROUNDING = 1e-12


def scope_of(group_N: Rows) -> Scope:
    """``within_groups`` where there are two rows a group on average, so that at least half of what varies is
    left; else the rows as they are.
    """
    num_groups = int(group_N.max(initial=0)) + 1
    return "within_groups" if len(group_N) >= _ROWS_PER_GROUP * num_groups else "rows"


def is_of_groups(values: NDArray[Any], group_N: Rows) -> bool:
    """Whether the values (N, ...) differ between groups, and never between rows of one group."""
    first_G = np.unique(group_N, return_index=True)[1]
    same = (values == values[first_G][group_N]).all()
    return bool(same and len(first_G) < len(group_N) and (values != values[0]).any())


def scope_between(arrays: Iterable[NDArray[Any]], group_N: Rows) -> Scope:
    """``scope_of`` the groups, but the rows as they are where an array differs between groups alone."""
    of_groups = any(is_of_groups(values, group_N) for values in arrays)
    return "rows" if of_groups else scope_of(group_N)


def group_means(values_ND: Array, group_N: Rows) -> Array:
    """(G, D) mean of the rows of each group."""
    sums_GD = np.stack([np.bincount(group_N, values_N) for values_N in values_ND.T], 1)
    means_GD: Array = sums_GD / np.bincount(group_N)[:, None]
    return means_GD


def less_group_means(values_ND: Array, group_N: Rows) -> Array:
    """(N, D) values less the mean of their group; rounding left of a feature is 0."""
    left_ND: Array = values_ND - group_means(values_ND, group_N)[group_N]
    rounding_D = _ROUNDING * np.abs(values_ND).max(0)
    left_ND[:, np.abs(left_ND).max(0) <= rounding_D] = 0.0
    return left_ND


def less_offsets(values_ND: Array, group_N: Rows) -> Array:
    """(N, D) values less the median of their group, of the features whose groups differ by more than chance.

    Before ranks are taken: offsets beyond the spread within groups would make ranks say which group, and
    little of the place in it. The test is an analysis of variance of normal scores. Medians of a skewed
    feature cost a little of what is within, so they are not taken off without need.
    """
    num_groups, count = int(group_N.max()) + 1, len(group_N)
    scores_ND = normal_scores(values_ND)
    left_D = (less_group_means(scores_ND, group_N) ** 2).sum(0)
    between_D = (scores_ND**2).sum(0) - left_D
    ratio_D = between_D * (count - num_groups) / np.maximum(left_D, np.finfo(np.float64).tiny)
    critical = fdtri(num_groups - 1, count - num_groups, 1 - _LEVEL)
    shifted_D = ratio_D > critical * (num_groups - 1)
    if not shifted_D.any():
        return values_ND
    left_ND = values_ND.copy()
    for feature in np.flatnonzero(shifted_D):
        left_ND[:, feature] -= _medians(values_ND[:, feature], group_N)[group_N]
    return left_ND


def _medians(values_N: Array, group_N: Rows) -> Array:
    """(G,) median of the rows of each group."""
    size_G = np.bincount(group_N)
    first_G = np.cumsum(size_G) - size_G
    sorted_N = values_N[np.lexsort((values_N, group_N))]
    medians_G: Array = (sorted_N[first_G + (size_G - 1) // 2] + sorted_N[first_G + size_G // 2]) / 2
    return medians_G


def within_scores(values_ND: Array, group_N: Rows) -> Array:
    """(N, D) normal scores of the values less offsets, less what is left of the means of groups."""
    return less_group_means(normal_scores(less_offsets(values_ND, group_N)), group_N)
