"""What is known of a trial, in plain types: nothing here needs Optuna or Ray."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from mmsa.information import Measurement
from mmsa.search.costs import Cost
from mmsa.search.space.scalars import Scalar
from mmsa.tracking import Outcome, Stage

Metrics = Mapping[str, float]


@dataclass(frozen=True)
class Suggestion:
    """A trial to be run.

    overrides: what to change of the base configuration, by dotted path.
    resume: the trial was running when an earlier driver died; continue from its checkpoint if it has one.
    reported: the first objective by epoch, as far as the trial had reported it then.
    start: which of the starts it tries, if it is one. version: of the space, in which overrides were chosen.
    finalist_of: the number of the searched trial that it runs again with other settings, of a finalist.
    course: how its settings change during the run, as ``RunConfig.course``.
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

    outcome: ``completed`` (its last epoch, or its own early stop), ``pruned`` (stopped at a rung),
        ``diverged`` (something was no longer finite), ``out_of_memory``, or ``failed`` (anything else).
    metrics: of the best epoch, with the study's objectives among them.
    reason: why it ended so, for a reader; of a completed trial, which bounds it breaks.
    best_epoch: counted from 1.
    notes: anything else worth keeping that JSON can write, such as host and counters.
    information: of the weights of the best epoch, by name.
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
    """A trial that has begun, as the study remembers it.

    values: of the objectives in order, for completed trials. reported: the first objective by epoch.
    epochs: the metrics of each epoch, counted from 1. start: which of the starts it tries, if it is one.
    retry_of: the number of the failed trial that it tries again. version: of the space, in which its
    overrides were chosen. superseded: it does not lie in the space as it is now. violation: by how much a
    completed one breaks the bounds on metrics as they are now, summed. cost: over all launches.
    finalist_of: the number of the searched trial that it runs again with other settings, of a finalist.
    parent: the number of the trial from whose weights it went on; its epochs begin with that one's.
    What was not finite is left out. The rest is as in ``Suggestion`` and ``Ending``.
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
        """Which part of the study it belongs to."""
        return "search" if self.finalist_of is None else "finalist"

    @property
    def failed(self) -> bool:
        """Whether it ended without a result that compares: diverged, out of memory or failed."""
        return self.outcome in ("diverged", "out_of_memory", "failed")


@dataclass(frozen=True)
class Target:
    """How far a search shall go.

    asked: its trials in all, besides retries and replacements. request: the ``+N`` that made it so many, or
    empty. stopped: why a stop rule ended it there.
    """

    asked: int
    request: str = ""
    stopped: str = ""
