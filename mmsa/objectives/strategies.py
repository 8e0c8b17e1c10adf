"""Strategies: which passes over the training split make up an epoch, and what each of them trains."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import Field

from mmsa.config import Block
from mmsa.registry import Registry

STRATEGIES: Registry[Any] = Registry("training strategy")


@dataclass(frozen=True)
class Pass:
    """One pass over the training split.

    loss: ``estimator`` fits the terms' own estimators on detached representations, and never back-propagates
    through the encoders; ``main`` is the weighted sum of task and terms; ``joint`` is both in one step.
    groups: the parameter groups that are stepped. fraction: the part of the batches that is visited.
    """

    loss: Literal["estimator", "main", "joint"]
    groups: tuple[str, ...]
    fraction: float = 1.0


@STRATEGIES.register("joint")
class Joint:
    """Everything in one pass: estimators and model step together."""

    class Config(Block):
        """No settings."""

        name: Literal["joint"] = "joint"

    def __init__(self, config: Config):
        self.config = config

    def passes(self, epoch: int) -> tuple[Pass, ...]:
        """The passes of ``epoch`` (counted from 0)."""
        return (Pass("joint", ("pretrained", "main", "estimator")),)


@STRATEGIES.register("two_stage")
class TwoStage:
    """Fit the estimators first, then train the model with the estimators frozen (MMIM section 3.4, MIMRL)."""

    class Config(Block):
        """How much of the estimator stage an epoch has."""

        name: Literal["two_stage"] = "two_stage"
        repeats: Annotated[int, Field(ge=1, le=10)] = 1
        """Estimator passes before each main pass."""
        fraction: Annotated[float, Field(gt=0.0, le=1.0)] = 1.0
        """Part of the batches an estimator pass visits; MMIM's code uses 0.5 on MOSEI."""

    def __init__(self, config: Config):
        self.config = config

    def passes(self, epoch: int) -> tuple[Pass, ...]:
        """The passes of ``epoch`` (counted from 0)."""
        estimator = Pass("estimator", ("estimator",), self.config.fraction)
        return (*(estimator for _ in range(self.config.repeats)), Pass("main", ("pretrained", "main")))
