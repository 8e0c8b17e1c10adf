"""Gaussian densities and entropies in closed form, and networks for the conditional density q(y|x). In nats.

Shapes: N samples, B rows of a batch, D features. Everything is computed in float32 at least; whatever inverts
or factors a covariance is computed in float64.
"""

from __future__ import annotations

import math
from typing import Annotated, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn
from torch.distributions import (
    Categorical,
    Distribution,
    Independent,
    MixtureSameFamily,
    MultivariateNormal,
    Normal,
)

from mmsa.config import Named
from mmsa.information.bounds import at_least_float32
from mmsa.information.critics import MLPConfig, mlp
from mmsa.registry import Registry

Shrinkage = float | Literal["ledoit_wolf"]

LOG_2PI = math.log(2 * math.pi)
VARIANCE_FLOOR = 1e-8
"""Added to every variance, in units of max(1, largest |feature|)^2: so a constant has a finite entropy."""


def gaussian_log_density(y_BD: Tensor, mean_BD: Tensor, log_variance_BD: Tensor) -> Tensor:
    """Return log N(y; mean, diag(exp(log_variance))) of each row, (B,) nats, including the normaliser.

    Examples:
        >>> gaussian_log_density(torch.zeros(1, 2), torch.zeros(1, 2), torch.zeros(1, 2))  # -ln(2 pi)
        tensor([-1.8379])
    """
    quadratic_B = gaussian_log_density_mmim_code(y_BD, mean_BD, log_variance_BD)
    return quadratic_B - 0.5 * (at_least_float32(log_variance_BD) + LOG_2PI).sum(-1)


def gaussian_log_density_mmim_code(y_BD: Tensor, mean_BD: Tensor, log_variance_BD: Tensor) -> Tensor:
    """Return the quadratic part of ``gaussian_log_density`` alone, as in MMIM's released code (``MMILB``).

    This is no density: without -1/2 log variance it grows towards 0 with the variance, so that nothing built
    on it bounds information.
    """
    error_BD = at_least_float32(y_BD) - at_least_float32(mean_BD)
    return -0.5 * (error_BD.square() * torch.exp(-at_least_float32(log_variance_BD))).sum(-1)


def ledoit_wolf_shrinkage(centred_ND: Tensor, count: Tensor) -> Tensor:
    """Return the shrinkage intensity of Ledoit and Wolf (2004), in [0, 1], detached.

    Args:
        centred_ND: Centred samples, with zero rows for those that do not count.
        count: How many do.
    """
    centred_ND = centred_ND.detach()
    covariance_DD = centred_ND.T @ centred_ND / count
    dims = covariance_DD.shape[0]
    fourth_moment = centred_ND.square().sum(1).square().sum() / count
    error = (fourth_moment - covariance_DD.square().sum()) / count
    spread = covariance_DD.square().sum() - covariance_DD.trace().square() / dims
    return torch.where(spread > 0, error / spread.clamp(min=torch.finfo(spread.dtype).tiny), 0.0).clamp(0, 1)


def gaussian_entropy(
    features_ND: Tensor, chosen_N: Tensor | None = None, shrinkage: Shrinkage = "ledoit_wolf"
) -> Tensor:
    """Return the entropy 1/2 logdet(2 pi e Sigma) of a Gaussian fitted to the chosen rows, a scalar in nats.

    Sigma is the population covariance shrunk towards (trace/D) I, in float64, so that value and gradient are
    finite for any finite input.

    Args:
        features_ND: The samples.
        chosen_N: bool, the rows that count. All by default.
        shrinkage: Fixed intensity in [0, 1], or that of Ledoit and Wolf.

    Examples:
        >>> gaussian_entropy(torch.tensor([[-1.0], [1.0]]), shrinkage=0.0)  # of variance 1
        tensor(1.4189, dtype=torch.float64)
    """
    features_ND = features_ND.double()
    weight_N1 = features_ND.new_ones(len(features_ND), 1) if chosen_N is None else chosen_N.double()[:, None]
    # In units of the largest feature, so that squares of any finite float stay finite.
    scale = (weight_N1 * features_ND.detach()).abs().amax().clamp(min=1.0)
    count = weight_N1.sum().clamp(min=1.0)
    scaled_ND = features_ND / scale
    centred_ND = (scaled_ND - (weight_N1 * scaled_ND).sum(0) / count) * weight_N1
    covariance_DD = centred_ND.T @ centred_ND / count
    intensity = ledoit_wolf_shrinkage(centred_ND, count) if shrinkage == "ledoit_wolf" else shrinkage
    dims = covariance_DD.shape[0]
    identity_DD = torch.eye(dims, dtype=covariance_DD.dtype, device=covariance_DD.device)
    shrunk_DD = (1 - intensity) * covariance_DD + intensity * covariance_DD.trace() / dims * identity_DD
    log_determinant: Tensor = torch.linalg.slogdet(shrunk_DD + VARIANCE_FLOOR * identity_DD).logabsdet
    return 0.5 * (log_determinant + dims * (1 + LOG_2PI)) + dims * scale.log()


