"""The objective: a task loss, named terms, and how they are combined."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

import torch
from pydantic import model_validator
from torch import Tensor, nn

from mmsa.config import Block, Named, keyed_by, one_of, refuse
from mmsa.data.targets import UNKNOWN, Targets, TrainTargets
from mmsa.errors import ConfigError, Problem
from mmsa.models.base import RepresentationDims, Representations
from mmsa.objectives.base import TASKS, TERMS, Term, TermConfig
from mmsa.objectives.losses import WEIGHTINGS, Fixed, MeanAbsoluteError
from mmsa.objectives.strategies import STRATEGIES, AlternatingStrategy, HeadProjection, JointStrategy

_LOSSES = ("task", "uncertainty", "estimator")
_NO_TERMS = nn.ModuleDict()  # whose attributes no term can be called
_STRATEGY, _WEIGHTING = ("strategy", "name"), ("weighting", "name")


class ObjectiveConfig(Block):
    """What is minimised, and in which passes."""

    task: Annotated[Named, one_of(TASKS)] = MeanAbsoluteError.Config()
    terms: Annotated[Mapping[str, TermConfig], keyed_by(TERMS, own="term")] = {}
    strategy: Annotated[Named, one_of(STRATEGIES)] = JointStrategy.Config()
    weighting: Annotated[Named, one_of(WEIGHTINGS)] = Fixed.Config()

    def kind_of(self, name: str) -> type[Term]:
        """Return the term that stands under a name: the registered one, or what the entry says it is."""
        return TERMS[getattr(self.terms[name], "term", name)]

    def built(self) -> dict[str, float]:
        """Return the weights of the terms that are built, which are those that may contribute to the loss."""
        return {name: term.weight for name, term in self.terms.items() if term.contributes}

    @model_validator(mode="after")
    def _names_are_free(self) -> ObjectiveConfig:
        for name in self.terms:
            if name not in TERMS and (name in _LOSSES or hasattr(_NO_TERMS, name)):
                rule = "means something else among the losses"
                raise refuse(name, rule, f"Call the term {name}_term, for instance.", at=("terms", name))
        return self

    @model_validator(mode="after")
    def _fit_each_other(self) -> ObjectiveConfig:
        strategy, weighting = self.strategy.name, self.weighting.name
        terms = list(self.built())
        if terms and not STRATEGIES[strategy].takes_terms:
            rule = f"shows a model one modality at a time, where {', '.join(terms)} would relate nothing"
            raise refuse(strategy, rule, "Write strategy: {name: joint}, or leave the terms out.", _STRATEGY)
        negative = [name for name in terms if not self.kind_of(name).never_negative]
        if negative and not WEIGHTINGS[weighting].takes_negative:
            rule = f"needs losses that are never below 0, and {', '.join(negative)} can be: no weight is best"
            raise refuse(weighting, rule, "Write weighting: {name: fixed}, or leave them out.", _WEIGHTING)
        return self


def warnings(config: ObjectiveConfig) -> list[str]:
    """Return what the settings of the terms do that a user may not expect, with the path of each term."""
    return [
        f"objective.terms.{name}: {warning}"
        for name, term in config.terms.items()
        for warning in config.kind_of(name).warnings(term)
    ]


@dataclass(frozen=True)
class ObjectiveValue:
    """The parts of the loss on one batch.

    Attributes:
        losses: Each weighted loss by name (``task``, and the terms with a weight above 0), with gradients.
        monitors: Detached scalars by name.
    """

    losses: Mapping[str, Tensor]
    monitors: Mapping[str, Tensor]

    def total(self) -> Tensor:
        """Return the scalar that is back-propagated."""
        return torch.stack([loss.float() for loss in self.losses.values()]).sum()


class Objective(nn.Module):
    """Task loss + sum of weight x term. A term of weight 0 is not built at all.

    Attributes:
        weights: Of the terms that are built, by name.
        requests: The further vectors that its terms read (``Model.request``).

    Raises:
        ConfigError: If a term or strategy does not fit the model or the data.
    """

    def __init__(self, config: ObjectiveConfig, dims: RepresentationDims, spec: TrainTargets = UNKNOWN):
        super().__init__()
        self.weights = config.built()
        self.task = TASKS[config.task.name](config.task)
        self.terms = nn.ModuleDict(
            {name: config.kind_of(name).named(name, config.terms[name], dims) for name in self.weights}
        )
        self.weighting = WEIGHTINGS[config.weighting.name](config.weighting, ["task", *self.weights])
        self.head_projection = _head_projection(config.strategy, dims)
        self.requests = frozenset[str]().union(*(term.requests for _, term in self._each_term()))
        for _, term in self._each_term():
            term.prepare(spec)

    def _each_term(self) -> list[tuple[str, Term]]:
        return [(name, term) for name, term in self.terms.items() if isinstance(term, Term)]

    def forward(self, representations: Representations, targets: Targets) -> ObjectiveValue:
        """Compute the main loss, of task and weighted terms."""
        losses = {"task": self.task(representations.prediction, targets.labels)}
        monitors: dict[str, Tensor] = {}
        for name, term in self._each_term():
            value = term(representations, targets)
            losses[name] = self.weights[name] * value.loss
            monitors.update(value.monitors)
        losses, weights = self.weighting(losses)
        return ObjectiveValue(losses, monitors | weights)

    def after_backward(self, head: nn.Linear, representations: Representations) -> None:
        """Let the strategy change the gradient of the head, after the backward pass of a main loss."""
        if self.head_projection is not None and head.weight.grad is not None:
            self.head_projection(head.weight.grad, representations.fusion.detach())

    def estimator_losses(self, representations: Representations, targets: Targets) -> dict[str, Tensor]:
        """Return the losses that fit the estimators of the terms, by term."""
        detached = representations.detach()
        losses = {name: term.estimator_loss(detached, targets) for name, term in self._each_term()}
        return {name: loss for name, loss in losses.items() if loss is not None}

    def start_epoch(self, epoch: int) -> None:
        """Tell every term that ``epoch``, counted from 0, begins."""
        for _, term in self._each_term():
            term.start_epoch(epoch)

    def parameter_groups(self) -> dict[str, list[nn.Parameter]]:
        """Return the trained parameters of all terms and of the weighting, by group."""
        groups: dict[str, list[nn.Parameter]] = {"main": list(self.weighting.parameters())}
        for _, term in self._each_term():
            for group, parameters in term.parameter_groups().items():
                groups.setdefault(group, []).extend(parameters)
        return groups


def _head_projection(strategy: Named, dims: RepresentationDims) -> HeadProjection | None:
    """Build the projection that ``strategy`` needs, if any.

    Raises:
        ConfigError: If it needs a head that modalities have in common, and this model has none.
    """
    if not isinstance(strategy, AlternatingStrategy.Config):
        return None
    if dims.mixture < 2:
        rule = "trains a head that several modalities have in common, and with this fusion they have none"
        advice = "Write model.fusion: {name: average}, with encoders of one output width."
        raise ConfigError("objective", [Problem("objective.strategy.name", strategy.name, rule, advice)])
    return HeadProjection(dims.fusion, strategy.alpha) if strategy.orthogonal_head else None
