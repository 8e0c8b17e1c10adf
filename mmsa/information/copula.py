"""Information of a Gaussian copula, corrected for its bias: a measure, in milliseconds.

Exact where the dependence is a Gaussian copula, whatever the marginals; blind to dependence without rank
correlation. Shapes: N samples, D features.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import digamma, ndtri
from torch import Tensor

from mmsa.config import Named
from mmsa.errors import DataError
from mmsa.information.estimators import ESTIMATORS, Estimator, Spec, Value, refuse_fewer_than_two

Array = NDArray[np.float64]

LARGEST_SQUARED_CORRELATION = 1 - 1e-12


def normal_scores(values_ND: Array) -> Array:
    """Each feature replaced by the standard normal quantiles of its ranks; ties share theirs."""
    scores_ND: Array = ndtri(average_ranks(values_ND) / (len(values_ND) + 1))
    return scores_ND


def average_ranks(values_ND: Array) -> Array:
    """Ranks of each feature from 1 on; ties share their mean, and a feature with a NaN has none.

    As ``scipy.stats.rankdata``, whose import takes a worker as long as half of torch's.

    Examples:
        >>> average_ranks(np.array([[0.5], [0.1], [0.5]])).T
        array([[2.5, 1. , 2.5]])
    """
    order_ND = np.argsort(values_ND, axis=0, kind="stable")
    sorted_ND = np.take_along_axis(values_ND, order_ND, axis=0)
    differs_ND = sorted_ND[1:] != sorted_ND[:-1]
    edge = np.ones((1, values_ND.shape[1]), dtype=bool)
    place_N1 = np.arange(1, len(values_ND) + 1)[:, None]
    first_ND = np.maximum.accumulate(np.where(np.concatenate([edge, differs_ND]), place_N1, 0), axis=0)
    last_ND = np.where(np.concatenate([differs_ND, edge]), place_N1, len(values_ND))
    last_ND = np.minimum.accumulate(last_ND[::-1], axis=0)[::-1]
    ranks_ND = np.empty(values_ND.shape)
    np.put_along_axis(ranks_ND, order_ND, (first_ND + last_ND) / 2, axis=0)
    ranks_ND[:, np.isnan(values_ND).any(0)] = np.nan
    return ranks_ND


def gaussian_information(x_ND: Array, y_ND: Array) -> float:
    """Information of jointly Gaussian x and y from canonical correlations, less its finite-sample bias.

    The bias, about D_x D_y / 2N, is that of log determinants of sample covariances, known exactly for
    Gaussian samples (Misra et al. 2005, as in Ince et al. 2017). Constant and collinear features are left
    out.

    Raises:
        DataError: when there are not more samples than features in x and y together, plus one.
    """
    bases = [orthonormal_basis(values) for values in (x_ND, y_ND)]
    dims = [basis.shape[1] for basis in bases]
    count = len(x_ND)
    if count <= sum(dims) + 1:
        raise DataError(
            f"{count} samples cannot give the Gaussian information of {dims[0]} and {dims[1]} features; "
            f"at least {sum(dims) + 2} samples are needed"
        )
    correlations = np.linalg.svd(bases[0].T @ bases[1], compute_uv=False)
    squared = np.minimum(correlations**2, LARGEST_SQUARED_CORRELATION)
    return float(-0.5 * np.log1p(-squared).sum() - gaussian_bias(count, *dims))


def orthonormal_basis(values_ND: Array) -> Array:
    """Orthonormal columns spanning the centred features."""
    centred_ND = values_ND - values_ND.mean(0)
    left, singular, _ = np.linalg.svd(centred_ND, full_matrices=False)
    tolerance = singular.max(initial=0.0) * max(values_ND.shape) * np.finfo(np.float64).eps
    basis: Array = left[:, singular > max(tolerance, np.finfo(np.float64).tiny)]
    return basis


def gaussian_bias(count: int, x_dim: int, y_dim: int) -> float:
    """What ``count`` samples of independent jointly Gaussian features give on average, in nats."""

    def log_determinant_bias(dims: int) -> float:
        return 0.5 * float(digamma((count - np.arange(1, dims + 1)) / 2).sum())

    return log_determinant_bias(x_dim) + log_determinant_bias(y_dim) - log_determinant_bias(x_dim + y_dim)


def excess_over_products(x_NK: Array, y_NK: Array, correlation_K: Array, most_columns: int) -> float:
    """What the closed form reads too much of canonical variates that are no normal variables, at least 0.

    It is ln of the mean of the copula's density ratio over product pairs. A density ratio has the mean 1
    there; whatever the correlations, that of normal variables has. Where features are curves of fewer
    latents, squares and products of latents pass for directions of their own, and the mean is above 1. The
    closed form less this excess is the bound of Donsker and Varadhan (1983) with the copula as its critic: at
    most the information. Few product pairs carry the mean where there is much information; a sample that
    misses them shows too little of the excess.

    Args:
        x_NK, y_NK: variates of unit variance.
        correlation_K: of each of their pairs.
        most_columns: how many rows of y, spread evenly, stand for all; time grows with them.
    """
    squared_K = np.minimum(correlation_K**2, LARGEST_SQUARED_CORRELATION)
    unexplained_K = 1 - squared_K
    columns_M = np.unique(np.linspace(0, len(x_NK) - 1, min(len(x_NK), most_columns)).astype(np.int64))
    y_MK = y_NK[columns_M]
    log_ratio_NM = (x_NK * (np.sqrt(squared_K) * np.sign(correlation_K) / unexplained_K)) @ y_MK.T
    log_ratio_NM -= 0.5 * (x_NK**2 @ (squared_K / unexplained_K))[:, None]
    log_ratio_NM -= 0.5 * (y_MK**2 @ (squared_K / unexplained_K)) + 0.5 * np.log(unexplained_K).sum()
    log_ratio_NM[columns_M, np.arange(len(columns_M))] = -np.inf  # joint pairs
    pairs, largest = log_ratio_NM.size - len(columns_M), float(log_ratio_NM.max())
    # Exponentials of single precision take a quarter of the time; the sum of so many needs no more digits.
    relative = float(np.exp((log_ratio_NM - largest).astype(np.float32)).sum(dtype=np.float64))
    return max(0.0, largest + float(np.log(relative) - np.log(pairs)))


def gaussian_copula_information(x_ND: Array, y_ND: Array, z_ND: Array | None = None) -> float:
    """Return I(X; Y), or I(X; Y | Z) = I(X; Y, Z) - I(X; Z), of the Gaussian copula, in nats.

    Corrected for its bias, it may come out negative.

    Raises:
        DataError: If there are not more samples than features.

    Examples:
        >>> x_ND, noise_ND = np.random.default_rng(0).standard_normal((2, 5000, 1))
        >>> y_ND = 0.6 * x_ND + 0.8 * noise_ND  # 0.2231 nats
        >>> round(gaussian_copula_information(x_ND, np.exp(y_ND)), 1)
        0.2
    """
    x_ND, y_ND = normal_scores(x_ND), normal_scores(y_ND)
    if z_ND is None:
        return gaussian_information(x_ND, y_ND)
    z_ND = normal_scores(z_ND)
    return gaussian_information(x_ND, np.hstack([y_ND, z_ND])) - gaussian_information(x_ND, z_ND)


@ESTIMATORS.register("gaussian_copula")
class GaussianCopula(Estimator):
    """``gaussian_copula_information`` behind the interface of all estimators."""

    class Config(Named):
        """No settings."""

        name: Literal["gaussian_copula"] = "gaussian_copula"

    spec = Spec("measure", "plugin", "gather")

    def __init__(self, config: Config, x_dim: int, y_dim: int):
        super().__init__()

    def estimate(self, x_ND: Tensor, y_ND: Tensor) -> Value:
        """The measured value; its loss carries no gradient."""
        refuse_fewer_than_two(len(x_ND))
        x_array, y_array = (value.detach().double().cpu().numpy() for value in (x_ND, y_ND))
        value = x_ND.new_tensor(gaussian_copula_information(x_array, y_array))
        return Value(-value, value, self.ceiling(len(x_ND)))