def class_gaussian_entropy(
    features_ND: Tensor, *classes: Tensor, shrinkage: Shrinkage = "ledoit_wolf"
) -> tuple[Tensor, Tensor]:
    """Return MMIM's entropy of a mixture of Gaussians, the mean of the Gaussian entropies of the classes.

    Without the entropy of the class itself, this bounds the entropy of the mixture from below (MMIM section
    3.3; the released code also drops the constants and does not shrink).

    Args:
        features_ND: The samples, with the remembered ones appended.
        classes: Rows of each class, (N,) bool; MMIM has two. Rows in none do not count.
        shrinkage: Fixed intensity in [0, 1], or that of Ledoit and Wolf.

    Returns:
        The entropy (scalar nats, float32), and how many classes were skipped because they have no
        more than D samples. A skipped class adds 0 with zero gradient.
    """
    entropy = features_ND.new_zeros((), dtype=torch.float64)
    skipped = features_ND.new_zeros((), dtype=torch.float32)
    for chosen_N in classes:
        enough = chosen_N.sum() > features_ND.shape[1]
        # torch.where and not an if: the count lives on the device, and asking for it would stall every step.
        entropy = entropy + torch.where(
            enough, gaussian_entropy(features_ND, chosen_N, shrinkage) / len(classes), 0.0
        )
        skipped = skipped + (~enough).float()
    return entropy.float(), skipped


CONDITIONAL_DENSITIES: Registry[ConditionalDensity] = Registry("conditional density")

SMALLEST_SCALE = 1e-3


def positive_scale(raw: Tensor) -> Tensor:
    """Return a standard deviation >= 1e-3, small enough for strong dependence, with bounded gradients."""
    return F.softplus(at_least_float32(raw)) + SMALLEST_SCALE


class ConditionalDensity(nn.Module):
    """Base class: a network whose output parametrises a distribution of y for each x."""

    def distribution(self, x_ND: Tensor) -> Distribution:
        """Return q(. | x), with batch shape (N,) and event shape (y_dim,)."""
        raise NotImplementedError

    def log_density(self, x_ND: Tensor, y_ND: Tensor) -> Tensor:
        """Return log q(y_i | x_i), (N,)."""
        value: Tensor = self.distribution(x_ND).log_prob(y_ND)
        return value

    def log_densities(self, x_RD: Tensor, y_CD: Tensor) -> Tensor:
        """Return log q(y_j | x_i) for every pair, (R, C)."""
        value_CR: Tensor = self.distribution(x_RD).log_prob(y_CD[:, None])
        return value_CR.T


@CONDITIONAL_DENSITIES.register("diagonal")
class DiagonalGaussian(ConditionalDensity):
    """Gaussian with independent features. Mean and scale come from separate networks, as in CLUB and MMIM."""

    class Config(MLPConfig, Named):
        """Shape of both networks."""

        name: Literal["diagonal"] = "diagonal"

    def __init__(self, config: Config, x_dim: int, y_dim: int):
        super().__init__()
        self.mean = mlp(config, x_dim, y_dim)
        self.raw_scale = mlp(config, x_dim, y_dim)

    def mean_and_scale(self, x_ND: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and standard deviation of y given x, each (N, y_dim)."""
        return at_least_float32(self.mean(x_ND)), positive_scale(self.raw_scale(x_ND))

    def distribution(self, x_ND: Tensor) -> Distribution:
        """Independent Gaussians."""
        return Independent(Normal(*self.mean_and_scale(x_ND), validate_args=False), 1, validate_args=False)


@CONDITIONAL_DENSITIES.register("full")
class FullGaussian(ConditionalDensity):
    """Gaussian with a full covariance, by its Cholesky factor. The parameters grow with y_dim squared."""

    class Config(MLPConfig, Named):
        """Shape of the network."""

        name: Literal["full"] = "full"

    def __init__(self, config: Config, x_dim: int, y_dim: int):
        super().__init__()
        self.y_dim = y_dim
        self.network = mlp(config, x_dim, y_dim + y_dim**2)

    def distribution(self, x_ND: Tensor) -> Distribution:
        """Multivariate Gaussian."""
        mean_ND, flat_NF = at_least_float32(self.network(x_ND)).tensor_split([self.y_dim], dim=1)
        return MultivariateNormal(mean_ND, scale_tril=cholesky_factor(flat_NF), validate_args=False)


def cholesky_factor(flat_NF: Tensor) -> Tensor:
    """Make lower triangular matrices (N, D, D) with a positive diagonal of unconstrained (N, D x D)."""
    dims = int(flat_NF.shape[1] ** 0.5)
    raw_NDD = flat_NF.reshape(-1, dims, dims)
    return raw_NDD.tril(-1) + torch.diag_embed(positive_scale(raw_NDD.diagonal(dim1=1, dim2=2)))


@CONDITIONAL_DENSITIES.register("mixture")
class GaussianMixture(ConditionalDensity):
    """Mixture of Gaussians with independent features (a mixture density network)."""

    class Config(MLPConfig, Named):
        """Shape of the network and of the mixture."""

        name: Literal["mixture"] = "mixture"
        components: Annotated[int, Field(ge=1, le=64)] = 5

    def __init__(self, config: Config, x_dim: int, y_dim: int):
        super().__init__()
        self.components, self.y_dim = config.components, y_dim
        self.network = mlp(config, x_dim, config.components * (1 + 2 * y_dim))

    def distribution(self, x_ND: Tensor) -> Distribution:
        """Mixture of independent Gaussians."""
        raw_NKP = at_least_float32(self.network(x_ND)).reshape(len(x_ND), self.components, -1)
        logits_NK1, mean_NKD, scale_NKD = raw_NKP.tensor_split([1, 1 + self.y_dim], dim=2)
        gaussians = Normal(mean_NKD, positive_scale(scale_NKD), validate_args=False)
        return MixtureSameFamily(
            Categorical(logits=logits_NK1.squeeze(2), validate_args=False),
            Independent(gaussians, 1, validate_args=False),
            validate_args=False,
        )


def conditional_density(config: Named, x_dim: int, y_dim: int) -> ConditionalDensity:
    """Build q(y|x) of the registered kind that ``config`` names."""
    return CONDITIONAL_DENSITIES[config.name](config, x_dim, y_dim)
