"""The objective: a task loss, named terms, and how they are combined."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from mmsa.config import Block, Named, keyed_by, one_of, refuse
from mmsa.data.target_spec import TargetSpec
from mmsa.data.targets import UNKNOWN, Targets, TrainTargets
from mmsa.errors import ConfigError, Problem, did_you_mean
from mmsa.models.base import RepresentationDims, Representations
from mmsa.objectives.base import TASKS, TERMS, Term, TermConfig
from mmsa.objectives.losses import DefaultLoss, MeanAbsoluteError, TaskConfig, TaskLoss, default_loss
from mmsa.objectives.strategies import STRATEGIES, AlternatingStrategy, HeadProjection, JointStrategy
from mmsa.objectives.weightings import WEIGHTINGS, Fixed

_LOSSES = ("task", "uncertainty", "estimator")
_OF_TARGET = "task/"  # before the name of a further target, among losses
_NO_TERMS = nn.ModuleDict()  # whose attributes no term can be called
_STRATEGY, _WEIGHTING = ("strategy", "name"), ("weighting", "name")


class ObjectiveConfig(Block):
    """What is minimised, and in which passes."""

    task: Annotated[TaskConfig, one_of(TASKS)] = MeanAbsoluteError.Config()
    """Loss of the primary target; left out, it is ``mae`` on a scale, and elsewhere the default of its kind.
    Files that state every setting, as exports do, say ``mae`` for both. In a space ``mae`` is refused for a
    target that is no number on a scale."""
    tasks: Mapping[str, Annotated[TaskConfig, one_of(TASKS)]] = Field(
        default={}, exclude_if=lambda tasks: not tasks
    )
    """Losses by target: of further targets, which are trained if they are named here, and of the primary one,
    where its entry takes the place of ``task``. ``{name: default}`` is the default of the target's kind."""
    terms: Annotated[Mapping[str, TermConfig], keyed_by(TERMS, own="term")] = {}
    strategy: Annotated[Named, one_of(STRATEGIES)] = JointStrategy.Config()
    weighting: Annotated[Named, one_of(WEIGHTINGS)] = Fixed.Config()

    def kind_of(self, name: str) -> type[Term]:
        """Return the term that stands under a name: the registered one, or what the entry says it is."""
        return TERMS[getattr(self.terms[name], "term", name)]

    def trained(self) -> frozenset[str]:
        """Return the targets that are named and trained; the primary one is trained in any case."""
        return frozenset(name for name, task in self.tasks.items() if task.weight > 0)

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


def chosen_tasks(config: ObjectiveConfig, targets: Sequence[TargetSpec]) -> dict[TargetSpec, TaskConfig]:
    """Return the loss of each target that is trained, the primary one first.

    Raises:
        ConfigError: For targets that the data set does not have, and losses that are not of their kind.
    """
    primary, *others = targets
    known = [target.name for target in targets]
    problems = [
        Problem(f"objective.tasks.{name}", name, "is no target of the data set", did_you_mean(name, known))
        for name in config.tasks
        if name not in known
    ]
    chosen = {primary: config.tasks.get(primary.name, config.task)}
    at = {primary: f"objective.tasks.{primary.name}" if primary.name in config.tasks else "objective.task"}
    unchosen = primary.name not in config.tasks and config.task == MeanAbsoluteError.Config()
    if unchosen and not primary.is_scale:
        chosen[primary] = DefaultLoss.Config()
    if chosen[primary].weight == 0:
        rule = "is that of the primary target, which is always trained: epochs and trials are chosen by it"
        problems.append(Problem(f"{at[primary]}.weight", 0.0, rule, "Write a weight above 0."))
    for target in others:
        if target.name in config.trained():
            chosen[target], at[target] = config.tasks[target.name], f"objective.tasks.{target.name}"
    for target, task in chosen.items():
        if target.kind not in TASKS[task.name].kinds:
            rule = f"is no loss of {target.name}, a target of the kind {target.kind}"
            fitting = ", ".join(name for name in TASKS if target.kind in TASKS[name].kinds)
            problems.append(Problem(f"{at[target]}.name", task.name, rule, f"Those that are: {fitting}."))
    if problems:
        raise ConfigError("objective", problems)
    return chosen


