"""Objectives on score matrices: pure functions, in nats.

``scores_NN[i, j] = f(x_i, y_j)``: the diagonal holds the pairs of the joint distribution, everything else the
pairs of the product of the marginals. Scores are reduced in float32 at least. Each function says what it is: a
bound, a plug-in estimate, or a surrogate.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor


def _at_least_float32(scores_NN: Tensor) -> Tensor:
    return scores_NN if scores_NN.dtype == torch.float64 else scores_NN.float()


def infonce(scores_NN: Tensor, temperature: float = 1.0, symmetric: bool = False) -> Tensor:
    """InfoNCE (van den Oord et al. 2018): mean_i [f_ii - logsumexp_j f_ij] + ln N, a lower bound <= ln N.

    The softmax of row i runs over the columns; ``symmetric`` averages with the softmax over the rows.
    """
    scores_NN = _at_least_float32(scores_NN) / temperature
    positives_N = scores_NN.diagonal()
    by_row = (positives_N - scores_NN.logsumexp(1)).mean()
    by_column = (positives_N - scores_NN.logsumexp(0)).mean() if symmetric else by_row
    return 0.5 * (by_row + by_column) + math.log(len(scores_NN))
