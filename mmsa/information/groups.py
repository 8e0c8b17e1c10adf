"""Folds, resamples and permutations that keep the rows of a video or a speaker together.

Rows of one group are alike. A group that is split over training and held-out rows makes an estimate too
large, a bootstrap over rows makes its interval too narrow, and a permutation of rows its null.

Shapes: N rows, G groups, R resamples, Q quantities.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import stdtrit

from mmsa.errors import DataError

Floats = NDArray[np.float64]
Rows = NDArray[np.int64]
_DRAWN_FOR_BALANCE = 20
_LIKE_SIZE = 2.5  # ranks by size, up or down, over which groups change places


def group_codes(groups: ArrayLike | None, num_rows: int) -> Rows:
    """Number the groups of rows 0 .. G - 1. Without groups, every row is its own.

    Returns:
        (N,) the group of each row.

    Raises:
        DataError: If there is not one group per row.

    Examples:
        >>> group_codes(["b", "a", "b"], num_rows=3)
        array([1, 0, 1])
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
    """Deal groups to folds at random.

    Returns:
        (N,) the fold of each row.

    Raises:
        DataError: If there are fewer groups than folds.

    Examples:
        >>> fold_N = group_folds(np.array([0, 0, 1, 1, 2, 2]), num_folds=3, seed=0)
        >>> sorted(set(zip(fold_N[::2].tolist(), fold_N[1::2].tolist())))
        [(0, 0), (1, 1), (2, 2)]
    """
    num_groups = len(np.unique(group_N))
    if num_groups < num_folds:
        raise DataError(
            f"{num_groups} groups cannot fill {num_folds} folds; use at most {num_groups}, or more data"
        )
    fold_N = np.empty(len(group_N), dtype=np.int64)
    # As scikit-learn's GroupKFold shuffles, which every trial that measures would import for this.
    shuffled = np.random.RandomState(seed).permutation(np.unique(group_N))
    for fold, members in enumerate(np.array_split(shuffled, num_folds)):
        fold_N[np.isin(group_N, members)] = fold
    return fold_N


def permuted_rows(group_N: Rows, generator: np.random.Generator) -> Rows:
    """Permute rows by letting whole groups change places.

    Every group receives the rows of another one of about its size, and neighbours stay neighbours: a stretch
    of it if it is longer, there and back again if it is shorter. So what the rows of a group have in common
    stays in common, whatever the sizes. A group that falls to its own place is read from another row on.
    Groups of one row each are permuted.

    Returns:
        (N,) the row whose value each row receives.

    Examples:
        >>> permuted_rows(np.array([0, 0, 1, 1]), np.random.default_rng(0))
        array([1, 0, 3, 2])
    """
    pieces = pieces_of(group_N)
    if len(pieces) == len(group_N):
        return generator.permutation(len(group_N))
    size_G = np.array([len(piece) for piece in pieces])
    places, by_size = (np.lexsort((generator.random(len(pieces)), size_G)) for _ in range(2))
    rank_G = np.arange(len(pieces)) + generator.uniform(-_LIKE_SIZE, _LIKE_SIZE, len(pieces))
    partners = by_size[np.argsort(rank_G)]
    received_N = np.empty(len(group_N), np.int64)
    for place, partner in zip(places, partners, strict=True):
        path = np.concatenate([pieces[partner], pieces[partner][::-1]])
        spare = len(path) if place == partner else size_G[partner] - size_G[place] + 1
        start = generator.integers(spare) if spare > 0 else 0
        received_N[pieces[place]] = path[(start + np.arange(size_G[place])) % len(path)]
    return received_N


