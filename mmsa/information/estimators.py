"""What every estimator of mutual information declares, takes and gives.

An estimator is a *loss* (its gradient makes a representation informative), a *penalty* (its gradient makes it
uninformative; never reported as information) or a *measure* (no gradient). The value read during training is
a monitor: critic and encoder move together, so it says little about the information itself. Shapes: N
samples, D features.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Literal, Self

import torch
from torch import Tensor, nn
from torch.distributed import ProcessGroup

from mmsa.errors import DataError
from mmsa.registry import Registry

ESTIMATORS: Registry[Estimator] = Registry("information estimator")


def unbounded(n: int) -> float:
    """The ceiling of an estimator without one."""
    return float("inf")


@dataclass(frozen=True)
class Spec:
    """What an estimator declares about itself.

    role: what it may be used for. kind: what its reading is of the information: ``lower`` or ``upper`` bound
    (in expectation), consistent ``plugin`` estimate, or a ``surrogate`` that merely grows with it.
    unit: nats, or None where the number has no unit. ceiling: the largest reading a batch of n can give.
    reducible: how the objective follows from blocks of rows, each scored against all columns: as their
    ``mean``, as the log of a mean of exponentials (``logmeanexp``), or only from the whole (``gather``).
    reversible: whether the objective is bounded, so that a loss may be raised and a penalty lowered as well:
    against a critic that is fitted apart, as in a GAN, this is a game with an end (FactorVAE, Kim and Mnih
    2018).
    """

    role: Literal["loss", "penalty", "measure"]
    kind: Literal["lower", "upper", "plugin", "surrogate"]
    reducible: Literal["mean", "logmeanexp", "gather"]
    unit: Literal["nat"] | None = "nat"
    ceiling: Callable[[int], float] = unbounded
    reversible: bool = False


@dataclass(frozen=True)
class Value:
    """What an estimator gives for one batch.

    loss: scalar to minimise; for a measure it carries no gradient. monitor: the reading, detached scalar in
    the declared unit. ceiling: the largest reading this batch could have given.
    """

    loss: Tensor
    monitor: Tensor
    ceiling: float


class EstimatorModule(nn.Module):
    """What estimators of information and of conditional information share.

    State that outlives a batch is in the state dict.

    Attributes:
        spec: what it declares about itself.
        smallest_batch: rows that a batch has at least.
        group: the processes a batch is spread over, see ``mmsa.information.gradients``; None where this
            one holds it all.
    """

    spec: ClassVar[Spec]
    smallest_batch: ClassVar[int] = 2
    group: ProcessGroup | None = None

    def spread_over(self, group: ProcessGroup | None) -> Self:
        """Let each process of ``group`` give its own rows of a common batch."""
        for module in self.modules():
            if isinstance(module, EstimatorModule):
                module.group = group
        return self

    def inner_parameters(self) -> list[nn.Parameter]:
        """Parameters that ``inner_loss`` fits; ``loss`` has no gradient into them."""
        return []

    def critic_parameters(self) -> list[nn.Parameter]:
        """Parameters that ``loss`` fits together with the representations."""
        inner = {id(parameter) for parameter in self.inner_parameters()}
        return [parameter for parameter in self.parameters() if id(parameter) not in inner]

    def in_precision_of_parameters(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """The inputs in the dtype of the parameters; float32 at least where there are none."""
        own = next((parameter.dtype for parameter in self.parameters()), None)
        return tuple(value.to(own or torch.promote_types(value.dtype, torch.float32)) for value in inputs)

    def ceiling(self, n: int) -> float:
        """The largest reading with this configuration and n samples; at most the declared one."""
        return self.spec.ceiling(n)


class Estimator(EstimatorModule, ABC):
    """Base of all estimators of I(X; Y): built from its ``Config`` and the numbers of features of x and y."""

    def forward(self, x_ND: Tensor, y_ND: Tensor) -> Value:
        """Value of one batch of pairs.

        Raises:
            DataError: for inputs that are not matrices with the same number of rows, or for a single pair.
        """
        refuse_mismatch(x=x_ND, y=y_ND)
        return self.estimate(*self.in_precision_of_parameters(x_ND, y_ND))

    @abstractmethod
    def estimate(self, x_ND: Tensor, y_ND: Tensor) -> Value:
        """``forward`` on checked inputs in the precision of the parameters."""

    def inner_loss(self, x_ND: Tensor, y_ND: Tensor) -> Tensor | None:
        """The loss that fits the inner parameters, for detached inputs; None without such parameters."""
        return None


def refuse_mismatch(**inputs: Tensor) -> None:
    """Samples are rows.

    Raises:
        DataError: for inputs that are not matrices with the same number of rows.
    """
    if any(value.ndim != 2 for value in inputs.values()) or len({len(v) for v in inputs.values()}) != 1:
        shapes = ", ".join(f"{name} {tuple(value.shape)}" for name, value in inputs.items())
        raise DataError(f"{shapes}: each must be a matrix (samples, features) with one row per sample")


def refuse_fewer_than_two(pairs: int) -> None:
    """Information needs pairs that do not belong together.

    Raises:
        DataError: for fewer than two pairs.
    """
    if pairs < 2:
        raise DataError(f"{pairs} pair(s) in the batch; at least 2 are needed. Use a larger batch.")
