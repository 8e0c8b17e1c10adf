"""What trials cost, and how much a search may."""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import timedelta

from mmsa.search.resources import Resources

GIB = 2**30


def machine_memory() -> int:
    """Bytes of this machine's memory."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


@dataclass(frozen=True)
class Cost:
    """Time that trials took: their own, and that of the CPUs and GPUs they held, in seconds."""

    seconds: float = 0.0
    cpu_seconds: float = 0.0
    gpu_seconds: float = 0.0

    def __add__(self, other: Cost) -> Cost:
        return Cost(
            self.seconds + other.seconds,
            self.cpu_seconds + other.cpu_seconds,
            self.gpu_seconds + other.gpu_seconds,
        )

    def __str__(self) -> str:
        parts = [f"{self.cpu_seconds / 3600:.3g} CPU-hours"]
        return " and ".join([f"{self.gpu_seconds / 3600:.3g} GPU-hours"] * bool(self.gpu_seconds) + parts)

    def stored(self) -> list[float]:
        """As the study keeps it."""
        return [round(value, 3) for value in (self.seconds, self.cpu_seconds, self.gpu_seconds)]

    @classmethod
    def of(cls, stored: list[float] | None) -> Cost:
        """From what the study keeps."""
        return cls(*stored) if stored else cls()


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
        """What so much of a trial's time costs."""
        return Cost(seconds, seconds * self.cpus, seconds * self.gpus)


class Meter:
    """What the trials of a launch take, by clocks that start anew with each process of a trial.

    share: what each trial of the launch holds. spent: what all trials of the study took so far.
    """

    def __init__(self, spent: Cost):
        self.share, self.spent = Share(), spent
        self._clocks: dict[int, float] = {}
        self._unbilled: dict[int, Cost] = {}

    def read(self, number: int, seconds: float) -> None:
        """A trial's clock shows so many seconds."""
        before = self._clocks.get(number, 0.0)
        cost = self.share.cost(seconds - before if seconds >= before else seconds)
        self._clocks[number] = seconds
        self._unbilled[number] = self.unbilled(number) + cost
        self.spent += cost

    def set(self, number: int, seconds: float) -> None:
        """A trial's clock shows so many seconds, which are counted already."""
        self._clocks[number] = seconds

    def unbilled(self, number: int) -> Cost:
        """What a trial took that is not stored with it yet."""
        return self._unbilled.get(number, Cost())

    def bill(self, number: int) -> Cost:
        """The same, which is stored now."""
        return self._unbilled.pop(number, Cost())


@dataclass(frozen=True)
class Budget:
    """What a search may cost; None sets no limit.

    Attributes:
        seconds: by the clock, of this launch.
        gpu_hours: of all trials of the study, those of earlier launches included.
    """

    seconds: float | None = None
    gpu_hours: float | None = None

    def spent(self, seconds: float, cost: Cost) -> str:
        """Which limit a launch of so many seconds in a study of that cost has reached, in words; or empty."""
        if self.seconds is not None and seconds >= self.seconds:
            return f"the time budget of {timedelta(seconds=round(self.seconds))} is spent"
        if self.gpu_hours is not None and cost.gpu_seconds >= 3600 * self.gpu_hours:
            return f"the budget of {self.gpu_hours:g} GPU-hours is spent"
        return ""
