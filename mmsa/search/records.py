"""What a study knows of its trials, in plain types: nothing here needs Optuna or Ray."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from mmsa.interface import Metrics, Outcome, Scalar, Stage
from mmsa.measurement import Measurement

STANDARD_ERRORS = "standard_errors"
"""Note of a completed trial: the standard error of each of its valid metrics."""


@dataclass(frozen=True)
class Cost:
    """Time that trials took, in seconds.

    Attributes:
        seconds: of the trials themselves.
        cpu_seconds: of the CPUs they held.
        gpu_seconds: of the GPUs they held.
    """

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
        """The form in which a study stores it; inverse of ``of``."""
        return [round(value, 3) for value in (self.seconds, self.cpu_seconds, self.gpu_seconds)]

    @classmethod
    def of(cls, stored: list[float] | None) -> Cost:
        """Read the form in which a study stores it; nothing stored is no cost."""
        return cls(*stored) if stored else cls()


@dataclass(frozen=True)
class Suggestion:
    """A trial to run.

    Attributes:
        number: in the study.
        overrides: what to change in the base configuration, by dotted path.
        resume: whether an earlier driver left the trial running; it continues from its checkpoint, if any.
        reported: the first objective by epoch, as far as the trial has reported it.
        start: which of the starting points it is, if any.
        version: of the space in which ``overrides`` were chosen.
        finalist_of: for a finalist, the number of the searched trial that it runs again.
        course: its hyperparameter schedule, as ``RunConfig.course``.
    """

    number: int
    overrides: Mapping[str, Scalar]
    resume: bool = False
    reported: Mapping[int, float] = field(default_factory=dict)
    start: str | None = None
    version: int = 1
    finalist_of: int | None = None
    course: Sequence[Mapping[str, Any]] = ()


@dataclass(frozen=True)
class Ending:
    """What a finished trial leaves behind.

    Attributes:
        outcome: how it ended.
        metrics: of the best epoch, the study's objectives among them.
        reason: for people, why it ended like this; for a completed trial, which bounds it breaks.
        best_epoch: counted from 1.
        seconds: since its last process took it up.
        notes: anything else worth keeping that JSON can hold, such as the host and counters.
        information: measured on the weights of the best epoch, by name.
    """

    outcome: Outcome
    metrics: Metrics = field(default_factory=dict)
    reason: str = ""
    best_epoch: int | None = None
    seconds: float = 0.0
    notes: Mapping[str, Any] = field(default_factory=dict)
    information: Mapping[str, Measurement] = field(default_factory=dict)


@dataclass(frozen=True)
class TrialRecord:
    """A trial that has begun, as the study remembers it. Numbers that were not finite are left out.

    Attributes:
        number: in the study.
        outcome: how it ended, or ``running``.
        overrides: what it changes in the base configuration, by dotted path.
        values: of the objectives in order, if it is completed.
        metrics: see ``Ending``.
        reason: see ``Ending``.
        best_epoch: see ``Ending``.
        seconds: see ``Ending``.
        notes: see ``Ending``.
        information: see ``Ending``.
        reported: the first objective by epoch.
        epochs: the metrics of each epoch, counted from 1.
        start: which of the starting points it is, if any.
        retry_of: the number of the failed trial that it tries again.
        finalist_of: for a finalist, the number of the searched trial that it runs again.
        parent: the number of the trial whose weights it continued from; its epochs begin with that trial's.
        course: its hyperparameter schedule, as ``RunConfig.course``.
        version: of the space in which ``overrides`` were chosen.
        superseded: whether it lies outside the space as it is now.
        violation: sum of the amounts by which it breaks the bounds on metrics as they are now.
        cost: over all launches.
        started: when it began.
        finished: when it ended.
    """

    number: int
    outcome: Outcome
    overrides: Mapping[str, Scalar]
    values: tuple[float, ...] = ()
    metrics: Metrics = field(default_factory=dict)
    reason: str = ""
    best_epoch: int | None = None
    seconds: float = 0.0
    notes: Mapping[str, Any] = field(default_factory=dict)
    information: Mapping[str, Measurement] = field(default_factory=dict)
    reported: Mapping[int, float] = field(default_factory=dict)
    epochs: Mapping[int, Metrics] = field(default_factory=dict)
    start: str | None = None
    retry_of: int | None = None
    finalist_of: int | None = None
    parent: int | None = None
    course: Sequence[Mapping[str, Any]] = ()
    version: int = 1
    superseded: bool = False
    violation: float = 0.0
    cost: Cost = field(default_factory=Cost)
    started: datetime | None = None
    finished: datetime | None = None

    @property
    def stage(self) -> Stage:
        """The part of the study it belongs to."""
        return "search" if self.finalist_of is None else "finalist"

    @property
    def failed(self) -> bool:
        """Whether it ended without a result to compare: diverged, out of memory or failed."""
        return self.outcome in ("diverged", "out_of_memory", "failed")


@dataclass(frozen=True)
class TrialTarget:
    """How many trials a search shall have.

    Attributes:
        asked: in all, without retries and replacements.
        request: the ``+N`` that made it so many; empty without one.
        stopped: why a stop rule lowered it to the trials there were; empty if none did.
    """

    asked: int
    request: str = ""
    stopped: str = ""


def shown_params(trial: Suggestion | TrialRecord, divided: Mapping[str, Scalar]) -> dict[str, Scalar]:
    """What was chosen for a trial, for people: its point, how that divides totals, its schedule in words.

    Args:
        trial: of some study.
        divided: totals and shares of its point, by name.
    """
    changes = [
        f"after {change['after']}: "
        + ", ".join(f"{path} {value:.4g}" for path, value in change["set"].items())
        for change in trial.course
    ]
    return {**trial.overrides, **divided, **({"course": "; ".join(changes)} if changes else {})}
