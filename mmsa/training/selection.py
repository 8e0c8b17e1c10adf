"""The choice of the best epoch, and when to stop looking for a better one."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

import numpy as np
from torch import Tensor, nn

from mmsa.data.corpus import Corpus
from mmsa.data.target_spec import TargetSpec
from mmsa.errors import ConfigError, Problem, nearest
from mmsa.experiment import TrainConfig
from mmsa.training.metrics import metric_names, own_classes, target_metric

PREFIX = "valid/"
FEWEST_ROWS = 5
"""Rows that valid must have to choose on them."""


def known_metrics(corpus: Corpus, trained: Collection[str]) -> tuple[str, ...]:
    """The metrics of the valid split: of the primary target, and of those others that are trained."""
    primary, *others = corpus.targets
    own = [PREFIX + name for name in metric_names(primary.suite)]
    of_others = [
        PREFIX + target_metric(corpus, target, name)
        for target in others
        if target.name in trained
        for name in metric_names(target.suite)
    ]
    return (*own, *of_others)


def metric_problem_of(path: str, metric: str, corpus: Corpus, trained: Collection[str]) -> Problem | None:
    """Why nothing can be chosen by a metric on these data; None if it can."""
    known = known_metrics(corpus, trained)
    if metric in known:
        return None
    of_target, _, name = metric.removeprefix(PREFIX).rpartition("/")
    named = {target.name: target for target in corpus.targets}
    if of_target == corpus.target.name and name in metric_names(corpus.target.suite):
        advice = f"It is the primary target: write {PREFIX}{name}."
        return Problem(path, metric, "is written without the name of its target", advice)
    if of_target in named and of_target not in trained:
        rule = f"is of the target {of_target}, which is not trained"
        return Problem(path, metric, rule, f"Write objective.tasks: {{{of_target}: {{name: default}}}}.")
    rule = f"is not a metric of {corpus.name}, which is scored with {', '.join(known)}"
    close = nearest(metric.removeprefix(PREFIX), [other.removeprefix(PREFIX) for other in known])
    advice = f"Did you mean {PREFIX + close!r}?" if close else f"Write {known[0]}, or another of these."
    decides = "data.metrics" if corpus.target.is_plain else f"The kind of {corpus.target.name}"
    return Problem(path, metric, rule, f"{advice} {decides} says what the data are scored with.")


def check_metric(metric: str, corpus: Corpus, trained: Collection[str] = ()) -> None:
    """Refuse a ``train.metric`` that no epoch will have.

    Args:
        metric: with its prefix.
        corpus: that is trained on.
        trained: targets that are trained beside the primary one.

    Raises:
        ConfigError: with the known metrics.
    """
    problem = metric_problem_of("train.metric", metric, corpus, trained)
    if problem is not None:
        raise ConfigError("train", [problem])


def undecidable(corpus: Corpus, metrics: Iterable[str]) -> list[Problem]:
    """Why nothing can be learnt from train, or chosen by ``metrics`` on valid; empty if both are possible."""
    train, valid = corpus["train"], corpus["valid"]
    problems = []
    if len(valid) < FEWEST_ROWS:
        rule = f"epochs and settings are chosen on valid, and chance chooses on fewer than {FEWEST_ROWS} rows"
        problems.append(Problem("data", f"{len(valid)} rows in valid", rule, "Give valid more."))
    for name, split in (("train", train), ("valid", valid)):
        if len(split) and np.ptp(split.labels) == 0:
            found = f"{len(split)} labels of {split.labels.flat[0]:g} in {name}"
            rule = "a constant predicts equal labels best, whatever is in the features"
            problems.append(Problem("data", found, rule, "Use splits that each hold different labels."))
    sorted_rows = own_classes(valid.labels, corpus.target)
    for metric in dict.fromkeys(metrics):
        rows = sorted_rows.get(metric.removeprefix(PREFIX))
        alike = rows is not None and len(np.unique(rows.truth[rows.counted])) < 2
        if alike and np.ptp(valid.labels) > 0:
            rule = "cannot choose: all labels of valid are one of its classes"
            problems.append(Problem("data", metric, rule, _other_choice(corpus.target)))
    return problems


def _other_choice(target: TargetSpec) -> str:
    return f"Choose by {PREFIX}mae, or on other rows." if target.is_scale else "Choose on other rows."


class Selection:
    """Keeps the best epoch by ``train.metric``, the earliest one of equals.

    Attributes:
        epoch: the best one, counted from 1; 0 before the first.
        metrics: all metrics of that epoch.
        weights: state of the model that was evaluated then, on the CPU.
    """

    def __init__(self, config: TrainConfig):
        self._metric, self._patience, self._epochs = config.metric, config.patience, config.epochs
        self._sign = 1.0 if config.direction == "minimize" else -1.0
        self.epoch = 0
        self.metrics: dict[str, float] = {}
        self.weights: dict[str, Tensor] = {}

    def consider(self, epoch: int, metrics: Mapping[str, float], model: nn.Module) -> None:
        """Keep ``epoch`` if it is better than all before it."""
        if self.epoch == 0 or self._better(metrics, self.metrics):
            self.epoch, self.metrics = epoch, dict(metrics)
            self.weights = {
                name: value.detach().to("cpu", copy=True) for name, value in model.state_dict().items()
            }

    def _better(self, one: Mapping[str, float], other: Mapping[str, float]) -> bool:
        return self._sign * one[self._metric] < self._sign * other[self._metric]

    def best_so_far(self, history: Iterable[Mapping[str, float]]) -> Iterator[Mapping[str, float]]:
        """The metrics of the best epoch up to each epoch of ``history``, whatever was considered so far."""
        best: Mapping[str, float] | None = None
        for metrics in history:
            if best is None or self._better(metrics, best):
                best = metrics
            yield best

    def ended(self, epoch: int) -> bool:
        """Whether no epoch follows ``epoch``: it is the last one, or patience ran out."""
        return epoch == self._epochs or epoch - self.epoch >= self._patience

    def state_dict(self) -> dict[str, Any]:
        """The state for a checkpoint."""
        return {"epoch": self.epoch, "metrics": self.metrics, "weights": self.weights}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue where ``state_dict`` was taken."""
        self.epoch, self.metrics, self.weights = (
            state["epoch"],
            dict(state["metrics"]),
            dict(state["weights"]),
        )
