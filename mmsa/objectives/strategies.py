"""Strategies: which passes over the training split make up an epoch, and what each of them trains.

Shapes: B rows of a batch, D the width of the fused vector.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from mmsa.config import Named
from mmsa.registry import Registry

STRATEGIES: Registry[Strategy] = Registry("training strategy")

_MODEL = ("pretrained", "main", "mixture")


@dataclass(frozen=True)
class Pass:
    """One pass over the training split. It is left out if none of its groups has a parameter.

    Attributes:
        loss: ``estimator`` fits the estimators of terms to detached representations and never back-propagates
            through the encoders, ``main`` is the weighted sum of task and terms, ``joint`` is both in one
            step.
        groups: The parameter groups that are stepped.
        fraction: The part of the batches that is visited.
        alternating: Visit each batch once for each modality, with that modality alone.
    """

    loss: Literal["estimator", "main", "joint"]
    groups: tuple[str, ...]
    fraction: float = 1.0
    alternating: bool = False


class Strategy(ABC):
    """Base class of all strategies, built from a ``Config``.

    Attributes:
        takes_terms: Whether terms besides the task loss make sense with it.
    """

    takes_terms: ClassVar[bool] = True

    @abstractmethod
    def __init__(self, config: Named): ...

    @abstractmethod
    def passes(self, epoch: int) -> tuple[Pass, ...]:
        """Return the passes of ``epoch``, counted from 0."""


@STRATEGIES.register("joint")
class JointStrategy(Strategy):
    """Everything in one pass, in which estimators and model step together."""

    class Config(Named):
        """No settings."""

        name: Literal["joint"] = "joint"

    def __init__(self, config: Config):
        self.config = config

    def passes(self, epoch: int) -> tuple[Pass, ...]:
        """Return the one pass."""
        return (Pass("joint", (*_MODEL, "estimator")),)


@STRATEGIES.register("two_stage")
class TwoStageStrategy(Strategy):
    """Fit the estimators first, then train the model with the estimators frozen (MMIM section 3.4, MIMRL)."""

    class Config(Named):
        """How much of the estimator stage an epoch has."""

        name: Literal["two_stage"] = "two_stage"
        repeats: Annotated[int, Field(ge=1, le=10)] = 1
        """Estimator passes before each main pass."""
        fraction: Annotated[float, Field(gt=0.0, le=1.0)] = 1.0
        """Part of the batches an estimator pass visits; MMIM's code uses 0.5 on MOSEI."""

    def __init__(self, config: Config):
        self.config = config

    def passes(self, epoch: int) -> tuple[Pass, ...]:
        """Return the estimator passes and the main pass."""
        estimator = Pass("estimator", ("estimator",), self.config.fraction)
        return (*(estimator for _ in range(self.config.repeats)), Pass("main", _MODEL))


@STRATEGIES.register("alternating")
class AlternatingStrategy(Strategy):
    """MLA: each batch trains one modality after the other through the common head, never all together.

    Zhang et al., "Multimodal Representation Learning by Alternating Unimodal Adaptation", CVPR 2024. MLA
    classifies, and weighs predictions by their entropy: ``weights: entropy`` of the fusion ``average``. For
    numbers, which have none, a second pass fits learnt weights of it, one for each modality, and leaves
    everything else as it is.
    """

    class Config(Named):
        """What becomes of the gradient of the common head, and how long its inputs' weights are fitted."""

        name: Literal["alternating"] = "alternating"
        orthogonal_head: bool = True
        """Project the gradient of the head away from directions that earlier turns have used."""
        alpha: Annotated[float, Field(gt=0.0, le=10.0)] = 0.1
        """How much of a used direction is left; the released code lowers it from 0.1 to 0.01 in an epoch."""
        mixture: Annotated[float, Field(gt=0.0, le=1.0)] = 1.0
        """Part of the batches that the weights of the modalities are fitted on."""

    takes_terms = False

    def __init__(self, config: Config):
        self.config = config

    def passes(self, epoch: int) -> tuple[Pass, ...]:
        """Return the alternating pass, and the one that fits the weights of the modalities."""
        return (
            Pass("main", ("pretrained", "main"), alternating=True),
            Pass("main", ("mixture",), self.config.mixture),
        )


class HeadProjection(nn.Module):
    """Keeps the training of the common head by one modality from undoing that by another (MLA).

    The gradient of the head is multiplied by a matrix P, which shrinks along directions that were used. With
    r the mean input of the head in a batch and k = P r, it becomes P - k k' / (alpha + r'k), divided by its
    Frobenius norm. The denominator is the scalar of recursive least squares; the released code divides by an
    outer product.
    """

    projection: Tensor

    def __init__(self, width: int, alpha: float):
        super().__init__()
        self.alpha = alpha
        self.register_buffer("projection", torch.eye(width))

    @torch.no_grad()
    def forward(self, gradient: Tensor, input_BD: Tensor) -> None:
        """Project the head's gradient (1, D) in place, then take this batch's directions into account."""
        # In this order: along its own direction a batch has to be trained, only later ones must leave it
        # alone.
        gradient.copy_(gradient @ self.projection)
        mean_D = input_BD.mean(0)
        used_D = self.projection @ mean_D
        self.projection -= used_D.outer(used_D) / (self.alpha + mean_D @ used_D)
        self.projection /= torch.linalg.matrix_norm(self.projection)
