"""The interface of all loss terms.

A term sees representations and targets, never a model. Its value is a *loss* (smaller is better for the
optimiser). What it reads of information on the way is a monitor, which is logged under ``bound/…`` and never
called a measurement.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field
from torch import Tensor, nn

from mmsa.config import Block
from mmsa.data.corpus import ModalityName
from mmsa.data.targets import Targets, TrainTargets
from mmsa.information.target.mimrl import Shares
from mmsa.models.base import RepresentationDims, Representations
from mmsa.registry import Registry

Weight = Annotated[float, Field(ge=0.0, allow_inf_nan=False)]


class TermConfig(Block):
    """Settings shared by all terms."""

    weight: Weight = 1.0
    """Coefficient of the term in the total loss; 0 leaves the term out of it (and out of the computation)."""

    @property
    def contributes(self) -> bool:
        """Whether the term is built: its weight is above 0, and one of its coefficients if it has any."""
        return self.weight > 0


@dataclass(frozen=True)
class InformationCoefficient:
    """A coefficient of a term on information: what it raises, and by which estimators.

    Attributes:
        path: The setting, relative to the term, such as ``invariant.text_audio``.
        level: Whether the information is that of the inputs among each other or that of the fused vector.
        kind: The kind of information, such as ``specific``.
        value: Of the coefficient, before the weight of the term.
        raises: How often each information is added; it is lowered where this is below 0.
        estimators: Names of the estimators by the path of the setting relative to the term, which is empty if
            there is no choice.
    """

    path: str
    level: Literal["input", "fusion"]
    kind: str
    value: float
    raises: Shares
    estimators: Mapping[str, str]


@dataclass(frozen=True)
class TermValue:
    """Result of a term on one batch.

    Attributes:
        loss: Scalar to minimise, before the weight.
        monitors: Detached scalars by name, such as ``bound/cpc/text`` or ``entropy/skipped``, which the loop
            averages over the epoch.
    """

    loss: Tensor
    monitors: Mapping[str, Tensor] = field(default_factory=dict)


class Term(nn.Module):
    """Base class of all terms.

    A term is built from its ``Config`` and the ``RepresentationDims`` of the model. All state that outlives a
    batch (memories, running averages) lives in buffers, which checkpoints carry. If a batch is spread over
    processes, each of them passes the whole batch to its terms, so that all have the same state.

    Attributes:
        never_negative: Whether no batch can give a loss below 0.
        requests: Further vectors that it reads, which a model computes on request (``Model.request``).
    """

    never_negative: ClassVar[bool] = False
    requests: ClassVar[frozenset[str]] = frozenset()

    @classmethod
    def named(cls, name: str, config: Any, dims: RepresentationDims) -> Self:
        """Build the term that stands under ``name`` in an objective.

        A term whose ``Config`` has the field ``term`` may occur any number of times, under names that a user
        chooses, and uses its name for monitors and errors.
        """
        return cls(config, dims)

    def prepare(self, spec: TrainTargets) -> None:
        """Prepare for training on a data set: terms that keep state for each row allocate it.

        Raises:
            ConfigError: If the term needs labels that the data set does not have.
        """

    def forward(self, representations: Representations, targets: Targets) -> TermValue:
        """Compute the loss on a batch, with gradients into the representations."""
        raise NotImplementedError

    def estimator_loss(self, representations: Representations, targets: Targets) -> Tensor | None:
        """Return the loss that fits the estimator of the term to detached representations.

        It is None without an estimator, or if there is nothing yet to fit it to.
        """
        return None

    @classmethod
    def coefficients(cls, config: Any, modalities: Collection[ModalityName]) -> list[InformationCoefficient]:
        """Return the coefficients on information that exist among ``modalities``, for ``config``."""
        return []

    @classmethod
    def warnings(cls, config: Any) -> list[str]:
        """Return what the settings in ``config``, a ``Config`` of the term, do that users may not expect."""
        return []

    def start_epoch(self, epoch: int) -> None:
        """Prepare for an epoch, counted from 0, before its first batch."""

    def parameter_groups(self) -> dict[str, list[nn.Parameter]]:
        """Return all trained parameters: ``estimator`` (by ``estimator_loss``) or ``main``."""
        return {"main": list(self.parameters())}


TERMS: Registry[Term] = Registry("loss term", "mmsa.terms")
TASKS: Registry[Any] = Registry("task loss")
