"""Rows that belong together: folds, resamples and permutations that keep a video or a speaker in one piece.

Rows of one group are alike, so a group split over training and held-out rows makes an estimate too large, a
bootstrap over rows makes its interval too narrow, and a permutation of rows makes its null too narrow.
Shapes: N rows, G groups, R resamples, Q quantities.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import t as student
from sklearn.model_selection import GroupKFold

from mmsa.errors import DataError

Floats = NDArray[np.float64]
Rows = NDArray[np.int64]
_DRAWN_FOR_BALANCE = 20
_LIKE_SIZE = 2.5  # ranks by size, up or down, over which groups change places


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

    Every group receives the rows of one other of about its size, neighbours staying neighbours: a stretch of
    it where it is longer, there and back again where it is shorter. So what rows of one group have in common
    stays in common, whatever the sizes. A group whose place falls to itself is read from another row on.
    Groups of one row each are permuted.
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
    """(count, G) signs, each for all rows of a group.

    Where y is independent of x and as likely as its negative, group by group, the moments of x and signed y
    are distributed as those of x and y, whatever the sizes of the groups and the order within them: an exact
    test (Lehmann and Romano 2005, ch. 15). Where it depends on x, ``balanced`` signs, about as many rows
    positive as negative, cancel what all groups share: the mean over them is that of no dependence.
    """
    size_G = np.bincount(group_N)
    drawn = count * _DRAWN_FOR_BALANCE if balanced else count
    signs_PG: Floats = generator.choice([-1.0, 1.0], (drawn, len(size_G)))
    if balanced:
        signs_PG = signs_PG[np.argsort(np.abs(signs_PG @ size_G), kind="stable")[:count]]
    return signs_PG


def effective_groups(group_N: Rows) -> float:
    """As many groups of equal size would be worth as much: the rows squared over the squared sizes."""
    size_G = np.bincount(group_N).astype(np.float64)
    return float(size_G.sum() ** 2 / (size_G**2).sum())


def interval_of_mean(terms_N: Floats, group_N: Rows, level: float) -> tuple[float, float]:
    """The interval of the mean of the terms over other groups: Student's t over sums of groups.

    A bootstrap of ten groups is too narrow by a twentieth for its spread and by a tenth for its quantiles.
    The degrees of freedom are those of the effective groups: a few large ones decide a sum (Carter, Schnepel
    and Steigerwald 2017).
    """
    mean, size_G = float(terms_N.mean()), np.bincount(group_N)
    deviation_G = np.bincount(group_N, terms_N) - mean * size_G
    num_groups = len(size_G)
    error = math.sqrt(num_groups / (num_groups - 1) * float((deviation_G**2).sum())) / len(terms_N)
    freedom = max(1.0, effective_groups(group_N) - 1)
    half = float(student.ppf(0.5 + level / 2, freedom)) * error
    return mean - half, mean + half


def pieces_of(group_N: Rows) -> list[Rows]:
    """The rows of each group, in their order."""
    of_group = np.argsort(group_N, kind="stable")
    return np.split(of_group, np.flatnonzero(np.diff(group_N[of_group])) + 1)


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
