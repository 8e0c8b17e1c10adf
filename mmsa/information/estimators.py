"""The interface of all estimators of mutual information.

An estimator is a *loss* (its gradient makes a representation more informative), a *penalty* (its gradient
makes it less informative; its value is never reported as information) or a *measure* (it has no gradient).
What an estimator reads during training is only a monitor: critic and encoder move together, so the number
says little about the information itself.

Shapes: N samples, D features.
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

ESTIMATORS: Registry[Estimator] = Registry("information estimator", "mmsa.estimators")


def unbounded(n: int) -> float:
    """Ceiling of an estimator that has none: infinity."""
    return float("inf")


@dataclass(frozen=True)
class Spec:
    """What an estimator declares about itself.

    Attributes:
        role: What it may be used for.
        kind: How its reading relates to the information: a ``lower`` or ``upper`` bound (in expectation), a
            consistent ``plugin`` estimate, or a ``surrogate`` that merely grows with it.
        reducible: How the objective follows from blocks of rows, each scored against all columns: as their
            ``mean``, as the log of a mean of exponentials (``logmeanexp``), or only from the whole
            (``gather``).
        unit: Nats, or None for a number without a unit.
        ceiling: The largest reading that a batch of n samples can give.
        reversible: Whether the objective is bounded, so that it may also be used in the other direction.
            Lowering it against a critic that is fitted separately is then a game with an end, as in a GAN
            (FactorVAE, Kim and Mnih 2018).
    """

    role: Literal["loss", "penalty", "measure"]
    kind: Literal["lower", "upper", "plugin", "surrogate"]
    reducible: Literal["mean", "logmeanexp", "gather"]
    unit: Literal["nat"] | None = "nat"
    ceiling: Callable[[int], float] = unbounded
    reversible: bool = False


@dataclass(frozen=True)
class Value:
    """Result of an estimator on one batch.

    Attributes:
        loss: Scalar to minimise. That of a measure carries no gradient.
        monitor: The reading, a detached scalar in the declared unit.
        ceiling: The largest reading that this batch could have given.
    """

    loss: Tensor
    monitor: Tensor
    ceiling: float


class EstimatorModule(nn.Module):
    """Common base of the estimators of information and of conditional information.

    All state that outlives a batch is in the state dict.

    Attributes:
        spec: What the estimator declares about itself.
        smallest_batch: The fewest rows that it can work with.
        group: The processes that a batch is spread over, see ``mmsa.information.gradients``. None if this
            process holds the whole batch.
    """

    spec: ClassVar[Spec]
    smallest_batch: ClassVar[int] = 2
    group: ProcessGroup | None = None

    def spread_over(self, group: ProcessGroup | None) -> Self:
        """Share each batch with the processes of ``group``, of which each passes its own rows."""
        for module in self.modules():
            if isinstance(module, EstimatorModule):
                module.group = group
        return self

    def inner_parameters(self) -> list[nn.Parameter]:
        """Parameters that ``inner_loss`` fits. ``loss`` has no gradient with respect to them."""
        return []

    def critic_parameters(self) -> list[nn.Parameter]:
        """Parameters that ``loss`` fits, together with the representations."""
        inner = {id(parameter) for parameter in self.inner_parameters()}
        return [parameter for parameter in self.parameters() if id(parameter) not in inner]

    def in_precision_of_parameters(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """Cast the inputs to the dtype of the parameters, or to float32 at least if there are none."""
        own = next((parameter.dtype for parameter in self.parameters()), None)
        return tuple(value.to(own or torch.promote_types(value.dtype, torch.float32)) for value in inputs)

    def ceiling(self, n: int) -> float:
        """Return the largest possible reading of n samples with this configuration."""
        return self.spec.ceiling(n)


class Estimator(EstimatorModule, ABC):
    """Base class of all estimators of I(X; Y).

    An estimator is built from its ``Config`` and the numbers of features of x and y.
    """

    def forward(self, x_ND: Tensor, y_ND: Tensor) -> Value:
        """Estimate the information of one batch of pairs, (N, D_x) and (N, D_y).

        Raises:
            DataError: If the inputs are not matrices with the same number of rows, or are a single pair.
        """
        refuse_mismatch(x=x_ND, y=y_ND)
        return self.estimate(*self.in_precision_of_parameters(x_ND, y_ND))

    @abstractmethod
    def estimate(self, x_ND: Tensor, y_ND: Tensor) -> Value:
        """Do the work of ``forward`` on checked inputs in the precision of the parameters."""

    def inner_loss(self, x_ND: Tensor, y_ND: Tensor) -> Tensor | None:
        """Return the loss that fits the inner parameters to detached inputs, or None if there are none."""
        return None


def refuse_mismatch(**inputs: Tensor) -> None:
    """Check that all inputs are matrices with one row per sample.

    Raises:
        DataError: If they are not.
    """
    if any(value.ndim != 2 for value in inputs.values()) or len({len(v) for v in inputs.values()}) != 1:
        shapes = ", ".join(f"{name} {tuple(value.shape)}" for name, value in inputs.items())
        raise DataError(f"{shapes}: each must be a matrix (samples, features) with one row per sample")


def refuse_fewer_than_two(pairs: int) -> None:
    """Check that there are pairs that do not belong together, without which there is no information.

    Raises:
        DataError: If there are fewer than two pairs.
    """
    if pairs < 2:
        raise DataError(f"{pairs} pair(s) in the batch; at least 2 are needed. Use a larger batch.")
