"""What trials cost, and how much a search may."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from mmsa.search.study_config import Resources


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


def stored_cost(epochs: Mapping[int, Mapping[str, Any]], ending: Mapping[str, Any]) -> Cost:
    """What a trial cost by its epochs and its ending, as the study keeps them."""
    parts = (Cost.of(stored.get("cost")) for stored in (*epochs.values(), ending))
    return sum(parts, Cost())
