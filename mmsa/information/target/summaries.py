"""Sources as a few cells: what each says about the target, quantised.

p(y | x_m) is all that x_m knows about the target, and redundancy depends on (x_m, y) alone, so cells of alike
predictions keep what matters. Only the two tables (cell, y) are counted. Each reads (k - 1)(C - 1) / 2N nats
too much, which the number of cells k keeps below 0.02 bits.

Shapes: N rows, G groups, R resamples, A cells, C classes.
"""

from __future__ import annotations

import warnings

import numpy as np
from numpy.typing import NDArray
from sklearn.cluster import KMeans
from sklearn.exceptions import ConvergenceWarning

from mmsa.information.groups import Rows
from mmsa.information.target.posterior import Posterior

Floats = NDArray[np.float64]
_CELLS_PER_ROW = 0.0277  # 2 ln(2) * 0.02 bits
_MOST_CELLS = 12


def most_cells(num_rows: int, num_classes: int) -> int:
    """How many cells keep the bias of a counted table below 0.02 bits."""
    return int(np.clip(1 + _CELLS_PER_ROW * num_rows / (num_classes - 1), 2, _MOST_CELLS))


def cells(posterior: Posterior, num_cells: int, seed: int) -> Rows:
    """(N,) cell of each row: k-means in the space where distance is Hellinger's between predictions."""
    moved_NC = np.exp(0.5 * posterior.conditional) - np.exp(0.5 * posterior.marginal)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # fewer different predictions than cells
        cell_N: Rows = KMeans(num_cells, n_init=3, random_state=seed).fit_predict(moved_NC).astype(np.int64)
    return cell_N


def tables(cell_N: Rows, class_N: Rows, group_N: Rows, weights_RG: Floats) -> Floats:
    """(R, A, C) probabilities of (cell, class) under each weighting of the groups."""
    num_cells, num_classes, num_groups = int(cell_N.max()) + 1, int(class_N.max()) + 1, weights_RG.shape[1]
    joint_N = (cell_N * num_classes + class_N) * num_groups + group_N
    counts = np.bincount(joint_N, minlength=num_cells * num_classes * num_groups)
    weighted = weights_RG @ counts.reshape(-1, num_groups).T
    probabilities: Floats = (weighted / weighted.sum(1, keepdims=True)).reshape(-1, num_cells, num_classes)
    return probabilities
