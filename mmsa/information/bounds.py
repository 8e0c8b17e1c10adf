"""Objectives and readings on score matrices, as pure functions. All values are in nats.

In ``scores_NN[i, j] = f(x_i, y_j)`` the diagonal holds N pairs of the joint distribution p, and the rest
N(N-1) pairs of the product of the marginals q. Every f is understood as an estimate of the log density ratio
log p/q, so that one critic serves several functions. Scores are reduced in float32 at least. Each function
says what it is: a lower bound on the mutual information, a plug-in estimate, or a surrogate.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

LOG_RATIO_CAP = 20.0
"""Where ``soft_cap`` begins, in nats. No batch is large enough to average e^f at such values."""


def at_least_float32(values: Tensor) -> Tensor:
    """Raise ``values`` to float32 if they are narrower.

    Examples:
        >>> at_least_float32(torch.zeros(1, dtype=torch.bfloat16)).dtype
        torch.float32
    """
    return values if values.dtype == torch.float64 else values.float()


def soft_cap(log_ratio: Tensor, cap: float = LOG_RATIO_CAP) -> Tensor:
    """Cap scores softly: identity up to ``cap``, logarithmic growth above it.

    So e^f continues linearly and cannot overflow. A capped critic is still a critic: a bound that holds for
    every f holds for the capped one.

    Examples:
        >>> soft_cap(torch.tensor([5.0, 25.0]))
        tensor([ 5.0000, 21.7918])
    """
    # A hard clamp would have no gradient where it is needed most, at the scores that are far too high.
    above = F.relu(log_ratio - cap)
    return log_ratio - above + torch.log1p(above)


def off_diagonal(scores_NN: Tensor, fill: float = -math.inf) -> Tensor:
    """Replace the diagonal of the scores by ``fill``.

    Examples:
        >>> off_diagonal(torch.tensor([[3.0, 0.0], [1.0, 2.0]]))
        tensor([[-inf, 0.],
                [1., -inf]])
    """
    return scores_NN.masked_fill(torch.eye(len(scores_NN), dtype=torch.bool, device=scores_NN.device), fill)


def logmeanexp_off_diagonal(scores_NN: Tensor) -> Tensor:
    """Return the log of the mean of e^f over the pairs of the product distribution, a scalar.

    Examples:
        >>> logmeanexp_off_diagonal(torch.tensor([[3.0, 0.0], [1.0, 2.0]]))
        tensor(0.6201)
    """
    count = len(scores_NN) * (len(scores_NN) - 1)
    return off_diagonal(at_least_float32(scores_NN)).flatten().logsumexp(0) - math.log(count)


def mean_off_diagonal(values_NN: Tensor) -> Tensor:
    """Return the mean over the pairs of the product distribution, a scalar.

    Examples:
        >>> mean_off_diagonal(torch.tensor([[3.0, 0.0], [1.0, 2.0]]))
        tensor(0.5000)
    """
    count = len(values_NN) * (len(values_NN) - 1)
    return off_diagonal(at_least_float32(values_NN), 0.0).sum() / count


def plugin(scores_NN: Tensor) -> Tensor:
    """Plug-in estimate E_p f, which is the information if f is the log density ratio. It is no bound.

    GAN-DIME (Letizia et al. 2024) and InfoNCE-anchor read it of the ratio that they have learned.

    Examples:
        >>> plugin(torch.tensor([[3.0, 0.0], [1.0, 2.0]]))
        tensor(2.5000)
    """
    return at_least_float32(scores_NN).diagonal().mean()


def infonce(scores_NN: Tensor, temperature: float = 1.0, symmetric: bool = False) -> Tensor:
    """InfoNCE (van den Oord et al. 2018): mean_i [f_ii - logsumexp_j f_ij] + ln N, a lower bound.

    It cannot exceed ln N.

    Args:
        scores_NN: The scores.
        temperature: Divides the scores.
        symmetric: Average the softmax over the columns of each row with the one over the rows of each column.

    Examples:
        >>> infonce(torch.tensor([[3.0, 0.0], [1.0, 2.0]]))  # at most ln 2 = 0.6931
        tensor(0.5122)
    """
    scores_NN = at_least_float32(scores_NN) / temperature
    positives_N = scores_NN.diagonal()
    by_row = (positives_N - scores_NN.logsumexp(1)).mean()
    by_column = (positives_N - scores_NN.logsumexp(0)).mean() if symmetric else by_row
    return 0.5 * (by_row + by_column) + math.log(len(scores_NN))


def infonce_anchor(scores_NN: Tensor, anchor: float = 1.0) -> Tensor:
    """Objective of InfoNCE-anchor (arXiv 2510.25983): log-likelihood of a (K+1)-way classifier, K = N - 1.

    The classifier tells which of K candidates belongs to x_i, or that none does (the anchor class, of weight
    ``anchor``). The anchor removes the free factor of InfoNCE: the optimum is the density ratio itself, and
    ``plugin`` reads it. If the pair is present, the candidates are the pair and all other y but one, averaged
    over which one is left out.

    Examples:
        >>> infonce_anchor(torch.tensor([[3.0, 0.0], [1.0, 2.0]]))
        tensor(-0.5455)
    """
    scores_NN = at_least_float32(scores_NN)
    candidates = len(scores_NN) - 1
    log_anchor = math.log(anchor)
    left_out_NN = _logsumexp_leaving_one_out(scores_NN, log_anchor)
    present = plugin(scores_NN) - mean_off_diagonal(left_out_NN)
    noise_N = off_diagonal(scores_NN).logsumexp(1)
    absent = (log_anchor - torch.logaddexp(noise_N, torch.full_like(noise_N, log_anchor))).mean()
    return (candidates * present + anchor * absent) / (candidates + anchor)


def _logsumexp_leaving_one_out(scores_NN: Tensor, log_constant: float) -> Tensor:
    """[i, j] = log(e^constant + sum over k != j of e^f_ik)."""
    # Sums from the left and from the right of j: log(total - e^f_ij) would subtract nearly equal numbers
    # wherever one score stands out, which is what training makes of the diagonal.
    edge_N1 = torch.full_like(scores_NN[:, :1], log_constant)
    before_NN = torch.cat([edge_N1, scores_NN], 1).logcumsumexp(1)[:, :-1]
    after_NN = scores_NN.flip(1).logcumsumexp(1).flip(1)[:, 1:]
    return torch.cat([torch.logaddexp(before_NN[:, :-1], after_NN), before_NN[:, -1:]], 1)


def jsd(scores_NN: Tensor) -> Tensor:
    """Lower bound on the Jensen-Shannon divergence of p and q (Hjelm et al. 2019), at most ln 2.

    ln 2 - 1/2 E_p softplus(-f) - 1/2 E_q softplus(f) is ln 2 minus the balanced cross-entropy of a classifier
    with logit f. It is a surrogate: it grows with the information but is not on its scale.

    Examples:
        >>> jsd(torch.tensor([[3.0, 0.0], [1.0, 2.0]]))
        tensor(0.1477)
    """
    scores_NN = at_least_float32(scores_NN)
    cross_entropy = F.softplus(-scores_NN.diagonal()).mean() + mean_off_diagonal(F.softplus(scores_NN))
    return math.log(2) - 0.5 * cross_entropy


@torch.no_grad()
def jsd_lower_bound(jensen_shannon: Tensor, largest: float = 60.0) -> Tensor:
    """Least information that a Jensen-Shannon divergence allows (arXiv 2510.20644), >= 0, without gradient.

    Solves JS(Bernoulli(1), Bernoulli(e^-y)) = divergence for y in [0, ``largest``] by bisection in float64.

    Examples:
        >>> jsd_lower_bound(torch.tensor([0.0, 0.3223, math.log(2)])).round(decimals=3)
        tensor([ 0.0000,  1.1160, 60.0000], dtype=torch.float64)
    """
    gap = math.log(2) - jensen_shannon.double()
    low, high = torch.zeros_like(gap), torch.full_like(gap, largest)
    for _ in range(60):
        middle = 0.5 * (low + high)
        ratio = torch.exp(-middle)
        too_small = 0.5 * ((1 + ratio) * torch.log1p(ratio) + ratio * middle) > gap
        low, high = torch.where(too_small, middle, low), torch.where(too_small, high, middle)
    return torch.where(gap >= math.log(2), 0.0, 0.5 * (low + high))


def nwj(scores_NN: Tensor) -> Tensor:
    """NWJ (Nguyen, Wainwright and Jordan 2010): 1 + E_p f - E_q e^f, a lower bound, tight at f = log p/q.

    Poole et al. (2019) write f - 1 for this f. Scores are capped softly. The bound holds in expectation: one
    batch may well exceed the information.

    Examples:
        >>> nwj(torch.tensor([[3.0, 0.0], [1.0, 2.0]]))
        tensor(1.6409)
    """
    scores_NN = soft_cap(at_least_float32(scores_NN))
    return 1 + plugin(scores_NN) - logmeanexp_off_diagonal(scores_NN).exp()


def tuba(scores_NN: Tensor, log_baseline_N: Tensor) -> Tensor:
    """TUBA (Poole et al. 2019): NWJ of f - log a(x), a lower bound for any baseline a > 0 of the row.

    Examples:
        >>> tuba(torch.tensor([[3.0, 0.0], [1.0, 2.0]]), log_baseline_N=torch.tensor([1.0, 1.0]))
        tensor(1.8161)
    """
    return nwj(at_least_float32(scores_NN) - log_baseline_N[:, None])


def interpolated(scores_NN: Tensor, log_baseline_N: Tensor, alpha: float) -> Tensor:
    """I_alpha (Poole et al. 2019, eq. 13): from TUBA (alpha 0, low bias) to InfoNCE (alpha 1, low variance).

    The baseline is alpha x (mean of e^f in the row) + (1 - alpha) x a(x). The mean runs over all columns for
    the joint pairs, and over the columns of q for the others.

    Examples:
        >>> interpolated(torch.tensor([[3.0, 0.0], [1.0, 2.0]]), torch.zeros(2), alpha=1.0)
        tensor(0.5122)
    """
    scores_NN = at_least_float32(scores_NN)
    columns = len(scores_NN)
    joint_N = scores_NN.logsumexp(1) - math.log(columns)
    product_N = off_diagonal(scores_NN).logsumexp(1) - math.log(columns - 1)
    joint_term = soft_cap(scores_NN.diagonal() - _log_interpolate(joint_N, log_baseline_N, alpha)).mean()
    against_NN = scores_NN - _log_interpolate(product_N, log_baseline_N, alpha)[:, None]
    return 1 + joint_term - logmeanexp_off_diagonal(soft_cap(against_NN)).exp()


def _log_interpolate(log_a: Tensor, log_b: Tensor, alpha: float) -> Tensor:
    if alpha in (0.0, 1.0):
        return log_a if alpha == 1.0 else log_b
    return torch.logaddexp(log_a + math.log(alpha), log_b + math.log1p(-alpha))


def dv(scores_NN: Tensor) -> Tensor:
    """Donsker and Varadhan: E_p f - log E_q e^f, a lower bound only with infinitely many product pairs.

    Examples:
        >>> dv(torch.tensor([[3.0, 0.0], [1.0, 2.0]]))
        tensor(1.8799)
    """
    return plugin(scores_NN) - logmeanexp_off_diagonal(scores_NN)


def mine(scores_NN: Tensor, log_average: Tensor) -> Tensor:
    """MINE (Belghazi et al. 2018): the value of ``dv``, the gradient E_p grad f - E_q[grad e^f] / average.

    Args:
        scores_NN: The scores.
        log_average: Log of the running mean of E_q e^f including this batch, without gradient.

    Examples:
        >>> mine(torch.tensor([[3.0, 0.0], [1.0, 2.0]]), log_average=torch.tensor(0.0))
        tensor(1.8799)
    """
    # The last term is 0; its gradient is that of E_q e^f over the running average instead of over the mean of
    # this batch: the log of a small batch's mean has a biased gradient.
    log_mean = logmeanexp_off_diagonal(scores_NN)
    partition = torch.exp(log_mean - log_average)
    return plugin(scores_NN) - log_mean.detach() - (partition - partition.detach())


def smile(scores_NN: Tensor, clip: float) -> Tensor:
    """Reading of SMILE (Song and Ermon 2020): E_p f - log E_q e^clamp(f, -clip, clip). It bounds neither way.

    Examples:
        >>> smile(torch.tensor([[3.0, 0.0], [1.0, 2.0]]), clip=5.0)
        tensor(1.8799)
    """
    scores_NN = at_least_float32(scores_NN)
    return plugin(scores_NN) - logmeanexp_off_diagonal(scores_NN.clamp(-clip, clip))


def flo(scores_NN: Tensor, pointwise_N: Tensor) -> Tensor:
    """FLO (Guo et al. 2022): 1 + E_p[u - e^(u - f) mean_j e^f_j], a lower bound for any u(x, y).

    Args:
        scores_NN: The scores.
        pointwise_N: u at the joint pairs; the bound is tight if it is the pointwise information. Its excess
            over the scores' own estimate of that is capped softly.

    Examples:
        >>> flo(torch.tensor([[3.0, 0.0], [1.0, 2.0]]), torch.tensor([3.0, 3.0]))
        tensor(-0.1945)
    """
    scores_NN = at_least_float32(scores_NN)
    noise_N = off_diagonal(scores_NN).logsumexp(1) - math.log(len(scores_NN) - 1)
    contrast_N = scores_NN.diagonal() - noise_N
    excess_N = soft_cap(pointwise_N - contrast_N)
    return 1 + (contrast_N + excess_N - excess_N.exp()).mean()


def club(log_density_NN: Tensor) -> Tensor:
    """CLUB (Cheng et al. 2020): E_p log q(y|x) - E_q log q(y|x), a penalty.

    With a perfect q it is the information *plus* KL(q || p), so it must never be reported as information.

    Args:
        log_density_NN: [i, j] = log q(y_j | x_i).

    Examples:
        >>> club(torch.tensor([[3.0, 0.0], [1.0, 2.0]]))
        tensor(2.)
    """
    return plugin(log_density_NN) - mean_off_diagonal(log_density_NN)


def l1out(log_density_NN: Tensor) -> Tensor:
    """Leave-one-out upper bound (Poole et al. 2019): E[log q(y_i|x_i) - log mean_{j != i} q(y_i|x_j)].

    Args:
        log_density_NN: [i, j] = log q(y_j | x_i).

    Examples:
        >>> l1out(torch.tensor([[3.0, 0.0], [1.0, 2.0]]))
        tensor(2.)
    """
    log_density_NN = at_least_float32(log_density_NN)
    others_N = off_diagonal(log_density_NN).logsumexp(0) - math.log(len(log_density_NN) - 1)
    return (log_density_NN.diagonal() - others_N).mean()
