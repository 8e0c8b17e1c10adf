"""The objective: a task loss and a named weighted sum of terms."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

import torch
from torch import Tensor, nn

from mmsa.config import Block, keyed_by, one_of
from mmsa.models.base import RepresentationDims, Representations
from mmsa.objectives.base import TASKS, TERMS, Term
from mmsa.objectives.strategies import STRATEGIES, Joint
from mmsa.objectives.tasks import MeanAbsoluteError


class ObjectiveConfig(Block):
    """What is minimised, and in which passes."""

    task: Annotated[Block, one_of(TASKS)] = MeanAbsoluteError.Config()
    terms: Annotated[Mapping[str, Block], keyed_by(TERMS)] = {}
    strategy: Annotated[Block, one_of(STRATEGIES)] = Joint.Config()


def warnings(config: ObjectiveConfig) -> list[str]:
    """What the settings of the terms do that their user may not expect, with the path of the term."""
    return [
        f"objective.terms.{name}: {warning}"
        for name, term in config.terms.items()
        for warning in TERMS[name].warnings(term)
    ]


@dataclass(frozen=True)
class ObjectiveValue:
    """The parts of the loss on one batch.

    losses: each weighted loss by name (``task``, and the terms with a weight above 0), with gradients.
    monitors: detached scalars by name.
    """

    losses: Mapping[str, Tensor]
    monitors: Mapping[str, Tensor]

    def total(self) -> Tensor:
        """The scalar that is back-propagated."""
        return torch.stack([loss.float() for loss in self.losses.values()]).sum()


class Objective(nn.Module):
    """Task loss + sum of weight x term. A term of weight 0 is not built at all."""

    def __init__(self, config: ObjectiveConfig, dims: RepresentationDims):
        super().__init__()
        self.weights = {name: term.weight for name, term in config.terms.items() if term.weight > 0}  # type: ignore[attr-defined]
        self.task: nn.Module = TASKS[config.task.name](config.task)  # type: ignore[attr-defined]
        self.terms = nn.ModuleDict({name: TERMS[name](config.terms[name], dims) for name in self.weights})

    def _each_term(self) -> list[tuple[str, Term]]:
        return [(name, term) for name, term in self.terms.items() if isinstance(term, Term)]

    def forward(self, representations: Representations, labels_B: Tensor) -> ObjectiveValue:
        """The main loss: task and weighted terms."""
        losses = {"task": self.task(representations.prediction, labels_B)}
        monitors: dict[str, Tensor] = {}
        for name, term in self._each_term():
            value = term(representations, labels_B)
            losses[name] = self.weights[name] * value.loss
            monitors.update(value.monitors)
        return ObjectiveValue(losses, monitors)

    def estimator_losses(self, representations: Representations, labels_B: Tensor) -> dict[str, Tensor]:
        """The losses that fit the terms' own estimators, by term; empty where no term has one."""
        detached = representations.detach()
        losses = {name: term.estimator_loss(detached, labels_B) for name, term in self._each_term()}
        return {name: loss for name, loss in losses.items() if loss is not None}

    def start_epoch(self, epoch: int) -> None:
        """Tell every term that ``epoch`` (counted from 0) begins."""
        for _, term in self._each_term():
            term.start_epoch(epoch)

    def parameter_groups(self) -> dict[str, list[nn.Parameter]]:
        """The trained parameters of all terms by group."""
        groups: dict[str, list[nn.Parameter]] = {}
        for _, term in self._each_term():
            for group, parameters in term.parameter_groups().items():
                groups.setdefault(group, []).extend(parameters)
        return groups
