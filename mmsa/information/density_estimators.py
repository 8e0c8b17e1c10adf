"""Entropies of a batch, and the estimators built on them and on a conditional density q(y|x). In nats.

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

from mmsa.config import Named, one_of
from mmsa.information import bounds
from mmsa.information.bounds import at_least_float32, off_diagonal
from mmsa.information.densities import (
    CONDITIONAL_DENSITIES,
    LOG_2PI,
    DiagonalGaussian,
    cholesky_factor,
    conditional_density,
    gaussian_entropy,
    gaussian_log_density_mmim_code,
    positive_scale,
)
from mmsa.information.estimators import ESTIMATORS, Estimator, Spec, Value, refuse_fewer_than_two
from mmsa.information.gradients import frozen, gather_rows
from mmsa.registry import Registry

ENTROPIES: Registry[Entropy] = Registry("entropy")


class Entropy(nn.Module):
    """Base class of all entropies, built from a ``Config`` and the number of features."""

    def forward(self, y_ND: Tensor, group: ProcessGroup | None) -> Tensor:
        """Return h(Y) of the batch that ``group`` holds together, a scalar with gradients into y only."""
        raise NotImplementedError

    def inner_loss(self, y_ND: Tensor, group: ProcessGroup | None) -> Tensor | None:
        """Return the loss that fits the density to detached y, or None if nothing is learned."""
        return None


@ENTROPIES.register("gaussian")
class GaussianEntropy(Entropy):
    """Entropy of the Gaussian with the covariance of the batch, shrunk by Ledoit and Wolf; >= h(Y)."""

    class Config(Named):
        """No settings."""

        name: Literal["gaussian"] = "gaussian"

    def __init__(self, config: Config, dims: int):
        super().__init__()

    def forward(self, y_ND: Tensor, group: ProcessGroup | None) -> Tensor:
        """Return h(Y). With no more samples than features, the shrinkage dominates."""
        return gaussian_entropy(gather_rows(y_ND, group)).to(y_ND.dtype)


@ENTROPIES.register("kde")
class KernelEntropy(Entropy):
    """Entropy by a leave-one-out kernel density with Silverman's bandwidth.

    It is meant for few dimensions and one cluster: the width is that of a Gaussian, far too wide for several
    clusters.
    """

    class Config(Named):
        """No settings."""

        name: Literal["kde"] = "kde"

    def __init__(self, config: Config, dims: int):
        super().__init__()

    def forward(self, y_ND: Tensor, group: ProcessGroup | None) -> Tensor:
        """Return h(Y)."""
        # The bandwidth follows the batch without gradient: the gradient is that of where the samples lie.
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
    """Base class of the entropies that are cross-entropies with a learned density."""

    def density(self) -> Distribution:
        """Return the learned density of y."""
        raise NotImplementedError

    def inner_loss(self, y_ND: Tensor, group: ProcessGroup | None) -> Tensor:
        """Return -mean log q(y)."""
        log_density_N = self.density().log_prob(at_least_float32(y_ND))
        return -gather_rows(log_density_N, group).mean()

    def forward(self, y_ND: Tensor, group: ProcessGroup | None) -> Tensor:
        """Return the same number, with gradients into y and not into the density."""
        with frozen(self):
            return self.inner_loss(y_ND, group)


class MixtureConfig(Named):
    """Size of a mixture."""

    components: Annotated[int, Field(ge=1, le=256)] = 8


@ENTROPIES.register("gmm")
class MixtureEntropy(LearnedDensityEntropy):
    """Cross-entropy with a learned mixture of Gaussians whose features are independent."""

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
    """KNIFE (Pichler et al. 2022), cross-entropy with learned Gaussian kernels of full covariance."""

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


@ESTIMATORS.register("barber_agakov")
class BarberAgakov(Estimator):
    """E log q(y|x) + h(Y), which with an exact h is the lower bound of Barber and Agakov (2003).

    With an estimated h it is the difference of entropies of McAllester and Stratos (2020) and no bound: the
    Gaussian entropy and the cross-entropies ``gmm`` and ``knife`` are above h(Y).
    """

    class Config(Named):
        """The conditional density and the entropy."""

        name: Literal["barber_agakov"] = "barber_agakov"
        conditional: Annotated[Named, one_of(CONDITIONAL_DENSITIES)] = DiagonalGaussian.Config()
        entropy: Annotated[Named, one_of(ENTROPIES)] = GaussianEntropy.Config()

    spec = Spec("loss", "plugin", "gather")

    def __init__(self, config: Config, x_dim: int, y_dim: int):
        super().__init__()
        self.conditional = conditional_density(config.conditional, x_dim, y_dim)
        self.entropy = ENTROPIES[config.entropy.name](config.entropy, y_dim)

    def estimate(self, x_ND: Tensor, y_ND: Tensor) -> Value:
        """Return the negative estimate as the loss."""
        log_density_N = gather_rows(self.conditional.log_density(x_ND, y_ND), self.group)
        refuse_fewer_than_two(len(log_density_N))
        estimate = log_density_N.mean() + self.entropy(y_ND, self.group)
        return Value(-estimate, estimate.detach(), self.ceiling(len(log_density_N)))

    def inner_loss(self, x_ND: Tensor, y_ND: Tensor) -> Tensor | None:
        """Return the loss of the density behind the entropy, if there is one."""
        return self.entropy.inner_loss(y_ND, self.group)

    def inner_parameters(self) -> list[nn.Parameter]:
        """Those of the entropy."""
        return list(self.entropy.parameters())


@ESTIMATORS.register("barber_agakov_mmim_code")
class BarberAgakovMMIMCode(Estimator):
    """Likelihood term of MMIM's released code, -1/2 E sum (y - mean)^2 / variance, for comparison only.

    Without -1/2 log variance it is a surrogate without a unit: a large variance brings it to 0 whatever the
    dependence.
    """

    class Config(Named):
        """The conditional density."""

        name: Literal["barber_agakov_mmim_code"] = "barber_agakov_mmim_code"
        conditional: DiagonalGaussian.Config = DiagonalGaussian.Config()

    spec = Spec("loss", "surrogate", "mean", unit=None, ceiling=lambda n: 0.0)

    def __init__(self, config: Config, x_dim: int, y_dim: int):
        super().__init__()
        self.conditional = DiagonalGaussian(config.conditional, x_dim, y_dim)

    def estimate(self, x_ND: Tensor, y_ND: Tensor) -> Value:
        """Return the negative term as the loss."""
        mean_ND, scale_ND = self.conditional.mean_and_scale(x_ND)
        quadratic_N = gaussian_log_density_mmim_code(y_ND, mean_ND, 2 * scale_ND.log())
        quadratic_N = gather_rows(quadratic_N, self.group)
        refuse_fewer_than_two(len(quadratic_N))
        quadratic = quadratic_N.mean()
        return Value(-quadratic, quadratic.detach(), self.ceiling(len(quadratic_N)))


class PenaltyConfig(Named):
    """Settings shared by the penalties."""

    conditional: Annotated[Named, one_of(CONDITIONAL_DENSITIES)] = DiagonalGaussian.Config()


class DensityPenalty(Estimator):
    """Base class of the penalties on log q(y_j | x_i) of all pairs. Only ``inner_loss`` fits q."""

    def __init__(self, config: PenaltyConfig, x_dim: int, y_dim: int):
        super().__init__()
        self.conditional = conditional_density(config.conditional, x_dim, y_dim)

    def log_densities(self, x_ND: Tensor, y_ND: Tensor) -> Tensor:
        """Return [i, j] = log q(y_j | x_i) of the whole batch. Each process computes its own rows."""
        with frozen(self.conditional):
            columns_CD = gather_rows(y_ND, self.group)
            refuse_fewer_than_two(len(columns_CD))
            return gather_rows(self.conditional.log_densities(x_ND, columns_CD), self.group)

    def estimate(self, x_ND: Tensor, y_ND: Tensor) -> Value:
        """Return the penalty as the loss."""
        log_density_NN = self.log_densities(x_ND, y_ND)
        penalty = self.penalty(log_density_NN)
        return Value(penalty, penalty.detach(), self.ceiling(len(log_density_NN)))

    def penalty(self, log_density_NN: Tensor) -> Tensor:
        """Return what is minimised, a scalar."""
        raise NotImplementedError

    def inner_loss(self, x_ND: Tensor, y_ND: Tensor) -> Tensor:
        """Return -mean log q(y|x)."""
        return -gather_rows(self.conditional.log_density(x_ND, y_ND), self.group).mean()

    def inner_parameters(self) -> list[nn.Parameter]:
        """Those of q."""
        return list(self.conditional.parameters())


@ESTIMATORS.register("club")
class CLUB(DensityPenalty):
    """CLUB, which with a perfect q is information plus the reverse divergence: a penalty, never a reading."""

    class Config(PenaltyConfig):
        """The conditional density."""

        name: Literal["club"] = "club"

    spec = Spec("penalty", "upper", "mean")

    def penalty(self, log_density_NN: Tensor) -> Tensor:
        """CLUB's value."""
        return bounds.club(log_density_NN)


@ESTIMATORS.register("l1out")
class L1Out(DensityPenalty):
    """Leave-one-out upper bound, which is closer to the information than CLUB."""

    class Config(PenaltyConfig):
        """The conditional density."""

        name: Literal["l1out"] = "l1out"

    spec = Spec("penalty", "upper", "gather")

    def penalty(self, log_density_NN: Tensor) -> Tensor:
        """The bound."""
        return bounds.l1out(log_density_NN)
