"""What a search tells those who watch it: the MLflow mirror, the progress display, a test.

Only plain types cross this line, so that watchers know nothing of how trials are sampled or run.
A call returns at once and never raises: watching must not slow or stop a search.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from mmsa.information import Measurement

Scalar = str | int | float | bool
Outcome = Literal["running", "completed", "pruned", "diverged", "out_of_memory", "failed"]
Stage = Literal["search", "finalist"]
"""Finalists are the best trials of the search, run again with other settings."""
VALID = "valid/"
"""Prefix of the metrics of the valid split."""


@dataclass(frozen=True)
class StudyCard:
    """What is known of a study before its first trial.

    name: of the study.
    identity: unlike that of any other study, also of one that was deleted and made anew under the same name.
    data_set: name of the data set.
    metrics, directions: of the objectives in order; each direction is ``minimize`` or ``maximize``.
    num_trials: how many the study shall have when it is done.
    space_yaml: the space as the user wrote it.
    tags: provenance such as ``corpus_digest`` and ``git_commit``.
    """

    name: str
    identity: str
    data_set: str
    metrics: tuple[str, ...]
    directions: tuple[str, ...]
    num_trials: int
    space_yaml: str
    tags: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class BestEpoch:
    """The best epoch of a trial, however it ended.

    number: counted from 1; None without one. metrics: of that epoch. violation: by how much these break the
    bounds on metrics, summed, of a completed trial.
    """

    number: int | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)
    violation: float = 0.0


NOTHING = BestEpoch()
"""Of a trial without an epoch."""


@dataclass(frozen=True)
class TrialCard:
    """All that is worth showing of one trial, finished or not.

    params: the sampled values by dotted path. values: one per objective, empty without a result. reason: why
    it did not complete, or which bounds on metrics it breaks now. violation: by how much it breaks them,
    summed. metrics: of its best epoch, of whichever ending. best_epoch: counted from 1.
    epochs: metrics by epoch, counted from 1. config_yaml: the complete resolved configuration.
    started and finished: seconds since 1970. information: of the weights of the best epoch, by name.
    stage: of the study. superseded: it does not lie in the space as it is now, and is not ranked.
    """

    number: int
    outcome: Outcome
    params: Mapping[str, Scalar]
    config_yaml: str
    values: tuple[float, ...] = ()
    reason: str = ""
    epochs: Mapping[int, Mapping[str, float]] = field(default_factory=dict)
    started: float | None = None
    finished: float | None = None
    information: Mapping[str, Measurement] = field(default_factory=dict)
    stage: Stage = "search"
    superseded: bool = False
    violation: float = 0.0
    metrics: Mapping[str, float] = field(default_factory=dict)
    best_epoch: int | None = None

    def best(self, objectives: Sequence[str]) -> dict[str, float]:
        """Of its best epoch the objectives, as far as they are known, then everything measured on valid."""
        known = {**self.metrics, **dict(zip(objectives, self.values, strict=False))}
        shown = [*objectives, *(name for name in self.metrics if name.startswith(VALID))]
        return {name: known[name] for name in shown if name in known}


def short(value: Scalar) -> str:
    """A sampled value as people read it: floats to four digits."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


class Observer(Protocol):
    """Watches a search. Called from the driver process only, in the order in which things happen."""

    def start_study(self, study: StudyCard, earlier: Sequence[TrialCard]) -> None:
        """The search begins or continues; ``earlier`` are the trials that an earlier launch finished."""

    def trial_started(
        self, number: int, params: Mapping[str, Scalar], config: Mapping[str, Any], stage: Stage = "search"
    ) -> None:
        """A trial starts, or starts again from its checkpoint; ``config`` is the complete one."""

    def trial_epoch(self, number: int, epoch: int, metrics: Mapping[str, float]) -> None:
        """A trial finished ``epoch`` (counted from 1); an epoch run again after a crash is told again."""

    def trial_paused(self, number: int) -> None:
        """A trial waits at a rung; it starts again from its checkpoint, or ends without."""

    def trial_measured(self, number: int, information: Mapping[str, Measurement]) -> None:
        """What was measured of a trial that is about to finish, by name."""

    def trial_finished(
        self,
        number: int,
        outcome: Outcome,
        values: Sequence[float],
        reason: str,
        best: BestEpoch = NOTHING,
    ) -> None:
        """A trial ended; ``values`` has one number per objective, or none. ``best``: what it came to."""

    def close(self) -> None:
        """The search is over or interrupted; what is still queued may be written for a few seconds more."""
