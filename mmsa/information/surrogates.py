"""Kernel and moment statistics that stand in for information in published objectives.

They have no unit and obey no data-processing inequality, so they have a registry of their own and never share
an axis with nats. ``hsic`` and ``cka`` see the dependence of paired samples. ``mmd``, ``cmd`` and ``coral``
compare the two marginal distributions and do not see the pairing at all.

Shapes: N samples, D features.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from mmsa.config import Block, Named
from mmsa.errors import DataError
from mmsa.information.bounds import mean_off_diagonal, off_diagonal
from mmsa.information.estimators import Estimator, Spec, Value
from mmsa.information.gradients import gather_rows
from mmsa.registry import Registry

SURROGATES: Registry[Surrogate] = Registry("dependence surrogate")


def squared_distances(x_ND: Tensor, y_MD: Tensor) -> Tensor:
    """Return the squared Euclidean distances (N, M).

    Examples:
        >>> squared_distances(torch.tensor([[0.0, 0.0]]), torch.tensor([[3.0, 4.0]]))
        tensor([[25.]])
    """
    norms_NM = x_ND.square().sum(1)[:, None] + y_MD.square().sum(1)
    return (norms_NM - 2 * x_ND @ y_MD.T).clamp(min=0)


def gaussian_kernel(x_ND: Tensor) -> Tensor:
    """Return exp(-distance^2 / median distance^2), (N, N), which is 1 for constant samples.

    The median has no gradient.

    Examples:
        >>> gaussian_kernel(torch.tensor([[0.0], [2.0]]))
        tensor([[1.0000, 0.3679],
                [0.3679, 1.0000]])
    """
    squared_NN = squared_distances(x_ND, x_ND)
    apart = ~torch.eye(len(x_ND), dtype=torch.bool, device=x_ND.device)
    median = squared_NN.detach()[apart].median()
    return torch.exp(-squared_NN / median.clamp(min=torch.finfo(median.dtype).eps))


def unbiased_hsic(kernel_NN: Tensor, other_NN: Tensor) -> Tensor:
    """Estimate HSIC from two kernel matrices without bias (Song et al. 2012). N >= 4; may be negative.

    Examples:
        >>> kernel = gaussian_kernel(torch.tensor([[0.0], [1.0], [2.0], [4.0]]))
        >>> bool(unbiased_hsic(kernel, kernel) > 0)
        True
    """
    count = len(kernel_NN)
    first_NN, second_NN = off_diagonal(kernel_NN, 0.0), off_diagonal(other_NN, 0.0)
    trace = (first_NN * second_NN).sum()
    product_of_sums = first_NN.sum() * second_NN.sum() / ((count - 1) * (count - 2))
    sum_of_products = 2 * (first_NN.sum(0) * second_NN.sum(0)).sum() / (count - 2)
    return (trace + product_of_sums - sum_of_products) / (count * (count - 3))


class Surrogate(Estimator):
    """Base class: a statistic of the whole batch, which a ``penalty`` minimises and a ``loss`` maximises.

    Attributes:
        same_space: Whether it compares two distributions on one space, which needs equal widths.
    """

    same_space: ClassVar[bool] = False

    def __init__(self, config: Block, x_dim: int, y_dim: int):
        super().__init__()
        if self.same_space and x_dim != y_dim:
            raise DataError(
                f"{type(self).__name__} compares samples of one space, not of {x_dim} and {y_dim} features; "
                "project both to the same number"
            )

    def estimate(self, x_ND: Tensor, y_ND: Tensor) -> Value:
        """Return the statistic as the loss, with the sign of its role."""
        x_ND, y_ND = gather_rows(x_ND, self.group), gather_rows(y_ND, self.group)
        if len(x_ND) < self.smallest_batch:
            raise DataError(
                f"{len(x_ND)} sample(s) in the batch; {type(self).__name__} needs at least "
                f"{self.smallest_batch}. Use a larger batch."
            )
        statistic = self.statistic(x_ND, y_ND)
        loss = statistic if self.spec.role == "penalty" else -statistic
        return Value(loss, statistic.detach(), self.ceiling(len(x_ND)))

    def statistic(self, x_ND: Tensor, y_ND: Tensor) -> Tensor:
        """Return the statistic, a scalar."""
        raise NotImplementedError


@SURROGATES.register("hsic")
class HSIC(Surrogate):
    """Hilbert-Schmidt independence criterion, unbiased, with Gaussian kernels of median width."""

    class Config(Named):
        """No settings."""

        name: Literal["hsic"] = "hsic"

    spec = Spec("penalty", "surrogate", "gather", unit=None, reversible=True)
    smallest_batch = 4

    def statistic(self, x_ND: Tensor, y_ND: Tensor) -> Tensor:
        """HSIC."""
        return unbiased_hsic(gaussian_kernel(x_ND), gaussian_kernel(y_ND))


@SURROGATES.register("cka")
class CKA(Surrogate):
    """Linear centred kernel alignment (Kornblith et al. 2019), in [0, 1]. It is too high unless N >> D."""

    class Config(Named):
        """No settings."""

        name: Literal["cka"] = "cka"

    spec = Spec("loss", "surrogate", "gather", unit=None, ceiling=lambda n: 1.0, reversible=True)

    def statistic(self, x_ND: Tensor, y_ND: Tensor) -> Tensor:
        """||Y'X||^2 / (||X'X|| ||Y'Y||) of centred samples; 0 when either is constant."""
        x_ND, y_ND = x_ND - x_ND.mean(0), y_ND - y_ND.mean(0)
        norms = torch.linalg.matrix_norm(x_ND.T @ x_ND) * torch.linalg.matrix_norm(y_ND.T @ y_ND)
        alignment: Tensor = (y_ND.T @ x_ND).square().sum() / norms.clamp(min=torch.finfo(norms.dtype).tiny)
        return alignment


