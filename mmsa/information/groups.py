"""Rows that belong together: folds, resamples and permutations that keep a video or a speaker in one piece.

Rows of one group are alike, so a group split over training and held-out rows makes an estimate too large, a
bootstrap over rows makes its interval too narrow, and a permutation of rows makes its null too narrow.
Shapes: N rows, G groups, R resamples, Q quantities.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.model_selection import GroupKFold

from mmsa.errors import DataError

Floats = NDArray[np.float64]
Rows = NDArray[np.int64]


def group_codes(groups: ArrayLike | None, num_rows: int) -> Rows:
    """(N,) group of each row as 0 .. G - 1; without groups every row is its own.

    Raises:
        DataError: for another number of groups than rows.
    """
    if groups is None:
        return np.arange(num_rows, dtype=np.int64)
    names_N: NDArray[Any] = np.asarray(groups)
    if names_N.shape != (num_rows,):
        raise DataError(
            f"groups have the shape {names_N.shape}, but there are {num_rows} rows; give one group a row"
        )
    return np.unique(names_N, return_inverse=True)[1].astype(np.int64)


def group_folds(group_N: Rows, num_folds: int, seed: int) -> Rows:
    """(N,) fold of each row: groups are dealt to folds at random.

    Raises:
        DataError: for fewer groups than folds.
    """
    num_groups = len(np.unique(group_N))
    if num_groups < num_folds:
        raise DataError(
            f"{num_groups} groups cannot fill {num_folds} folds; use at most {num_groups}, or more data"
        )
    fold_N = np.empty(len(group_N), dtype=np.int64)
    splitter = GroupKFold(num_folds, shuffle=True, random_state=seed)
    for fold, (_, rows) in enumerate(splitter.split(group_N, groups=group_N)):
        fold_N[rows] = fold
    return fold_N


def permuted_rows(group_N: Rows, generator: np.random.Generator) -> Rows:
    """(N,) the row whose value each row receives when whole groups change places.

    The values of a group stay neighbours and keep their order, so what rows of one group have in common is
    broken up only where groups of different sizes do not fit.
    """
    of_group = np.argsort(group_N, kind="stable")
    starts = np.flatnonzero(np.diff(group_N[of_group], prepend=-1))
    pieces = np.split(of_group, starts[1:])
    source = np.concatenate([pieces[piece] for piece in generator.permutation(len(pieces))])
    received_N = np.empty_like(source)
    received_N[of_group] = source
    return received_N


def group_sums(values_QN: Floats, group_N: Rows) -> Floats:
    """(Q, G) sums of the values over the rows of each group."""
    num_groups = int(group_N.max()) + 1
    sums_QG: Floats = np.stack([np.bincount(group_N, values_N, num_groups) for values_N in values_QN])
    return sums_QG


def bootstrap_weights(num_groups: int, num_resamples: int, seed: int) -> Floats:
    """(R, G) how often each group is drawn in each resample of as many groups as there are.

    Every statistic computed with the same weights is resampled alike, so differences are paired (cluster
    bootstrap; Field & Welsh 2007).
    """
    draws_RG = np.random.default_rng(seed).multinomial(
        num_groups, [1 / num_groups] * num_groups, num_resamples
    )
    return draws_RG.astype(np.float64)
