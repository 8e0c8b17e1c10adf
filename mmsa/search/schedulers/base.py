"""What every scheduler is: a rule over (trial, epoch, value) that knows nothing of processes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from mmsa.config import Block, Named
from mmsa.registry import Registry

SCHEDULERS: Registry[Scheduler] = Registry("scheduler")

Decision = Literal["continue", "stop", "pause"]


@dataclass(frozen=True)
class Replacement:
    """A paused trial ends, and another one goes on from the weights of ``parent`` after ``epoch``."""

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
        config: its settings.
        epochs: the largest budget of a trial.
        direction: of the value, ``minimize`` or ``maximize``.

    pauses: the epochs after which it may pause a trial. paused: the trials that are, with that epoch.
    """

    def __init__(self, config: Block, epochs: int, direction: str):
        self.config: Any = config
        self.epochs = epochs
        self.pauses: tuple[int, ...] = ()
        self.paused: dict[int, int] = {}
        self._sign = 1.0 if direction == "minimize" else -1.0
        self._spared: set[int] = set()
        self._latest: dict[int, int] = {}
        self._pausing: set[int] = set()

    def spare(self, trial: int) -> None:
        """Let a trial run to its end. It is compared all the same."""
        self._spared.add(trial)

    def record(self, trial: int, values: Mapping[int, float]) -> None:
        """Enter what a trial had reported, by epoch, before this scheduler was there."""
        for epoch in sorted(values):
            self.decide(trial, epoch, values[epoch])
        self._pausing.discard(trial)

    def decide(self, trial: int, epoch: int, value: float) -> Decision:
        """Enter a report and say what becomes of the trial; ``let_go`` follows when that is done.

        An epoch that is reported again, after a step back to a checkpoint, is neither entered nor judged.
        """
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
        """Take note that a trial that does not continue has let its process go.

        Returns:
            Whether it is paused, and not stopped.
        """
        paused = trial in self._pausing
        if paused:
            self._pausing.remove(trial)
            self.paused[trial] = self._latest[trial]
        return paused

    def set_aside(self, trial: int) -> bool:
        """Whether a recorded trial that has not ended waits at a rung; it is paused then."""
        waits = self._latest.get(trial) in self.pauses and trial not in self._spared
        if waits:
            self.paused[trial] = self._latest[trial]
        return waits

    def replacements(self) -> list[Replacement]:
        """What is to be done, where no trial will be added and none runs, before any is promoted.

        The losers are not paused any more. Asked in another launch, it leaves out what has been done.
        """
        return []

    def promote(self, closing: bool = False) -> int | None:
        """A paused trial that shall go on now, which is not paused any more.

        Args:
            closing: no trial will be added and none runs, so that the rungs are as they will be.
        """
        return None

    def _judge(self, trial: int, epoch: int, loss: float) -> Decision:
        """Enter a report, and decide on it alone; smaller losses are better."""
        raise NotImplementedError


@SCHEDULERS.register("none")
class NoScheduler(Scheduler):
    """Every trial runs until its own early stop."""

    class Config(Named):
        """No settings."""

        name: Literal["none"] = "none"

    def _judge(self, trial: int, epoch: int, loss: float) -> Decision:
        return "continue"
