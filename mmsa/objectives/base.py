"""What every loss term takes and gives, and the objective that adds them up.

A term sees representations and targets, never a model. Its value is a *loss* (smaller is better for the
optimiser); what it says about information on the way is a monitor, logged under ``bound/…`` and never called
a measurement.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Self

from pydantic import Field
from torch import Tensor, nn

from mmsa.config import Block
from mmsa.data.targets import Targets, TargetSpec
from mmsa.models.base import RepresentationDims, Representations
from mmsa.registry import Registry

Weight = Annotated[float, Field(ge=0.0, allow_inf_nan=False)]


class TermConfig(Block):
    """Settings shared by every term."""

    weight: Weight = 1.0
    """Coefficient of the term in the total loss; 0 leaves the term out of it (and out of the computation)."""


@dataclass(frozen=True)
class TermValue:
    """What a term gives for one batch.

    loss: scalar to be minimised, before the weight. monitors: detached scalars by name, such as
    ``bound/cpc/text`` or ``entropy/skipped``, averaged over the epoch by the loop.
    """

    loss: Tensor
    monitors: Mapping[str, Tensor] = field(default_factory=dict)


class Term(nn.Module):
    """Base of all terms: built from its ``Config`` and the ``RepresentationDims`` of the model.

    All state that outlives a batch (memories, running averages) lives in buffers: checkpoints carry those.
    Where a batch is spread over processes, each of them gives its terms the whole batch, and so keeps the
    same state as the others.

    Attributes:
        never_negative: whether no batch can give a loss below 0.
        requests: further vectors it reads, which a model computes when asked (``Model.request``).
    """

    never_negative: ClassVar[bool] = False
    requests: ClassVar[frozenset[str]] = frozenset()

    @classmethod
    def named(cls, name: str, config: Any, dims: RepresentationDims) -> Self:
        """The term as it stands under ``name`` in an objective.

        A term whose ``Config`` has the field ``term`` may stand under any name and as often as one likes; it
        keeps the name for its monitors.
        """
        return cls(config, dims)

    def prepare(self, spec: TargetSpec) -> None:
        """Called once before training; terms that keep state for each row make room for it.

        Raises:
            ConfigError: for a term that needs labels which the data set does not have.
        """

    def forward(self, representations: Representations, targets: Targets) -> TermValue:
        """The term's loss on a batch, with gradients into the representations."""
        raise NotImplementedError

    def estimator_loss(self, representations: Representations, targets: Targets) -> Tensor | None:
        """The loss that fits the term's own estimator, on detached representations.

        None without an estimator, or where there is nothing yet to fit it to.
        """
        return None

    @classmethod
    def warnings(cls, config: Any) -> list[str]:
        """What the settings of ``config`` (the term's own ``Config``) do that their user may not expect."""
        return []

    def start_epoch(self, epoch: int) -> None:
        """Called before the first batch of each epoch (counted from 0)."""

    def parameter_groups(self) -> dict[str, list[nn.Parameter]]:
        """All parameters that require a gradient: ``estimator`` (for ``estimator_loss``) or ``main``."""
        return {"main": list(self.parameters())}


TERMS: Registry[Term] = Registry("loss term")
TASKS: Registry[nn.Module] = Registry("task loss")
