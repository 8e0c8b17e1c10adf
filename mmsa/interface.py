"""The nouns and protocols that the parts of mmsa share: outcomes, cards of studies and trials, observers.

This module imports nothing from mmsa but the record of a measurement, which imports nothing. So what watches
a search, ranks its trials or shows them depends on these words and on nothing behind them. Only plain types
cross this line.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from mmsa.measurement import Measurement

Scalar = bool | int | float | str
"""A value that a setting can have."""
Metrics = Mapping[str, float]
"""Numbers by metric name."""
Outcome = Literal["running", "completed", "pruned", "diverged", "out_of_memory", "failed"]
"""What has become of a trial.

completed: it reached its last epoch or stopped early by itself. pruned: the scheduler stopped it. diverged: a
number stopped being finite. failed: anything else went wrong.
"""
Stage = Literal["search", "finalist"]
"""Part of a study. Finalists are its best trials, run again with other settings."""
References = Literal["none", "constant", "ridge", "all"]
"""How much the trials of a study are compared with; each kind includes those before it."""
VALID = "valid/"
"""Prefix of the metrics of the valid split."""
COST_SECONDS = "cost/seconds"
"""Metric of a trial: its seconds over all launches, evaluation included."""
COST_PARAMETERS = "cost/parameters"
"""Metric of a trial: its number of trained weights."""
COSTS = (COST_PARAMETERS, COST_SECONDS)
Direction = Literal["minimize", "maximize"]
_ERRORS = ("mae", "rmse")
_TWO_SIDED_95 = 1.96


def direction_of(metric: str) -> Direction:
    """Which way a metric of predictions is better; ``metric`` with or without split and target before it."""
    return "minimize" if metric.rpartition("/")[2] in _ERRORS else "maximize"


@dataclass(frozen=True)
class PairedDifference:
    """By how much a metric of one prediction exceeds that of another on the same rows.

    Attributes:
        value: on the split as it is.
        low: lower end of the 95 % interval, over resampled groups.
        high: upper end of it.
    """

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class ReferencePoint:
    """Something simpler than the trials of a study, measured on the same valid rows; never one of them.

    Attributes:
        name: ``ridge/<modality>`` and ``ridge/all``, ``alone/<modality>``, or ``without_terms``.
        outcome: how its training ended; a ridge is always ``completed``.
        basis: what it was made from: of a training its configuration as YAML, of a ridge the data's digest.
        metrics: of valid, in its best epoch.
        reason: why it did not complete.
        best_epoch: counted from 1; None for a ridge.
        seconds: that it took.
        gpu_seconds: that it took of GPUs.
        gains: by how much the study's best trial is better, by metric; negative where it is worse.
        compared_with: number of that trial; None before there is one.
    """

    name: str
    outcome: Outcome
    basis: str
    metrics: Metrics = field(default_factory=dict)
    reason: str = ""
    best_epoch: int | None = None
    seconds: float = 0.0
    gpu_seconds: float = 0.0
    gains: Mapping[str, PairedDifference] = field(default_factory=dict)
    compared_with: int | None = None

    @property
    def spoken(self) -> str:
        """The name in words, for people."""
        kind, _, what = self.name.partition("/")
        if kind == "ridge":
            return f"ridge on {'all modalities' if what == 'all' else what}"
        return f"{what} alone" if kind == "alone" else kind.replace("_", " ")

    @property
    def trained(self) -> bool:
        """Whether it is a run of the model, and no ridge."""
        return not self.name.startswith("ridge/")


@dataclass(frozen=True)
class SplitCard:
    """A split of a data set as observers see it.

    Attributes:
        split: train, valid or test.
        digest: of its content.
        num_rows: rows.
        num_groups: videos or speakers.
    """

    split: str
    digest: str
    num_rows: int
    num_groups: int


@dataclass(frozen=True)
class DataNature:
    """What decides which commands make sense of a study.

    Attributes:
        has_test: whether there is a test split.
        can_be_divided: whether what modalities share and have alone can be told: of several of them, about a
            target that is not several labels at once.
    """

    has_test: bool = True
    can_be_divided: bool = True


@dataclass(frozen=True)
class StudyCard:
    """A study as observers see it before its first trial.

    Attributes:
        name: of the study.
        identity: unique; a study that is deleted and created again under the same name gets another one.
        data_set: name of the data set.
        metrics: names of the objectives, in order.
        directions: ``minimize`` or ``maximize``, one for each objective.
        num_trials: trials the study has when it is done.
        space_yaml: the space file, below the history of its edits.
        tags: provenance such as ``corpus_digest`` and ``git_commit``.
        references: its reference points so far.
        parameters: the searched settings, by dotted path.
        coefficients: those of them that weigh information in the loss.
        fixed: the settings of the base that are not searched, by dotted path.
        splits: the data that its trials read; empty for a study that is older than this record.
        constants: the best constant predictor's value, by objective.
        num_epochs: of a trial that is not stopped early; None where it is searched.
    """

    name: str
    identity: str
    data_set: str
    metrics: tuple[str, ...]
    directions: tuple[str, ...]
    num_trials: int
    space_yaml: str
    tags: Mapping[str, str] = field(default_factory=dict)
    references: Sequence[ReferencePoint] = ()
    parameters: Sequence[str] = ()
    coefficients: Sequence[str] = ()
    fixed: Mapping[str, Scalar] = field(default_factory=dict)
    splits: Sequence[SplitCard] = ()
    constants: Mapping[str, float] = field(default_factory=dict)
    num_epochs: int | None = None


@dataclass(frozen=True)
class BestEpoch:
    """The best epoch of a trial, however the trial ended.

    Attributes:
        number: counted from 1; None if no epoch was finished.
        metrics: of that epoch.
        violation: sum of the amounts by which a completed trial breaks the bounds on metrics.
        standard_error: of the first objective, over resampled groups; None if it is unknown.
    """

    number: int | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)
    violation: float = 0.0
    standard_error: float | None = None


NOTHING = BestEpoch()
"""Of a trial that finished no epoch."""


@dataclass(frozen=True)
class TrialCard:
    """A trial as observers see it, finished or not.

    Attributes:
        number: in the study.
        outcome: how it ended, or ``running``.
        params: sampled values by dotted path.
        config_yaml: the complete resolved configuration.
        values: one per objective; empty without a result.
        reason: why it did not complete, or which bounds on metrics it breaks now.
        epochs: metrics by epoch, counted from 1.
        started: seconds since 1970.
        finished: seconds since 1970.
        information: measured on the weights of the best epoch, by name.
        stage: of the study.
        superseded: whether it lies outside the space as it is now, so that it is not ranked.
        violation: sum of the amounts by which it breaks the bounds on metrics.
        metrics: of its best epoch, however it ended.
        best_epoch: counted from 1.
        standard_error: of the first objective, over resampled groups; None if it is unknown.
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
    standard_error: float | None = None

    @property
    def margin(self) -> str:
        """Half of the 95 % interval of the first objective, to stand behind it; empty if unknown."""
        if self.standard_error is None:
            return ""
        return f" ± {_TWO_SIDED_95 * self.standard_error:.2g}"

    def best(self, objectives: Sequence[str]) -> dict[str, float]:
        """Metrics of its best epoch: the known ``objectives`` first, then everything measured on valid."""
        known = {**self.metrics, **dict(zip(objectives, self.values, strict=False))}
        shown = [*objectives, *(name for name in self.metrics if name.startswith(VALID))]
        return {name: known[name] for name in shown if name in known}