def refusal_of_mae(path: str, target: TargetSpec) -> Problem | None:
    """Return why ``mae`` cannot be asked for; None on a scale."""
    if target.is_scale:
        return None
    fitting = [name for name in TASKS if target.kind in TASKS[name].kinds]
    rule = f"is no loss of {target.name}, a target of the kind {target.kind}"
    nearest = f"Write {default_loss(target.kind)}, which is taken where no loss is named"
    return Problem(path, "mae", rule, f"{nearest}. All that fit: {', '.join(fitting)}.")


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
        self.targets = spec
        chosen = chosen_tasks(config, spec.targets)
        self.task_names = ["task", *(_OF_TARGET + target.name for target in [*chosen][1:])]
        self.tasks = nn.ModuleList(
            TASKS[task.name](task, target, spec.counts.get(target.name, ()))
            for target, task in chosen.items()
        )
        self.terms = nn.ModuleDict(
            {name: config.kind_of(name).named(name, config.terms[name], dims) for name in self.weights}
        )
        losses = [*self.task_names, *self.weights]
        self.weighting = WEIGHTINGS[config.weighting.name](config.weighting, losses)
        self.head_projection = _head_projection(config.strategy, dims)
        self.requests = frozenset[str]().union(*(term.requests for _, term in self._each_term()))
        for _, term in self._each_term():
            term.prepare(spec)

    def _each_term(self) -> list[tuple[str, Term]]:
        return [(name, term) for name, term in self.terms.items() if isinstance(term, Term)]

    def forward(self, representations: Representations, targets: Targets) -> ObjectiveValue:
        """Compute the main loss, of task and weighted terms."""
        targets = replace(targets, train=self.targets)
        losses = self._task_losses(representations, targets)
        monitors: dict[str, Tensor] = {}
        for name, term in self._each_term():
            value = term(representations, targets)
            losses[name] = self.weights[name] * value.loss
            monitors.update(value.monitors)
        losses, weights = self.weighting(losses)
        return ObjectiveValue(losses, monitors | weights)

    @property
    def fewest(self) -> int:
        """Rows that a batch must have at least."""
        return max(task.fewest for _, task in self._each_task())

    def refuse_small_batches(self, rows: int, batch_size: int) -> None:
        """Refuse batches in which a task loss means nothing; those of a split differ by one row at most.

        Raises:
            ConfigError: With the smallest batch that ``rows`` rows are divided into.
        """
        smallest = rows // -(-rows // batch_size) if rows else self.fewest
        if smallest < self.fewest:
            rule = f"gives batches of {smallest} rows, and the task loss needs {self.fewest} for a value"
            advice = f"Write {max(2 * self.fewest, batch_size)} or more."
            raise ConfigError("train", [Problem("train.batch_size", batch_size, rule, advice)])

    def _each_task(self) -> list[tuple[str, TaskLoss]]:
        named = zip(self.task_names, self.tasks, strict=True)
        return [(name, task) for name, task in named if isinstance(task, TaskLoss)]

    def _task_losses(self, representations: Representations, targets: Targets) -> dict[str, Tensor]:
        losses = {}
        for position, (name, task) in enumerate(self._each_task()):
            raw, values = representations.prediction, targets.labels
            if position:
                target = name.removeprefix(_OF_TARGET)
                raw, values = representations.further[target], targets.further[target]
                there_B = ~values.isnan().reshape(len(values), -1).any(1)
                raw, values = raw[there_B], values[there_B]
            # Too few rows have a value: the loss must not depend on chance, and its gradient must exist.
            loss = task(raw, values) if len(values) >= task.fewest else raw.sum() * 0.0
            losses[name] = loss if task.weight == 1.0 else task.weight * loss
        return losses

    def after_backward(self, head: nn.Linear, representations: Representations) -> None:
        """Let the strategy change the gradient of the head, after the backward pass of a main loss."""
        if self.head_projection is not None and head.weight.grad is not None:
            self.head_projection(head.weight.grad, representations.fusion.detach())

    def estimator_losses(self, representations: Representations, targets: Targets) -> dict[str, Tensor]:
        """Return the losses that fit the estimators of the terms, by term."""
        detached, targets = representations.detach(), replace(targets, train=self.targets)
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
