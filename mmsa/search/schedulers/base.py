"""What a scheduler is: a rule over (trial, epoch, value) that knows nothing of processes; and its rungs."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from pydantic import Field
from typing_extensions import override

from mmsa.config import Named
from mmsa.registry import Registry

Decision = Literal["continue", "stop", "pause"]


@dataclass(frozen=True)
class Replacement:
    """A paused trial ends, and a new one goes on from the weights of another.

    Attributes:
        loser: the trial that ends.
        parent: the trial whose weights the new one takes.
        epoch: the last epoch of those weights.
    """

    loser: int
    parent: int
    epoch: int

    @property
    def reason(self) -> str:
        """Why the loser ended."""
        return f"trial {self.parent} was better after epoch {self.epoch}; another one goes on from there"


class Scheduler:
    """Decides after each epoch what becomes of a trial, by the settings of its ``Config``.

    All it knows are the reported values, which the study remembers: a scheduler that is told of them with
    ``record`` decides as the one that saw them come.

    Args:
        config: the settings.
        epochs: the largest budget of a trial.
        direction: of the value, ``minimize`` or ``maximize``.

    Attributes:
        pauses: the epochs after which it may pause a trial.
        paused: the epoch at which each paused trial waits, by its number.
    """

    Config: ClassVar[type[Named]]

    def __init__(self, config: Named, epochs: int, direction: str):
        self.config: Any = config
        self.epochs = epochs
        self.pauses: tuple[int, ...] = ()
        self.paused: dict[int, int] = {}
        self._sign = 1.0 if direction == "minimize" else -1.0
        self._spared: set[int] = set()
        self._latest: dict[int, int] = {}
        self._pausing: set[int] = set()

    def spare(self, trial: int) -> None:
        """Let a trial run to its end. Others are still compared with it."""
        self._spared.add(trial)

    def record(self, trial: int, values: Mapping[int, float]) -> None:
        """Enter what a trial reported, by epoch, before this scheduler was built."""
        for epoch in sorted(values):
            self.decide(trial, epoch, values[epoch])
        self._pausing.discard(trial)

    def decide(self, trial: int, epoch: int, value: float) -> Decision:
        """Enter a report and return what becomes of the trial; ``let_go`` follows once that is done."""
        # A trial that went back to a checkpoint reports epochs again: they are neither entered nor judged.
        if epoch <= self._latest.get(trial, 0):
            return "continue"
        self._latest[trial] = epoch
        decision = self._judge(trial, epoch, self._sign * value)
        if trial in self._spared:
            return "continue"
        if decision == "pause":
            self._pausing.add(trial)
        return decision

    def let_go(self, trial: int) -> bool:
        """Record that a trial which does not continue has released its process.

        Returns:
            True for a trial that is paused, False for one that is stopped.
        """
        paused = trial in self._pausing
        if paused:
            self._pausing.remove(trial)
            self.paused[trial] = self._latest[trial]
        return paused

    def set_aside(self, trial: int) -> bool:
        """Pause a recorded trial that has not ended and waits at a rung; return whether it does."""
        waits = self._latest.get(trial) in self.pauses and trial not in self._spared
        if waits:
            self.paused[trial] = self._latest[trial]
        return waits

    def replacements(self) -> list[Replacement]:
        """Return the replacements that are due once no trial will be added and none runs.

        Called before any trial is promoted. The losers are not paused any more; replacements of an earlier
        launch are left out.
        """
        return []

    def promote(self, closing: bool = False) -> int | None:
        """Return a paused trial that shall go on now, and take it off ``paused``; None without one.

        Args:
            closing: no trial will be added and none runs, so that the rungs are final.
        """
        return None

    def _judge(self, trial: int, epoch: int, loss: float) -> Decision:
        """Enter a report, and decide on it alone; smaller losses are better."""
        raise NotImplementedError


SCHEDULERS: Registry[Scheduler] = Registry("scheduler", "mmsa.schedulers")


@SCHEDULERS.register("none")
class NoScheduler(Scheduler):
    """Every trial runs until its own early stop."""

    class Config(Named):
        """No settings."""

        name: Literal["none"] = "none"

    @override
    def _judge(self, trial: int, epoch: int, loss: float) -> Decision:
        return "continue"


class RungSettings(Named):
    """Where the rungs are."""

    grace: Annotated[int, Field(ge=1)] = 3
    """Epochs every trial may run; the first rung."""
    reduction: Annotated[int, Field(ge=2)] = 3
    """Factor between rungs, and between the trials that reach them."""

    def levels(self, epochs: int) -> tuple[int, ...]:
        """The rungs below ``epochs``."""
        levels = []
        level = self.grace
        while level < epochs:
            levels.append(level)
            level *= self.reduction
        return tuple(levels)


class Rungs:
    """Which trials reached which rung, and with which loss.

    Attributes:
        levels: the epochs of the rungs, increasing.
        losses: for each rung, the loss by trial.
    """

    def __init__(self, levels: tuple[int, ...]):
        self.levels = levels
        self.losses: list[dict[int, float]] = [{} for _ in levels]

    def enter(self, trial: int, epoch: int, loss: float) -> int | None:
        """Enter a loss at the highest rung that the trial has reached.

        Returns:
            The place of that rung; None below the first one, and for a trial that is there already.
        """
        place = sum(level <= epoch for level in self.levels) - 1
        if place < 0 or trial in self.losses[place]:
            return None
        self.losses[place][trial] = loss
        return place

    def is_worse(self, trial: int, place: int, part: float) -> bool:
        """Whether the trial is worse than the ``part`` quantile of the others at its rung."""
        losses = self.losses[place]
        others = [loss for other, loss in losses.items() if other != trial]
        return bool(others) and losses[trial] > float(np.quantile(others, part))

    def best(self, place: int, count: int, without: Collection[int] = ()) -> list[int]:
        """The ``count`` best trials of a rung, some left out, best first; of equal ones the earlier."""
        losses = self.losses[place]
        return sorted(losses.keys() - set(without), key=lambda trial: (losses[trial], trial))[:count]
