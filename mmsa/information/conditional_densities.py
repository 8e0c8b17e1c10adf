"""Networks for q(y|x), the conditional densities of Barber-Agakov, CLUB and L1Out. In nats, float32 at
least.
"""

from __future__ import annotations

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
from mmsa.information.critics import MLPConfig, mlp
from mmsa.information.densities import at_least_float32
from mmsa.registry import Registry

CONDITIONAL_DENSITIES: Registry[ConditionalDensity] = Registry("conditional density")

SMALLEST_SCALE = 1e-3


def positive_scale(raw: Tensor) -> Tensor:
    """A standard deviation >= 1e-3: small enough for strong dependence, with bounded gradients."""
    return F.softplus(at_least_float32(raw)) + SMALLEST_SCALE


class ConditionalDensity(nn.Module):
    """Base: a network whose output parametrises a distribution of y for each x."""

    def distribution(self, x_ND: Tensor) -> Distribution:
        """q(. | x) with batch shape (N,) and event shape (y_dim,)."""
        raise NotImplementedError

    def log_density(self, x_ND: Tensor, y_ND: Tensor) -> Tensor:
        """log q(y_i | x_i), (N,)."""
        value: Tensor = self.distribution(x_ND).log_prob(y_ND)
        return value

    def log_densities(self, x_RD: Tensor, y_CD: Tensor) -> Tensor:
        """log q(y_j | x_i) for every pair, (R, C)."""
        value_CR: Tensor = self.distribution(x_RD).log_prob(y_CD[:, None])
        return value_CR.T


@CONDITIONAL_DENSITIES.register("diagonal")
class DiagonalGaussian(ConditionalDensity):
    """Gaussian with independent features; mean and scale from separate networks, as in CLUB and MMIM."""

    class Config(MLPConfig, Named):
        """Shape of both networks."""

        name: Literal["diagonal"] = "diagonal"

    def __init__(self, config: Config, x_dim: int, y_dim: int):
        super().__init__()
        self.mean = mlp(config, x_dim, y_dim)
        self.raw_scale = mlp(config, x_dim, y_dim)

    def mean_and_scale(self, x_ND: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation of y given x, each (N, y_dim)."""
        return at_least_float32(self.mean(x_ND)), positive_scale(self.raw_scale(x_ND))

    def distribution(self, x_ND: Tensor) -> Distribution:
        """Independent Gaussians."""
        return Independent(Normal(*self.mean_and_scale(x_ND), validate_args=False), 1, validate_args=False)


@CONDITIONAL_DENSITIES.register("full")
class FullGaussian(ConditionalDensity):
    """Gaussian with a full covariance, by its Cholesky factor; parameters grow with y_dim squared."""

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
    """Lower triangular (N, D, D) with a positive diagonal from unconstrained (N, D x D)."""
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
    """q(y|x) of a registered kind."""
    return CONDITIONAL_DENSITIES[config.name](config, x_dim, y_dim)
