"""Which epoch is the best so far, its weights, and when to stop looking."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from mmsa.data.corpus import Suite
from mmsa.errors import ConfigError, Problem
from mmsa.experiment import TrainConfig
from mmsa.training.metrics import metric_names

PREFIX = "valid/"


def check_metric(metric: str, suite: Suite) -> None:
    """Refuse a ``train.metric`` that no epoch will have.

    Raises:
        ConfigError: with the metrics that there are.
    """
    known = [PREFIX + name for name in metric_names(suite)]
    if metric not in known:
        rule = f"is not a metric of the valid split; the data are scored with the suite {suite!r}"
        raise ConfigError("train", [Problem("train.metric", metric, rule, f"Known: {', '.join(known)}.")])


class Selection:
    """Keeps the best epoch by ``train.metric``; of equal ones the earliest.

    epoch: the best one, counted from 1; 0 before the first. metrics: all metrics of that epoch. weights: the
    state of the model that was evaluated then, on the CPU.
    """

    def __init__(self, config: TrainConfig):
        self._metric, self._patience = config.metric, config.patience
        self._sign = 1.0 if config.direction == "minimize" else -1.0
        self.epoch = 0
        self.metrics: dict[str, float] = {}
        self.weights: dict[str, Tensor] = {}

    def consider(self, epoch: int, metrics: Mapping[str, float], model: nn.Module) -> None:
        """Take ``epoch`` if it is better than all before it."""
        if self.epoch == 0 or self._sign * metrics[self._metric] < self._sign * self.metrics[self._metric]:
            self.epoch, self.metrics = epoch, dict(metrics)
            self.weights = {
                name: value.detach().to("cpu", copy=True) for name, value in model.state_dict().items()
            }

    def exhausted(self, epoch: int) -> bool:
        """Whether patience ended with ``epoch``."""
        return epoch - self.epoch >= self._patience

    def state_dict(self) -> dict[str, Any]:
        """For a checkpoint."""
        return {"epoch": self.epoch, "metrics": self.metrics, "weights": self.weights}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """The inverse of ``state_dict``."""
        self.epoch, self.metrics, self.weights = (
            state["epoch"],
            dict(state["metrics"]),
            dict(state["weights"]),
        )
