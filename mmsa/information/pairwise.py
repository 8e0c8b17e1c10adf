"""A log density ratio that is a sum over pairs of features, one of x and one of y.

ln p(x, y) / p(x) p(y) = sum_ij f_ij(x_i, y_j), every f_ij a product of splines, which logistic regression of
joint against product pairs learns (Hastie, Tibshirani and Friedman 2009, section 14.2.4; Gu 2013, chapter 6).
The problem is convex, so nothing depends on how long it was trained. It sees what holds of two features
alone, whatever its form: tails, a spread that the other feature decides, edges, folds.

Shapes: N rows, D features, S functions of a feature, P pairs, Q selected pairs of features.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaincinv

from mmsa.information.copula import Array
from mmsa.information.copula_critics import whitening
from mmsa.information.groups import Rows

Mask = NDArray[np.bool_]

_KNOTS = np.array([-2.5, -1.0, 0.0, 1.0, 2.5])
"""Of normal scores; beyond, splines go on as lines, as the log ratio of normal variables nearly does."""
_MOST_SELECTED, _LEVEL = 8, 0.01
"""Pairs of features whose splines are multiplied, and how often one is selected by chance."""


class Pairs(NamedTuple):
    """Rows of x (P,) and of y (P,); the first ``joint`` are joint pairs, the rest product pairs."""

    x_rows: Rows
    y_rows: Rows
    joint: int

    @property
    def is_joint(self) -> Mask:
        """(P,)."""
        return np.arange(len(self.x_rows)) < self.joint

    @property
    def weights(self) -> Array:
        """(P,) by which both kinds count the same."""
        return np.where(self.is_joint, 1.0, self.joint / max(1, len(self.x_rows) - self.joint))


def pairwise_ratios(
    x_ND: Array, y_ND: Array, known: Pairs, sought: Pairs, penalties: Sequence[float]
) -> tuple[Array, float]:
    """Log ratios (P,) of the sought pairs, learnt from the known, and the penalty that suits these best.

    x_ND, y_ND: normal scores, or variates of about unit variance.
    """
    from sklearn.linear_model import LogisticRegression

    functions = [_functions(values_N) for values_N in x_ND.T], [_functions(values_N) for values_N in y_ND.T]
    selected = _selected(*functions, np.unique(known.x_rows))
    known_PQ, sought_PQ = (_features(*functions, selected, pairs) for pairs in (known, sought))
    best, best_loss, best_penalty = np.zeros(len(sought.x_rows)), np.inf, penalties[0]
    for penalty in penalties:
        model = LogisticRegression(solver="newton-cholesky", C=penalty)
        model.fit(known_PQ, known.is_joint, known.weights)
        ratios_P = model.decision_function(sought_PQ)
        loss = float(
            np.average(
                np.logaddexp(0, np.where(sought.is_joint, -ratios_P, ratios_P)), weights=sought.weights
            )
        )
        if loss < best_loss:
            best, best_loss, best_penalty = ratios_P, loss, penalty
    return best, best_penalty


def _functions(values_N: Array) -> Array:
    """(N, S) uncorrelated functions of one feature, of unit variance."""
    from sklearn.preprocessing import SplineTransformer

    splines = SplineTransformer(degree=2, knots=_KNOTS[:, None], extrapolation="linear", include_bias=False)
    functions_NS = splines.fit_transform(values_N[:, None])
    whitened_NS: Array = (functions_NS - functions_NS.mean(0)) @ whitening(functions_NS)
    return whitened_NS


def _selected(x: Sequence[Array], y: Sequence[Array], known_K: Rows) -> list[tuple[int, int]]:
    """The pairs of features whose functions are most correlated, of those that are more so than by chance."""
    excess = {}
    for i, x_NS in enumerate(x):
        for j, y_NS in enumerate(y):
            covariance_SS = x_NS[known_K].T @ y_NS[known_K] / len(known_K)
            chance = 2 * gammaincinv(covariance_SS.size / 2, 1 - _LEVEL)  # a quantile of chi-squared
            excess[i, j] = len(known_K) * float((covariance_SS**2).sum()) - chance
    strongest = sorted(excess, key=lambda pair: -excess[pair])[:_MOST_SELECTED]
    return [pair for pair in strongest if excess[pair] > 0] or strongest[:1]


def _features(
    x: Sequence[Array], y: Sequence[Array], selected: Sequence[tuple[int, int]], pairs: Pairs
) -> Array:
    """(P, Q) functions of the selected features, and the products of those selected together."""
    x_used, y_used = (sorted({pair[side] for pair in selected}) for side in (0, 1))
    x_parts, y_parts = {i: x[i][pairs.x_rows] for i in x_used}, {j: y[j][pairs.y_rows] for j in y_used}
    products = [
        (x_parts[i][:, :, None] * y_parts[j][:, None, :]).reshape(len(pairs.x_rows), -1) for i, j in selected
    ]
    return np.hstack([*x_parts.values(), *y_parts.values(), *products])
