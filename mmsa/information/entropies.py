"""Entropies of a batch, h(Y) in nats, for Barber-Agakov and difference-of-entropies estimates.

An entropy is a module whose value has gradients into y only. What it has to learn of the density of y is
fitted by ``inner_loss``; with such a learned density q the value is the cross-entropy -E log q(y) >= h(Y).
"""

from __future__ import annotations

import math
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.distributed import ProcessGroup
from torch.distributions import (
    Categorical,
    Distribution,
    Independent,
    MixtureSameFamily,
    MultivariateNormal,
    Normal,
)

from mmsa.config import Named
from mmsa.information.bounds import off_diagonal
from mmsa.information.conditional_densities import cholesky_factor, positive_scale
from mmsa.information.densities import LOG_2PI, at_least_float32, gaussian_entropy
from mmsa.information.distributed import gather_rows
from mmsa.information.gradients import frozen
from mmsa.registry import Registry

ENTROPIES: Registry[Entropy] = Registry("entropy")


class Entropy(nn.Module):
    """Base of all entropies: built from its ``Config`` and the number of features."""

    def forward(self, y_ND: Tensor, group: ProcessGroup | None) -> Tensor:
        """h(Y) of the batch that ``group`` holds together, scalar, with gradients into y only."""
        raise NotImplementedError

    def inner_loss(self, y_ND: Tensor, group: ProcessGroup | None) -> Tensor | None:
        """The loss that fits the density, for detached y; None where nothing is learned."""
        return None


@ENTROPIES.register("gaussian")
class GaussianEntropy(Entropy):
    """The entropy of the Gaussian with the batch's covariance, shrunk as by Ledoit and Wolf; >= h(Y)."""

    class Config(Named):
        """No settings."""

        name: Literal["gaussian"] = "gaussian"

    def __init__(self, config: Config, dims: int):
        super().__init__()

    def forward(self, y_ND: Tensor, group: ProcessGroup | None) -> Tensor:
        """Needs clearly more samples than features; with fewer the shrinkage dominates."""
        return gaussian_entropy(gather_rows(y_ND, group)).to(y_ND.dtype)


@ENTROPIES.register("kde")
class KernelEntropy(Entropy):
    """-mean log of a leave-one-out kernel density with Silverman's bandwidth.

    For few dimensions and one cluster: the width is that of a Gaussian, far too wide for several clusters.
    """

    class Config(Named):
        """No settings."""

        name: Literal["kde"] = "kde"

    def __init__(self, config: Config, dims: int):
        super().__init__()

    def forward(self, y_ND: Tensor, group: ProcessGroup | None) -> Tensor:
        """The bandwidth follows the batch, without gradient."""
        y_ND = at_least_float32(gather_rows(y_ND, group))
        count, dims = y_ND.shape
        silverman = (4 / (dims + 2) / count) ** (1 / (dims + 4))
        bandwidth_D = (silverman * y_ND.detach().std(0)).clamp(min=1e-4)
        scaled_ND = (y_ND - y_ND.detach().mean(0)) / bandwidth_D
        norm_N = scaled_ND.square().sum(1)
        squared_NN = (norm_N[:, None] + norm_N - 2 * scaled_ND @ scaled_ND.T).clamp(min=0)
        log_sum_N = off_diagonal(-0.5 * squared_NN).logsumexp(1)
        entropy: Tensor = (
            math.log(count - 1) + bandwidth_D.log().sum() + 0.5 * dims * LOG_2PI - log_sum_N.mean()
        )
        return entropy


class LearnedDensityEntropy(Entropy):
    """Base of the entropies that are cross-entropies with a learned density."""

    def density(self) -> Distribution:
        """The learned density of y."""
        raise NotImplementedError

    def inner_loss(self, y_ND: Tensor, group: ProcessGroup | None) -> Tensor:
        """-mean log q(y)."""
        log_density_N = self.density().log_prob(at_least_float32(y_ND))
        return -gather_rows(log_density_N, group).mean()

    def forward(self, y_ND: Tensor, group: ProcessGroup | None) -> Tensor:
        """The same number, with gradients into y and not into the density."""
        with frozen(self):
            return self.inner_loss(y_ND, group)


class MixtureConfig(Named):
    """The size of a mixture."""

    components: Annotated[int, Field(ge=1, le=256)] = 8


@ENTROPIES.register("gmm")
class MixtureEntropy(LearnedDensityEntropy):
    """Cross-entropy with a learned mixture of Gaussians with independent features."""

    class Config(MixtureConfig):
        """Size of the mixture."""

        name: Literal["gmm"] = "gmm"

    def __init__(self, config: Config, dims: int):
        super().__init__()
        self.logits_K = nn.Parameter(torch.zeros(config.components))
        self.mean_KD = nn.Parameter(torch.randn(config.components, dims))
        self.raw_scale_KD = nn.Parameter(torch.zeros(config.components, dims))

    def density(self) -> Distribution:
        """The mixture."""
        gaussians = Normal(self.mean_KD, positive_scale(self.raw_scale_KD), validate_args=False)
        return _mixture(self.logits_K, Independent(gaussians, 1, validate_args=False))


@ENTROPIES.register("knife")
class KnifeEntropy(LearnedDensityEntropy):
    """KNIFE (Pichler et al. 2022): learned Gaussian kernels with full covariances."""

    class Config(MixtureConfig):
        """Number of kernels."""

        name: Literal["knife"] = "knife"

    def __init__(self, config: Config, dims: int):
        super().__init__()
        self.logits_K = nn.Parameter(torch.zeros(config.components))
        self.mean_KD = nn.Parameter(torch.randn(config.components, dims))
        self.raw_factor_KF = nn.Parameter(torch.zeros(config.components, dims * dims))

    def density(self) -> Distribution:
        """The kernels' mixture."""
        factor_KDD = cholesky_factor(self.raw_factor_KF)
        return _mixture(
            self.logits_K, MultivariateNormal(self.mean_KD, scale_tril=factor_KDD, validate_args=False)
        )


def _mixture(logits_K: Tensor, components: Distribution) -> Distribution:
    weights = Categorical(logits=logits_K, validate_args=False)
    return MixtureSameFamily(weights, components, validate_args=False)
