"""Estimators built on a conditional density q(y|x)."""

from __future__ import annotations

from typing import Annotated, Literal

from torch import Tensor, nn

from mmsa.config import Named, one_of
from mmsa.information import bounds
from mmsa.information.conditional_densities import (
    CONDITIONAL_DENSITIES,
    DiagonalGaussian,
    conditional_density,
)
from mmsa.information.densities import gaussian_log_density_mmim_code
from mmsa.information.distributed import gather_rows
from mmsa.information.entropies import ENTROPIES, GaussianEntropy
from mmsa.information.estimators import ESTIMATORS, Estimator, Spec, Value, refuse_fewer_than_two
from mmsa.information.gradients import frozen


@ESTIMATORS.register("barber_agakov")
class BarberAgakov(Estimator):
    """E log q(y|x) + h(Y): Barber and Agakov's lower bound (2003) where h is exact.

    With an estimated h it is McAllester and Stratos's difference of entropies (2020) and no bound: the
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
        """The negative estimate as a loss."""
        log_density_N = gather_rows(self.conditional.log_density(x_ND, y_ND), self.group)
        refuse_fewer_than_two(len(log_density_N))
        estimate = log_density_N.mean() + self.entropy(y_ND, self.group)
        return Value(-estimate, estimate.detach(), self.ceiling(len(log_density_N)))

    def inner_loss(self, x_ND: Tensor, y_ND: Tensor) -> Tensor | None:
        """Fits the density behind the entropy, where there is one."""
        return self.entropy.inner_loss(y_ND, self.group)

    def inner_parameters(self) -> list[nn.Parameter]:
        """Those of the entropy."""
        return list(self.entropy.parameters())


@ESTIMATORS.register("barber_agakov_mmim_code")
class BarberAgakovMMIMCode(Estimator):
    """The likelihood term of MMIM's released code: -1/2 E sum (y - mean)^2 / variance.

    Without -1/2 log variance it is a surrogate without unit: a large variance brings it to 0 whatever the
    dependence. For comparison only.
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
        """The negative term as a loss."""
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
    """Base of the penalties on log q(y_j | x_i) of all pairs; q is fitted by ``inner_loss`` alone."""

    def __init__(self, config: PenaltyConfig, x_dim: int, y_dim: int):
        super().__init__()
        self.conditional = conditional_density(config.conditional, x_dim, y_dim)

    def log_densities(self, x_ND: Tensor, y_ND: Tensor) -> Tensor:
        """[i, j] = log q(y_j | x_i) of the whole batch. Each process computes the rows of its own samples."""
        with frozen(self.conditional):
            columns_CD = gather_rows(y_ND, self.group)
            refuse_fewer_than_two(len(columns_CD))
            return gather_rows(self.conditional.log_densities(x_ND, columns_CD), self.group)

    def estimate(self, x_ND: Tensor, y_ND: Tensor) -> Value:
        """The penalty as a loss."""
        log_density_NN = self.log_densities(x_ND, y_ND)
        penalty = self.penalty(log_density_NN)
        return Value(penalty, penalty.detach(), self.ceiling(len(log_density_NN)))

    def penalty(self, log_density_NN: Tensor) -> Tensor:
        """What is minimised, scalar."""
        raise NotImplementedError

    def inner_loss(self, x_ND: Tensor, y_ND: Tensor) -> Tensor:
        """-mean log q(y|x)."""
        return -gather_rows(self.conditional.log_density(x_ND, y_ND), self.group).mean()

    def inner_parameters(self) -> list[nn.Parameter]:
        """Those of q."""
        return list(self.conditional.parameters())


@ESTIMATORS.register("club")
class CLUB(DensityPenalty):
    """CLUB: information plus the reverse divergence at a perfect q, so a penalty and never a reading."""

    class Config(PenaltyConfig):
        """The conditional density."""

        name: Literal["club"] = "club"

    spec = Spec("penalty", "upper", "mean")

    def penalty(self, log_density_NN: Tensor) -> Tensor:
        """CLUB's value."""
        return bounds.club(log_density_NN)


@ESTIMATORS.register("l1out")
class L1Out(DensityPenalty):
    """Leave-one-out upper bound, closer to the information than CLUB."""

    class Config(PenaltyConfig):
        """The conditional density."""

        name: Literal["l1out"] = "l1out"

    spec = Spec("penalty", "upper", "gather")

    def penalty(self, log_density_NN: Tensor) -> Tensor:
        """The bound."""
        return bounds.l1out(log_density_NN)
