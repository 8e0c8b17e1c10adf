"""Partial information decomposition of two discrete sources and a target (Bertschinger et al. 2014, BROJA).

Over all q(a, b, y) with q(a, y) = p(a, y) and q(b, y) = p(b, y), the least I_q(A, B; Y) is the *union*
information, and redundancy = I(A; Y) + I(B; Y) - union, synergy = I_p(A, B; Y) - union. Redundancy and
uniqueness depend on the two pairs alone. Only synergy needs the joint distribution, and only one number of
it, which held-out cross-entropy gives without filling a joint table, whose empty cells look like synergy.

Sources become discrete as cells of alike predictions: p(y | x_m) is all that x_m knows about the target, and
redundancy depends on (x_m, y) alone. Only the two tables (cell, y) are counted. Each reads
(k - 1)(C - 1) / 2N nats too much, which the number of cells k keeps below 0.02 bits.

Shapes: A and B values of the sources, Y of the target; any leading axes, T tables in all, are solved at
once. N rows, G groups, R resamples, C classes. In nats.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import rel_entr, xlogy

from mmsa.errors import DataError
from mmsa.information.groups import Rows
from mmsa.information.target.predictive import PredictiveDistribution

Floats = NDArray[np.float64]
_MOST_SWEEPS, _SWEEPS_PER_CHECK = 2000, 20
_TOLERANCE = 1e-7


@dataclass(frozen=True)
class Atoms:
    """The atoms of a decomposition, each (...) in nats. They add up to I(A, B; Y).

    Attributes:
        redundancy: What both sources say.
        unique_a: What only A says.
        unique_b: What only B says.
        synergy: What only both together say.
    """

    redundancy: Floats
    unique_a: Floats
    unique_b: Floats
    synergy: Floats


def information(joint_AY: Floats) -> Floats:
    """Return the information between the last two axes of a table of probabilities (..., A, Y), in nats.

    Examples:
        >>> information(np.array([[0.5, 0.0], [0.0, 0.5]])).round(4)  # ln 2
        np.float64(0.6931)
    """
    product_AY = joint_AY.sum(-1, keepdims=True) * joint_AY.sum(-2, keepdims=True)
    total: Floats = rel_entr(joint_AY, product_AY).sum((-1, -2))
    return total


def broja(joint_ABY: Floats) -> Atoms:
    """Decompose a table of probabilities (..., A, B, Y).

    Raises:
        DataError: If the table has entries that are negative or not finite, or does not sum to 1.

    Examples:
        >>> xor = np.zeros((2, 2, 2))
        >>> for a in (0, 1):
        ...     for b in (0, 1):
        ...         xor[a, b, a ^ b] = 0.25
        >>> found = broja(xor)
        >>> abs(found.redundancy.round(4)), found.synergy.round(4)  # ln 2
        (np.float64(0.0), np.float64(0.6931))
    """
    _refuse_improper(joint_ABY)
    first_AY, second_BY = joint_ABY.sum(-2), joint_ABY.sum(-3)
    *leading, _, _, num_targets = joint_ABY.shape
    whole = information(joint_ABY.reshape(*leading, -1, num_targets))
    union = union_information(first_AY, second_BY)
    first, second = information(first_AY), information(second_BY)
    return Atoms(first + second - union, union - second, union - first, whole - union)


def broja_redundancy(first_AY: Floats, second_BY: Floats) -> Floats:
    """Return the redundancy of the pairs (..., A, Y) and (..., B, Y), which have to agree about Y.

    Examples:
        >>> copy = np.array([[0.5, 0.0], [0.0, 0.5]])
        >>> broja_redundancy(copy, copy).round(4)  # both know Y: ln 2
        np.float64(0.6931)
    """
    return information(first_AY) + information(second_BY) - union_information(first_AY, second_BY)


def union_information(first_AY: Floats, second_BY: Floats) -> Floats:
    """Return the least I(A, B; Y) with these pairs, in nats.

    Examples:
        >>> copy = np.array([[0.5, 0.0], [0.0, 0.5]])
        >>> union_information(copy, copy).round(4)
        np.float64(0.6931)
    """
    # It is the least divergence between q(a, b | y) with the given marginals and an r(a, b) that does not
    # depend on y. Alternating minimisation: r is the mean of q over y; for each y, q is r scaled to its
    # marginals, one step of Sinkhorn's iteration at a time from where the last one stood. Both sets are
    # convex, and a fixed point fulfils the conditions of the optimum.
    shape, num_targets = first_AY.shape[:-2], first_AY.shape[-1]
    weight_TY = first_AY.sum(-2).reshape(-1, num_targets)
    weight_T1Y = weight_TY[:, None]
    first_TAY = _divided(first_AY.reshape(-1, *first_AY.shape[-2:]), weight_T1Y)
    second_TBY = _divided(second_BY.reshape(-1, *second_BY.shape[-2:]), weight_T1Y)
    union_T = np.full(len(weight_TY), np.inf)
    moving = np.arange(len(weight_TY))
    mixture_TAB = (first_TAY * weight_T1Y) @ second_TBY.mT
    column_TBY = np.ones_like(second_TBY)
    for sweep in range(1, _MOST_SWEEPS + 1):
        row_TAY = _divided(first_TAY, mixture_TAB @ column_TBY)
        column_TBY = _divided(second_TBY, mixture_TAB.mT @ row_TAY)
        mixture_TAB = mixture_TAB * ((row_TAY * weight_T1Y) @ column_TBY.mT)
        if sweep % _SWEEPS_PER_CHECK == 0:
            terms_TAY, terms_TBY = xlogy(first_TAY, row_TAY), xlogy(second_TBY, column_TBY)
            latest_T = ((terms_TAY.sum(1) + terms_TBY.sum(1)) * weight_T1Y[:, 0]).sum(1)
            kept = np.abs(latest_T - union_T[moving]) > _TOLERANCE
            union_T[moving] = latest_T
            if not kept.any():
                break
            moving, weight_T1Y, mixture_TAB = moving[kept], weight_T1Y[kept], mixture_TAB[kept]
            first_TAY, second_TBY, column_TBY = first_TAY[kept], second_TBY[kept], column_TBY[kept]
    return union_T.reshape(shape)


def _divided(numerator: Floats, denominator: Floats) -> Floats:
    """Quotient that is 0 where the denominator is."""
    shape = np.broadcast_shapes(numerator.shape, denominator.shape)
    return np.divide(numerator, denominator, out=np.zeros(shape), where=denominator > 0)


def _refuse_improper(joint_ABY: Floats) -> None:
    if joint_ABY.ndim < 3:
        raise DataError(
            f"a table of shape {joint_ABY.shape}; its last axes have to be source, source, target"
        )
    if not np.isfinite(joint_ABY).all() or (joint_ABY < 0).any():
        raise DataError("the table has negative or not finite entries; give probabilities")
    total = joint_ABY.sum((-1, -2, -3))
    if not np.allclose(total, 1.0):
        worst = total.flat[np.abs(total - 1.0).argmax()]
        raise DataError(f"the table sums to {worst:.6g}; divide counts by their sum")


_CELLS_PER_ROW = 0.0277  # 2 ln(2) * 0.02 bits
_MOST_CELLS = 12


def most_cells(num_rows: int, num_classes: int) -> int:
    """Return how many cells keep the bias of a counted table below 0.02 bits.

    Examples:
        >>> most_cells(686, 2), most_cells(4659, 2)
        (12, 12)
    """
    return int(np.clip(1 + _CELLS_PER_ROW * num_rows / (num_classes - 1), 2, _MOST_CELLS))


def cells(predicted: PredictiveDistribution, num_cells: int, seed: int) -> Rows:
    """Put rows with alike predictions into cells, (N,), by k-means on Hellinger's distance."""
    from sklearn.cluster import KMeans
    from sklearn.exceptions import ConvergenceWarning

    moved_NC = np.exp(0.5 * predicted.conditional) - np.exp(0.5 * predicted.marginal)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # fewer different predictions than cells
        cell_N: Rows = KMeans(num_cells, n_init=3, random_state=seed).fit_predict(moved_NC).astype(np.int64)
    return cell_N


def tables(cell_N: Rows, class_N: Rows, group_N: Rows, weights_RG: Floats) -> Floats:
    """Return probabilities (R, A, C) of (cell, class) under each weighting of the groups."""
    num_cells, num_classes, num_groups = int(cell_N.max()) + 1, int(class_N.max()) + 1, weights_RG.shape[1]
    joint_N = (cell_N * num_classes + class_N) * num_groups + group_N
    counts = np.bincount(joint_N, minlength=num_cells * num_classes * num_groups)
    weighted = weights_RG @ counts.reshape(-1, num_groups).T
    probabilities: Floats = (weighted / weighted.sum(1, keepdims=True)).reshape(-1, num_cells, num_classes)
    return probabilities
