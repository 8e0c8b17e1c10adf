"""Held-out scores of pairs turned into log density ratios by what they say themselves.

A critic's score of a pair, whatever it was trained for, is one number, and what one number tells of two kinds
of pairs is easily learnt: the log ratio of its densities among joint and among product pairs, a curve. The
mean of the curve over joint pairs is the information that passes through the score, at most that of the pair
(data processing): errors of the critic can only make it smaller. Each fold's curve comes from the scores of
the other folds.

Shapes: N rows, B rows of a block, S products of each row, J joint and P product pairs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

if TYPE_CHECKING:
    from sklearn.linear_model import LogisticRegression

Floats = NDArray[np.float64]
Blocks = list[Tensor]
"""Held-out score matrices (B, B), for every fold one or more; the diagonal holds the joint pairs."""

_PRODUCTS_PER_ROW = 8
_KNOTS_OF_JOINT = (0.05, 0.2, 0.4, 0.6, 0.8, 0.95, 0.999)
_KNOTS_OF_PRODUCT = (0.001, 0.05, 0.3, 0.7)


def calibrated(blocks: Blocks, fold_of_block: Sequence[int]) -> Floats:
    """Calibrated log ratios (N,) of the joint pairs, block by block."""
    joint = [block.diagonal().double().numpy() for block in blocks]
    return calibrated_pairs(joint, [products(block).ravel() for block in blocks], fold_of_block)


def calibrated_pairs(
    joint: Sequence[Floats], product: Sequence[Floats], fold_of_block: Sequence[int]
) -> Floats:
    """The same from the scores (J,) of joint and (P,) of product pairs of each block."""
    curves = {
        fold: _curve(
            *(
                np.concatenate([scores for scores, k in zip(part, fold_of_block, strict=True) if k != fold])
                for part in (joint, product)
            )
        )
        for fold in set(fold_of_block)
    }
    return np.concatenate(
        [curves[k].decision_function(part[:, None]) for k, part in zip(fold_of_block, joint, strict=True)]
    )


def products(block_BB: Tensor, most: int = _PRODUCTS_PER_ROW) -> Floats:
    """Scores (S, B) of each row with the next few columns."""
    shifts = range(1, min(most, len(block_BB) - 1) + 1)
    scores_SB: Floats = (
        torch.stack([block_BB.roll(-shift, 1).diagonal() for shift in shifts]).double().numpy()
    )
    return scores_SB


def _curve(joint_J: Floats, product_P: Floats) -> LogisticRegression:
    """Score to log ratio: a broken line between quantiles of the scores, fitted by logistic regression."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import SplineTransformer

    quantiles = np.concatenate(
        [np.quantile(joint_J, _KNOTS_OF_JOINT), np.quantile(product_P, _KNOTS_OF_PRODUCT)]
    )
    knots = np.unique([*quantiles, quantiles.max() + 1.0])  # two knots at least, whatever the scores
    scores, is_joint = np.concatenate([joint_J, product_P]), np.repeat([1, 0], [len(joint_J), len(product_P)])
    weights = np.where(is_joint, 1.0, len(joint_J) / len(product_P))
    line = SplineTransformer(degree=1, knots=knots[:, None], extrapolation="constant", include_bias=False)
    curve = make_pipeline(line, LogisticRegression(C=1e3, max_iter=300))
    return curve.fit(scores[:, None], is_joint, logisticregression__sample_weight=weights)
