"""What a trial gets of the machines, what trials cost, and how much a search may cost."""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated

from pydantic import Field, field_validator

from mmsa.config import Block, refuse
from mmsa.experiment import PositiveInt
from mmsa.search.records import Cost

GIB = 2**30
GPU_PARTS = 10_000
"""Parts in which Ray counts a GPU."""


def machine_memory() -> int:
    """Bytes of this machine's memory."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


class Resources(Block):
    """What one trial gets."""

    workers: PositiveInt = 1
    """Processes that train one trial together, each with a share of every batch."""
    gpus_per_worker: Annotated[float, Field(ge=0.0, allow_inf_nan=False)] = 0.0
    """One, or the fraction of one that is shared with others; 0 trains on CPUs."""
    cpus_per_worker: PositiveInt = 1
    silent_minutes: Annotated[float, Field(gt=0.0, allow_inf_nan=False)] = 60.0
    """Longer than any epoch takes, start-up included. A trial that reports nothing for so long hangs: its
    processes are ended, and it goes on from its checkpoint as after a crash."""

    @field_validator("gpus_per_worker")
    @classmethod
    def _at_most_one(cls, gpus: float) -> float:
        if gpus > 1.0:
            advice = "Write 1, and workers: 2 (or more) for trials on several GPUs."
            raise refuse(gpus, "a worker trains on one GPU, and others would stay idle", advice)
        if 0.0 < gpus < 1.0 / GPU_PARTS:
            raise refuse(gpus, f"is less than 1/{GPU_PARTS} of a GPU", "Write 0.25 for four on a GPU.")
        return gpus


@dataclass(frozen=True)
class Share:
    """The CPUs and GPUs that a trial holds."""

    cpus: float = 1.0
    gpus: float = 0.0

    @classmethod
    def of(cls, resources: Resources) -> Share:
        """What the space file asks for."""
        workers = resources.workers
        return cls(workers * resources.cpus_per_worker, workers * resources.gpus_per_worker)

    def cost(self, seconds: float) -> Cost:
        """The cost of a trial that runs for ``seconds``."""
        return Cost(seconds, seconds * self.cpus, seconds * self.gpus)


class CostMeter:
    """Adds up what the trials of a launch take, from clocks that restart with each process of a trial.

    Attributes:
        share: what each trial of the launch holds.
        spent: cost of all trials of the study so far.
    """

    def __init__(self, spent: Cost):
        self.share, self.spent = Share(), spent
        self._clocks: dict[int, float] = {}
        self._unbilled: dict[int, Cost] = {}

    def read(self, number: int, seconds: float) -> None:
        """Count the time since a trial's last reading; its clock shows ``seconds`` now."""
        before = self._clocks.get(number, 0.0)
        # A clock that shows less than before is that of a new process, which started at 0.
        cost = self.share.cost(seconds - before if seconds >= before else seconds)
        self._clocks[number] = seconds
        self._unbilled[number] = self.unbilled(number) + cost
        self.spent += cost

    def set(self, number: int, seconds: float) -> None:
        """Set a trial's clock to ``seconds`` that are already counted."""
        self._clocks[number] = seconds

    def unbilled(self, number: int) -> Cost:
        """Cost of a trial that is not stored with it yet."""
        return self._unbilled.get(number, Cost())

    def bill(self, number: int) -> Cost:
        """The same cost, which the caller stores now."""
        return self._unbilled.pop(number, Cost())


@dataclass(frozen=True)
class SearchBudget:
    """Limits to what a search may cost; None sets no limit.

    Attributes:
        seconds: wall-clock time of this launch.
        gpu_hours: of all trials of the study, earlier launches included.
    """

    seconds: float | None = None
    gpu_hours: float | None = None

    def spent(self, seconds: float, cost: Cost) -> str:
        """Say which limit is reached, and how to go on; empty if none is.

        Args:
            seconds: that the launch has taken.
            cost: of the study.
        """
        if self.seconds is not None and seconds >= self.seconds:
            budget = timedelta(seconds=round(self.seconds))
            return (
                f"the time budget of this launch, {budget}, is spent; to continue, run the same command again"
            )
        if self.gpu_hours is not None and cost.gpu_seconds >= 3600 * self.gpu_hours:
            return (
                f"the study's budget of {self.gpu_hours:g} GPU-hours is spent; to continue, run the same "
                "command with a larger one"
            )
        return ""