def group_signs(
    group_N: Rows, count: int, generator: np.random.Generator, *, balanced: bool = False
) -> Floats:
    """Draw random signs for whole groups, (count, G).

    If y is independent of x and, group by group, as likely as its negative, the moments of x and signed y are
    distributed as those of x and y, whatever the sizes of the groups and the order within them: an exact test
    (Lehmann and Romano 2005, ch. 15). If y depends on x, ``balanced`` signs, about as many rows positive as
    negative, cancel what all groups share, and the mean over them is that of no dependence.

    Examples:
        >>> signs_PG = group_signs(np.array([0, 0, 1]), 3, np.random.default_rng(0))
        >>> signs_PG.shape, sorted(set(abs(signs_PG).flatten().tolist()))
        ((3, 2), [1.0])
    """
    size_G = np.bincount(group_N)
    drawn = count * _DRAWN_FOR_BALANCE if balanced else count
    signs_PG: Floats = generator.choice([-1.0, 1.0], (drawn, len(size_G)))
    if balanced:
        signs_PG = signs_PG[np.argsort(np.abs(signs_PG @ size_G), kind="stable")[:count]]
    return signs_PG


def effective_groups(group_N: Rows) -> float:
    """Return how many groups of equal size would be worth as much: rows squared over squared sizes.

    Examples:
        >>> effective_groups(np.array([0, 0, 0, 1]))  # 4^2 / (3^2 + 1^2)
        1.6
    """
    size_G = np.bincount(group_N).astype(np.float64)
    return float(size_G.sum() ** 2 / (size_G**2).sum())


def interval_of_mean(terms_N: Floats, group_N: Rows, level: float) -> tuple[float, float]:
    """Confidence interval of the mean of the terms, by Student's t over the sums of groups.

    The degrees of freedom are those of the effective groups, since a few large ones decide a sum (Carter,
    Schnepel and Steigerwald 2017).

    Examples:
        >>> low, high = interval_of_mean(np.array([0.0, 1.0, 2.0, 3.0]), np.arange(4), level=0.9)
        >>> round(low, 3), round(high, 3)
        (-0.019, 3.019)
    """
    # Not a bootstrap: of ten groups it is too narrow by a twentieth for its spread and by a tenth for its
    # quantiles.
    mean, size_G = float(terms_N.mean()), np.bincount(group_N)
    deviation_G = np.bincount(group_N, terms_N) - mean * size_G
    num_groups = len(size_G)
    error = math.sqrt(num_groups / (num_groups - 1) * float((deviation_G**2).sum())) / len(terms_N)
    freedom = max(1.0, effective_groups(group_N) - 1)
    half = float(stdtrit(freedom, 0.5 + level / 2)) * error
    return mean - half, mean + half


def pieces_of(group_N: Rows) -> list[Rows]:
    """Return the rows of each group, in their order.

    Examples:
        >>> [piece.tolist() for piece in pieces_of(np.array([1, 0, 1]))]
        [[1], [0, 2]]
    """
    of_group = np.argsort(group_N, kind="stable")
    return np.split(of_group, np.flatnonzero(np.diff(group_N[of_group])) + 1)


def group_sums(values_QN: Floats, group_N: Rows) -> Floats:
    """Sum the values over the rows of each group, (Q, G).

    Examples:
        >>> group_sums(np.array([[1.0, 2.0, 3.0]]), np.array([0, 1, 0]))
        array([[4., 2.]])
    """
    num_groups = int(group_N.max()) + 1
    sums_QG: Floats = np.stack([np.bincount(group_N, values_N, num_groups) for values_N in values_QN])
    return sums_QG


def bootstrap_weights(num_groups: int, num_resamples: int, seed: int) -> Floats:
    """Draw a cluster bootstrap (Field & Welsh 2007): how often each group is in each resample, (R, G).

    Statistics that are computed with the same weights are resampled alike, so that differences are paired.

    Examples:
        >>> bootstrap_weights(num_groups=5, num_resamples=2, seed=0).sum(1)
        array([5., 5.])
    """
    draws_RG = np.random.default_rng(seed).multinomial(
        num_groups, [1 / num_groups] * num_groups, num_resamples
    )
    return draws_RG.astype(np.float64)