@SURROGATES.register("mmd")
class MMD(Surrogate):
    """Squared maximum mean discrepancy, unbiased (Gretton et al. 2012), with the kernel of ``hsic``."""

    class Config(Named):
        """No settings."""

        name: Literal["mmd"] = "mmd"

    spec = Spec("penalty", "surrogate", "gather", unit=None)
    same_space = True

    def statistic(self, x_ND: Tensor, y_ND: Tensor) -> Tensor:
        """MMD^2."""
        kernel = gaussian_kernel(torch.cat([x_ND, y_ND]))
        count = len(x_ND)
        within = mean_off_diagonal(kernel[:count, :count]) + mean_off_diagonal(kernel[count:, count:])
        return within - 2 * kernel[:count, count:].mean()


@SURROGATES.register("cmd")
class CMD(Surrogate):
    """Central moment discrepancy (Zellinger et al. 2017), by which MISA aligns its shared representations.

    It is meant for samples in an interval of length ``width`` (1 after a sigmoid, 2 after tanh).
    """

    class Config(Named):
        """Which moments, of what interval."""

        name: Literal["cmd"] = "cmd"
        moments: Annotated[int, Field(ge=1, le=10)] = 5
        width: Annotated[float, Field(gt=0.0, allow_inf_nan=False)] = 1.0

    spec = Spec("penalty", "surrogate", "gather", unit=None)
    same_space = True

    def __init__(self, config: Config, x_dim: int, y_dim: int):
        super().__init__(config, x_dim, y_dim)
        self.moments, self.width = config.moments, config.width

    def statistic(self, x_ND: Tensor, y_ND: Tensor) -> Tensor:
        """Return the distance of the means plus those of the central moments, in units of the interval."""
        x_ND, y_ND = x_ND / self.width, y_ND / self.width
        x_mean_D, y_mean_D = x_ND.mean(0), y_ND.mean(0)
        distances = [torch.linalg.vector_norm(x_mean_D - y_mean_D)]
        for order in range(2, self.moments + 1):
            x_moment_D = (x_ND - x_mean_D).pow(order).mean(0)
            y_moment_D = (y_ND - y_mean_D).pow(order).mean(0)
            distances.append(torch.linalg.vector_norm(x_moment_D - y_moment_D))
        return torch.stack(distances).sum()


@SURROGATES.register("coral")
class CORAL(Surrogate):
    """Squared distance of covariances / 4 D^2 (Sun and Saenko 2016), which compares second moments only."""

    class Config(Named):
        """No settings."""

        name: Literal["coral"] = "coral"

    spec = Spec("penalty", "surrogate", "gather", unit=None)
    same_space = True

    def statistic(self, x_ND: Tensor, y_ND: Tensor) -> Tensor:
        """||C_x - C_y||^2 / 4 D^2."""
        difference_DD = torch.cov(x_ND.T) - torch.cov(y_ND.T)
        return difference_DD.square().sum() / (4 * x_ND.shape[1] ** 2)
