"""Cross-fitted predictive distributions of ordered classes, by a linear index with normal noise.

Ordered probit (McCullagh 1980): a row of class c has b w'x + noise between two thresholds, where the index
w'x has mean 0 and variance 1. A network has to learn the linear map for each class anew, at
(C - 1)(D + 1) / 2N nats and more; the index costs D / 2N. It is one candidate among others, taken where it
predicts held-out rows best: few rows, or a target that is linear.

Shapes: N rows, D features, C classes.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from scipy.special import ndtri
from torch import Tensor

from mmsa.eager import LBFGS
from mmsa.information.groups import Rows
from mmsa.information.target.predictive import PredictiveDistribution, log_frequencies, standardised

Floats = NDArray[np.float64]
_PENALTIES = np.logspace(-1, 5, 13)
_ITERATIONS = 100


def ordered_probit(x_ND: Floats, class_N: Rows, fold_N: Rows) -> PredictiveDistribution:
    """Predict the class of every row by an index and thresholds that were fitted on the other folds.

    The direction of the index comes from ridge regression of the normal scores of the classes. Slope and
    thresholds are fitted to the held-out indices of the other folds, so that they know how well the index
    predicts rows that it has not seen.

    Args:
        x_ND: Features. They are standardised here over all rows, which says nothing about the target.
        class_N: The target as 0 .. C - 1, in the order of the classes.
        fold_N: Fold of each row.
    """
    from sklearn.linear_model import RidgeCV

    # The indices of all folds are brought to one scale and have no intercept. The penalty of each fold would
    # make a scale of its own; and the mean of the other folds' classes is high where that of the fold is low,
    # so that a slope fitted to such indices would tell the fold of a row and not its class.
    x, classes = standardised(x_ND).double().numpy(), torch.from_numpy(class_N)
    num_classes, index_N = int(class_N.max()) + 1, np.empty(len(x_ND))
    folds = range(int(fold_N.max()) + 1)
    for fold in folds:
        held = fold_N == fold
        scores_N = _normal_scores(class_N[~held], num_classes)[class_N[~held]]
        along_N = x @ RidgeCV(_PENALTIES).fit(x[~held], scores_N).coef_
        index_N[held] = (along_N / (along_N.std() or 1.0))[held]
    index = torch.from_numpy(index_N)
    conditional_NC = torch.empty(len(index), num_classes, dtype=torch.float64)
    marginal_NC = torch.empty_like(conditional_NC)
    for fold in folds:
        held = torch.from_numpy(fold_N == fold)
        slope, threshold_C = _link(index[~held], classes[~held], num_classes)
        conditional_NC[held] = _log_probabilities(index[held], slope, threshold_C)
        marginal_NC[held] = log_frequencies(classes[~held], num_classes).double()
    return PredictiveDistribution.mixed(conditional_NC.numpy(), marginal_NC.numpy())


def _link(index_N: Tensor, classes: Tensor, num_classes: int) -> tuple[Tensor, Tensor]:
    """Slope and inner thresholds (C - 1,) of most likelihood, from those of an index that tells nothing.

    An index that predicts the wrong way round on held-out rows tells nothing: slope 0.
    """
    shares_C = log_frequencies(classes, num_classes).double().exp()
    start_C = torch.special.ndtri(shares_C.cumsum(0)[:-1])
    slope = torch.zeros((), dtype=torch.float64, requires_grad=True)
    first = start_C[:1].clone().requires_grad_()
    log_gaps = start_C.diff().clamp(min=1e-6).log().requires_grad_()
    optimiser = LBFGS([slope, first, log_gaps], max_iter=_ITERATIONS, line_search_fn="strong_wolfe")

    def thresholds() -> Tensor:
        return torch.cat([first, first + log_gaps.exp().cumsum(0)])

    def loss() -> Tensor:
        optimiser.zero_grad()
        value = F.nll_loss(_log_probabilities(index_N, slope, thresholds()), classes)
        torch.autograd.backward(value)
        return value

    optimiser.step(loss)  # type: ignore[no-untyped-call]
    if slope <= 0:
        return torch.zeros_like(slope), start_C
    return slope.detach(), thresholds().detach()


def _log_probabilities(index_N: Tensor, slope: Tensor, threshold_C: Tensor) -> Tensor:
    """(N, C) log of the normal probability between neighbouring thresholds; exact in the tails too."""
    ends_NC = F.pad(threshold_C - slope * index_N[:, None], (1, 0), value=-torch.inf)
    low_NC, high_NC = ends_NC, F.pad(ends_NC[:, 1:], (0, 1), value=torch.inf)
    right_NC = low_NC + high_NC > 0  # there, both probabilities are near 1; those of the other tail are not
    low_NC, high_NC = torch.where(right_NC, -high_NC, low_NC), torch.where(right_NC, -low_NC, high_NC)
    below_NC, upto_NC = torch.special.log_ndtr(low_NC), torch.special.log_ndtr(high_NC)
    between_NC: Tensor = upto_NC + torch.log(-torch.expm1((below_NC - upto_NC).clamp(max=-1e-12)))
    return between_NC


def _normal_scores(class_N: Rows, num_classes: int) -> Floats:
    """(C,) standard normal quantiles of the middle of each class."""
    shares_C = np.bincount(class_N, minlength=num_classes) + 0.5
    shares_C /= shares_C.sum()
    scores_C: Floats = ndtri(shares_C.cumsum() - shares_C / 2)
    return scores_C