def counted(number: int, thing: str) -> str:
    """A number of things in words, one of them without the plural.

    Examples:
        >>> counted(1, "trial"), counted(0, "trial"), counted(2, "completed trial")
        ('1 trial', '0 trials', '2 completed trials')
    """
    return f"{number} {thing}{'' if number == 1 else 's'}"


def short(value: Scalar) -> str:
    """Format a sampled value for people: floats to four digits."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


_SMALLEST_WITH_DECIMALS = 1e-3
_LARGEST_WITH_DECIMALS = 1e5


def decimals(value: float, sign: str = "") -> str:
    """Format a metric for people: four decimals where they say something, and so 12 characters at most.

    Two significant digits of what would be lost in four decimals, six of what has more than five before them.

    Args:
        value: of the metric, or a difference of two; a zero has no sign, whichever way it was taken.
        sign: ``+`` shows that of what is positive, too.
    """
    if 0 < abs(value) < _SMALLEST_WITH_DECIMALS:
        return f"{value:{sign}.2g}"
    form = ".4f" if abs(value) < _LARGEST_WITH_DECIMALS else ".6g"
    return f"{value + 0.0:{sign}{form}}"  # -0.0 + 0.0 is 0.0


def signed(value: float) -> str:
    """Format a difference of two values of a metric for people."""
    return decimals(value, "+")


class Observer(Protocol):
    """Watches a search: the MLflow mirror, the progress display, a test.

    Called from the driver process only, in the order in which things happen. A call returns at once and never
    raises: watching must not slow down or stop a search.
    """

    def start_study(self, study: StudyCard, earlier: Sequence[TrialCard]) -> None:
        """The search begins or continues; ``earlier`` are the trials that earlier launches finished."""

    def trial_started(
        self, number: int, params: Mapping[str, Scalar], config: Mapping[str, Any], stage: Stage = "search"
    ) -> None:
        """A trial starts, or starts again from its checkpoint; ``config`` is the complete one."""

    def trial_epoch(self, number: int, epoch: int, metrics: Mapping[str, float]) -> None:
        """A trial finished ``epoch``, counted from 1. An epoch repeated after a crash is reported again."""

    def trial_paused(self, number: int) -> None:
        """A trial waits at a rung. It later restarts from its checkpoint, or ends without restarting."""

    def trial_measured(self, number: int, information: Mapping[str, Measurement]) -> None:
        """Measurements, by name, of a trial that is about to finish."""

    def trial_finished(
        self,
        number: int,
        outcome: Outcome,
        values: Sequence[float],
        reason: str,
        best: BestEpoch = NOTHING,
    ) -> None:
        """A trial ended; ``values`` has one number per objective, or none. ``best`` is its best epoch."""

    def reference_known(self, reference: ReferencePoint) -> None:
        """A reference point was measured, or is compared with another best trial than before."""

    def close(self) -> None:
        """The search is over or interrupted; queued events may be written for a few more seconds."""
